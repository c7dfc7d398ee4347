-- What is parked and should be looked at now; each is moved on, so that a crash only delays it.
-- KEYS  1 probes  ARGV  1 how many at most  2 ms until the next look
-- Returns their names.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 2 * ARGV[2], '+inf', 'LIMIT', 0, ARGV[1])) do
  found[#found + 1] = name
end
for _, name in ipairs(found) do redis.call('ZADD', KEYS[1], now + ARGV[2], name) end
return found
