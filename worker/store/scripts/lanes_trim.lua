-- Trim the histories of lanes, and forget a lane that has neither history nor deliveries.
-- KEYS  1 lanes
-- ARGV  1 prefix of lane keys  2, 3 ms before which entries of deliveries and attempts are old  4 … lane, '1' to keep it
-- Returns nothing.
local function has_entries(key, since) return #redis.call('XREVRANGE', key, '+', since, 'COUNT', 1) > 0 end

local function is_used(key)
  if has_entries(key .. ':deliveries', ARGV[2]) or has_entries(key .. ':attempts', ARGV[3]) then return true end
  return redis.call('HEXISTS', key, 'parked') == 1
    or redis.call('EXISTS', key .. ':pending', key .. ':quiet', key .. ':taken', key .. ':lease', key .. ':missed') > 0
end

for i = 4, #ARGV, 2 do
  local key = ARGV[1] .. ARGV[i]
  redis.call('XTRIM', key .. ':deliveries', 'MINID', '~', ARGV[2])
  redis.call('XTRIM', key .. ':attempts', 'MINID', '~', ARGV[3])
  if ARGV[i + 1] == '0' and not is_used(key) then
    redis.call('DEL', key, key .. ':deliveries', key .. ':attempts')
    redis.call('SREM', KEYS[1], ARGV[i])
  end
end
