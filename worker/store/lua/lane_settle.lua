-- Records the receipt for all that is taken; one delivery leads, the others are merged into it.
-- ARGV  5 lease ms  6 wake ms  7 channel  8 ts  9 the leading id  10 '1' to leave the lane even if more waits
-- Returns {'fenced'} or {'ok', what still waits, 1 when released, 1 when to wake}. Empty check, release and wake in one.
if not holds() then return {'fenced'} end
local channel, ts, lead = ARGV[7], ARGV[8], ARGV[9]
local ids = redis.call('LRANGE', taken, 0, -1)
local doubt, repeated = tonumber(redis.call('HGET', meta, 'doubt') or 0), 0
close_attempt('delivered', '', 0)
for _, id in ipairs(ids) do
  local key, seq = record .. id, seq_of(id)
  if id == lead then
    redis.call('HSET', key, 'state', 'delivered', 'finished', now, 'channel', channel, 'ts', ts)
  else
    redis.call('HSET', key, 'state', 'merged', 'finished', now, 'channel', channel, 'ts', ts, 'into', lead)
  end
  redis.call('HDEL', key, 'error', 'detail')
  redis.call('PEXPIRE', key, retention_ms)
  if seq <= doubt then
    redis.call('HSET', key, 'repeated', 1)
    repeated = 1
  end
end
redis.call('DEL', taken)
redis.call('HDEL', meta, 'failures', 'unlisted', 'reason', 'hint', 'since', 'warned')
redis.call('DEL', integration_parked .. ':first')
end_singly(ids)
if #ids > 0 then
  redis.call('HINCRBY', ledger, 'delivered', 1)
  redis.call('HINCRBY', ledger, 'merged', #ids - 1)
  redis.call('HINCRBY', ledger, 'repeated', repeated)
end
local left = redis.call('LLEN', pending)
if left == 0 or ARGV[10] == '1' then
  redis.call('DEL', lease)
  set_due(now)
  return {'ok', left, 1, left > 0 and claim_wake(ARGV[6]) or 0}
end
renew(tonumber(ARGV[5]))
return {'ok', left, 0, 0}
