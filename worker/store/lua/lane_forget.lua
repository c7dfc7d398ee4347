-- Discards what waits for a subscription that was removed; what is being posted right now is left alone.
-- ARGV  5 subscription
-- Returns how many.
if redis.call('EXISTS', lease) == 0 then recover() end
local ids, kept = redis.call('LRANGE', pending, 0, -1), {}
for _, id in ipairs(ids) do
  if redis.call('HGET', record .. id, 'sub') == ARGV[5] then
    redis.call('HSET', record .. id, 'state', 'discarded', 'finished', now, 'error', 'subscription_removed')
    redis.call('PEXPIRE', record .. id, retention_ms)
  else
    kept[#kept + 1] = id
  end
end
local discarded = #ids - #kept
if discarded > 0 then
  redis.call('DEL', pending)
  for from = 1, #kept, 1000 do
    redis.call('RPUSH', pending, unpack(kept, from, math.min(from + 999, #kept)))
  end
  redis.call('HINCRBY', ledger, 'discarded', discarded)
end
rest_if_empty()
return discarded
