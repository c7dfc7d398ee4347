-- Discards what waits for a subscription that was removed; what is being posted right now is left alone.
-- ARGV  5 subscription
-- Returns how many.
local discarded = 0
for _, id in ipairs(redis.call('LRANGE', pending, 0, -1)) do
  if redis.call('HGET', record .. id, 'sub') == ARGV[5] then
    redis.call('LREM', pending, 1, id)
    redis.call('HSET', record .. id, 'state', 'discarded', 'finished', now, 'error', 'subscription_removed')
    redis.call('PEXPIRE', record .. id, retention_ms)
    discarded = discarded + 1
  end
end
redis.call('HINCRBY', ledger, 'discarded', discarded)
if redis.call('EXISTS', lease) == 0 and waiting() == 0 then
  redis.call('ZREM', due, lane)
  redis.call('ZREM', parked, lane)
  redis.call('ZREM', probes, 'lane:' .. lane)
  redis.call('HDEL', meta, 'parked', 'reason', 'hint', 'since', 'snoozed', 'failures')
end
return discarded
