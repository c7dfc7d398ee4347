-- Which of these lanes come near a limit of how many may wait in them, or for how long.
-- KEYS  1 warnings people are still to be given
-- ARGV  1 prefix of lane keys  2 prefix of `P:integration:`  3 prefix of delivery keys  4 how many may wait
--       5, 6 for how many ms in a lane that runs, in one that is parked  7 from which share of these it is near
--       8 '1' only those nobody was told of since they were below half of it; these are noted, to be warned of
--       then lanes
-- Returns {lane, 'length' or 'age', how much, of how much …}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local longest, share, only_new = tonumber(ARGV[4]), tonumber(ARGV[7]), ARGV[8] == '1'
local answer = {}

local function look(lane, key, limit, reached, most)
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

-- Since when the first of its line waits, as `lane_expire` counts it.
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
  -- What is being posted comes back when that fails, and then takes room again.
  local waiting = redis.call('LLEN', key .. ':taken') + redis.call('LLEN', key .. ':pending')
    + redis.call('ZCARD', key .. ':quiet')
  look(lane, key, 'length', math.min(waiting, longest), longest)
  look(lane, key, 'age', now - waits_since(key, is_parked, known[2]), tonumber(ARGV[is_parked and 6 or 5]))
end
return answer
