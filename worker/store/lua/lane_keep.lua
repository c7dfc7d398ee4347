-- Only some of what is taken is told by this call: the others go back to the front, in their order.
-- ARGV  5 lease ms  6 method ('' when Slack is not called)  7 '1' when the ids that follow go back, '0' when they stay
--       then ids
-- Returns {'fenced'} or {'ok'}.
if not holds() then return {'fenced'} end
local named, stay, back = {}, {}, {}
for i = 8, #ARGV do named[ARGV[i]] = true end
for _, id in ipairs(redis.call('LRANGE', taken, 0, -1)) do
  local list = ((named[id] ~= nil) == (ARGV[7] == '1')) and back or stay
  list[#list + 1] = id
end
if #back > 0 then
  redis.call('DEL', taken)
  for _, id in ipairs(stay) do redis.call('RPUSH', taken, id) end
  put_back(back)
end
redis.call('HDEL', meta, 'open')
if ARGV[6] ~= '' then open_attempt(ARGV[6]) end
renew(tonumber(ARGV[5]))
return {'ok'}
