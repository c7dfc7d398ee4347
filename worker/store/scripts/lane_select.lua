-- Keep only some of the taken deliveries for the next call and put back the others.
-- ARGV  5 lease in ms  6 method ('' when Slack is not called)  7 … ids
-- Returns {'ok'}.
local kept, stay, back = {}, {}, {}
for i = 7, #ARGV do kept[ARGV[i]] = true end
for _, id in ipairs(redis.call('LRANGE', taken, 0, -1)) do
  local list = kept[id] and stay or back
  list[#list + 1] = id
end
if #back > 0 then
  redis.call('DEL', taken)
  for _, id in ipairs(stay) do redis.call('RPUSH', taken, id) end
  put_back(back)
end
redis.call('HDEL', meta, 'open')
if ARGV[6] ~= '' then open_attempt(ARGV[6], redis.call('LRANGE', taken, 0, -1)) end
renew(tonumber(ARGV[5]))
return {'ok'}
