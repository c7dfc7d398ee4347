-- Records the receipt for all that is taken; one delivery leads, the others are merged into it. When the lead is not
-- among them, all are merged: a newer state was told before.
-- KEYS  17 the card it makes or changes
-- ARGV  5 lease ms  6 wake ms  7 channel  8 ts  9 the leading id  10 '1' to leave the lane even if more waits
--       11 the card as it is now ('' for none)  then ids that stay for a card of their own
-- Returns {'fenced'} or {'ok', what still waits, 1 when released, 1 when to wake}. Empty check, release and wake in one.
if not holds() then return {'fenced'} end
local channel, ts, lead = ARGV[7], ARGV[8], ARGV[9]
local ids = redis.call('LRANGE', taken, 0, -1)
local delivered, merged, repeated, owed, stay = 0, 0, 0, {}, {}
for i = 12, #ARGV do owed[ARGV[i]] = true end
close_attempt('delivered', '', 0)
redis.call('DEL', taken)
for _, id in ipairs(ids) do
  local key = record .. id
  seq_of(id)
  if owed[id] then
    redis.call('HSET', key, 'owed', 1)
    stay[#stay + 1] = id
  else
    if id == lead then
      redis.call('HSET', key, 'state', 'delivered', 'finished', now, 'channel', channel, 'ts', ts)
      delivered = delivered + 1
    else
      redis.call('HSET', key, 'state', 'merged', 'finished', now, 'channel', channel, 'ts', ts, 'into', lead)
      merged = merged + 1
    end
    redis.call('HDEL', key, 'error', 'detail')
    redis.call('PEXPIRE', key, retention_ms)
    if redis.call('HDEL', key, 'doubt') == 1 then
      redis.call('HSET', key, 'repeated', 1)
      repeated = 1
    end
  end
end
put_back(stay)
if ARGV[11] ~= '' then keep_card(KEYS[17], ARGV[11]) end
redis.call('HDEL', meta, 'failures', 'unlisted', 'reason', 'hint', 'since', 'warned')
redis.call('DEL', integration_parked .. ':first')
end_singly(ids)
redis.call('HINCRBY', ledger, 'delivered', delivered)
redis.call('HINCRBY', ledger, 'merged', merged)
redis.call('HINCRBY', ledger, 'repeated', repeated)
local left = redis.call('LLEN', pending)
if left == 0 or ARGV[10] == '1' then
  redis.call('DEL', lease)
  set_due(now)
  return {'ok', left, 1, left > 0 and claim_wake(ARGV[6]) or 0}
end
renew(tonumber(ARGV[5]))
return {'ok', left, 0, 0}
