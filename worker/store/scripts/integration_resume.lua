-- Resume an integration: its lanes are due now.
-- KEYS  1 why it is parked  2 its waiting lanes  3 due  4 probes
-- ARGV  1 prefix of lane keys  2 its name as a probe  3 '1' to enable a disabled one too
-- Returns how many lanes waited.
if ARGV[3] ~= '1' and redis.call('HGET', KEYS[1], 'code') == 'disabled' then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[4], ARGV[2])
local lanes = redis.call('SMEMBERS', KEYS[2])
for _, lane in ipairs(lanes) do
  redis.call('HSET', ARGV[1] .. lane, 'resumed', now)
  redis.call('HDEL', ARGV[1] .. lane, 'snoozed')
  if redis.call('HEXISTS', ARGV[1] .. lane, 'parked') == 0 then redis.call('ZADD', KEYS[3], now, lane) end
end
redis.call('DEL', KEYS[2])
return #lanes
