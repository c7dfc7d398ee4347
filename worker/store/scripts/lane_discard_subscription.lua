-- Discard the pending deliveries of a removed subscription, except those being sent now; its expired ones stay dead
-- when the lane works again.
-- ARGV  5 subscription
-- Returns how many were discarded.
if redis.call('EXISTS', lease) == 0 then recover() end
local ids, kept = redis.call('LRANGE', pending, 0, -1), {}

local function discard_if_its(id)
  if redis.call('HGET', record .. id, 'sub') ~= ARGV[5] then return false end
  discard(id)
  redis.call('HSET', record .. id, 'error', 'subscription_removed')
  return true
end

local discarded = 0
for _, member in ipairs(redis.call('ZRANGE', quiet, 0, -1)) do
  if discard_if_its(string.match(member, '^%d+:(.*)$')) then discarded = discarded + redis.call('ZREM', quiet, member) end
end
for _, id in ipairs(ids) do
  if not discard_if_its(id) then kept[#kept + 1] = id end
end
if #kept < #ids then
  redis.call('DEL', pending)
  for from = 1, #kept, 1000 do
    redis.call('RPUSH', pending, unpack(kept, from, math.min(from + 999, #kept)))
  end
end
for _, id in ipairs(redis.call('LRANGE', missed, 0, -1)) do
  if redis.call('HGET', record .. id, 'sub') == ARGV[5] then redis.call('LREM', missed, 1, id) end
end
clear_if_empty()
return discarded + #ids - #kept
