-- Claim the wake-up calls of lanes that are due, or due so late that a clock must have jumped.
-- KEYS  1 due
-- ARGV  1 limit  2 horizon in ms  3 prefix of lane keys  4 lifetime of a wake-up call in ms
-- Returns the lanes, without those that are leased or were called already.
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
