-- Lanes that are due (or so far in the future that a clock jumped), each with its wake-up call claimed.
-- KEYS  1 due  ARGV  1 how many at most  2 horizon ms  3 prefix of lane keys  4 wake ms
-- Returns the lanes to wake.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + ARGV[2], '+inf', 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', KEYS[1], now, lane)
  found[#found + 1] = lane
end
local answer = {}
for _, lane in ipairs(found) do
  if redis.call('EXISTS', ARGV[3] .. lane .. ':lease') == 0
    and redis.call('SET', ARGV[3] .. lane .. ':wake', '1', 'NX', 'PX', ARGV[4]) then
    answer[#answer + 1] = lane
  end
end
return answer
