-- Find lanes near their limit of length or age.
-- KEYS  1 warnings
-- ARGV  1, 2, 3 prefixes of lane, integration and delivery keys  4 length limit  5, 6 age limit in ms of a running and of a
--       parked lane  7 the share of a limit that is near  8 '1' for new ones only, which were below half of this share
--       since the last time: a warning of each is added  9 … lanes
-- Returns {lane, 'length' or 'age', value, limit …}.
local longest, share, only_new = tonumber(ARGV[4]), tonumber(ARGV[7]), ARGV[8] == '1'
local answer = {}

local function check(lane, key, limit, reached, most)
  local mark = 'near_' .. limit
  if reached < most * share then
    if only_new and reached < most * share / 2 then redis.call('HDEL', key, mark) end
    return
  end
  if only_new then
    local noted = string.format('%.0f %.0f %.0f', now, reached, most)
    if redis.call('HSETNX', key, mark, noted) == 0 then return end
    redis.call('ZADD', KEYS[1], now, limit .. ':' .. lane)
  end
  for _, part in ipairs({lane, limit, reached, most}) do answer[#answer + 1] = part end
end

-- Return since when the oldest delivery waits, as `lane_expire` counts it.
local function waits_since(key, is_parked, resumed)
  local first = redis.call('LINDEX', key .. ':taken', 0) or redis.call('LINDEX', key .. ':pending', 0)
  if not first then return now end
  local known = redis.call('HMGET', ARGV[3] .. first, 'born', 'out')
  local since = math.max(tonumber(known[1] or now), tonumber(known[2] or 0))
  return is_parked and since or math.max(since, tonumber(resumed or 0))
end

for i = 9, #ARGV do
  local lane = ARGV[i]
  local key = ARGV[1] .. lane
  local known = redis.call('HMGET', key, 'parked', 'resumed')
  local is_parked = known[1] or redis.call('EXISTS', ARGV[2] .. string.match(lane, '^[^/]*') .. ':parked') == 1
  -- Taken deliveries count too, as they come back when the call fails.
  local waiting = redis.call('LLEN', key .. ':taken') + redis.call('LLEN', key .. ':pending')
    + redis.call('ZCARD', key .. ':quiet')
  check(lane, key, 'length', math.min(waiting, longest), longest)
  check(lane, key, 'age', now - waits_since(key, is_parked, known[2]), tonumber(ARGV[is_parked and 6 or 5]))
end
return answer
