-- Lanes that are due (or so far in the future that a clock jumped), each with its wake-up call claimed.
-- KEYS  1 due  ARGV  1 how many at most  2 horizon ms  3 prefix of lane keys  4 wake ms
-- Returns the lanes to wake; those held or already called are passed over.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local most, answer = tonumber(ARGV[1]), {}
for _, lane in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + ARGV[2], '+inf', 'LIMIT', 0, most)) do
  redis.call('ZADD', KEYS[1], now, lane)
end
local from = 0
repeat
  local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', from, most)
  for _, lane in ipairs(found) do
    if #answer < most and redis.call('EXISTS', ARGV[3] .. lane .. ':lease') == 0
      and redis.call('SET', ARGV[3] .. lane .. ':wake', '1', 'NX', 'PX', ARGV[4]) then
      answer[#answer + 1] = lane
    end
  end
  from = from + #found
until #found < most or #answer == most
return answer
