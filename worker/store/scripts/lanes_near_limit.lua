-- Find lanes near their limit of length or age.
-- KEYS  1 warnings  2 lanes that are noted as near a limit
-- ARGV  1, 2, 3 prefixes of lane, integration and delivery keys  4 length limit  5, 6 age limit in ms of a running and of a
--       parked lane  7 the share of a limit that is near  8 '1' for new ones only, which were below half of this share
--       since the last time: a warning of each is added  9 … lanes
-- Returns {lane, 'length' or 'age', value, limit, 1 when the lane is parked …}.
local longest, share, only_new = tonumber(ARGV[4]), tonumber(ARGV[7]), ARGV[8] == '1'
local answer = {}

-- Check one limit of a lane; return whether the lane stays noted as near it. A noted lane is looked at until it is far
-- from the limit, even if it is empty by then.
local function check(lane, key, is_parked, limit, reached, most, noted)
  local mark = 'near_' .. limit
  if reached < most * share then
    if only_new and noted and reached < most * share / 2 then
      redis.call('HDEL', key, mark)
      return false
    end
    return noted
  end
  if only_new then
    redis.call('SADD', KEYS[2], lane)
    if noted then return true end
    redis.call('HSET', key, mark, string.format('%.0f %.0f %.0f', now, reached, most))
    redis.call('ZADD', KEYS[1], now, limit .. ':' .. lane)
  end
  for _, part in ipairs({lane, limit, reached, most, is_parked and 1 or 0}) do answer[#answer + 1] = part end
  return true
end

-- Return since when the oldest delivery waits, as `lane_expire` counts it: one held in quiet hours since these ended.
local function waits_since(key, is_parked, resumed)
  local first = redis.call('LINDEX', key .. ':taken', 0) or redis.call('LINDEX', key .. ':pending', 0)
  local known = first and redis.call('HMGET', ARGV[3] .. first, 'born', 'out') or {}
  local since = math.max(tonumber(known[1] or now), tonumber(known[2] or 0))
  since = math.min(since, tonumber(redis.call('ZRANGE', key .. ':quiet', 0, 0, 'WITHSCORES')[2] or now))
  return is_parked and since or math.max(since, tonumber(resumed or 0))
end

for i = 9, #ARGV do
  local lane = ARGV[i]
  local key = ARGV[1] .. lane
  local known = redis.call('HMGET', key, 'parked', 'resumed', 'near_length', 'near_age')
  local is_parked = known[1] or redis.call('EXISTS', ARGV[2] .. string.match(lane, '^[^/]*') .. ':parked') == 1
  -- Taken deliveries count too, as they come back when the call fails.
  local waiting = redis.call('LLEN', key .. ':taken') + redis.call('LLEN', key .. ':pending')
    + redis.call('ZCARD', key .. ':quiet')
  local age = now - waits_since(key, is_parked, known[2])
  local is_long = check(lane, key, is_parked, 'length', math.min(waiting, longest), longest, known[3])
  local is_old = check(lane, key, is_parked, 'age', age, tonumber(ARGV[is_parked and 6 or 5]), known[4])
  if (known[3] or known[4]) and not (is_long or is_old) then redis.call('SREM', KEYS[2], lane) end
end
return answer
