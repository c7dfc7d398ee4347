-- Everything that waited for an integration goes on.
-- KEYS  1 why it is parked  2 its held lanes  3 due  4 probes
-- ARGV  1 prefix of lane keys  2 its name among the probes  3 '1' also when a person switched it off
-- Returns how many lanes waited.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
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
