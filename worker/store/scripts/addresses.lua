-- Read the addresses of lanes, as far as they are known.
-- ARGV  1 prefix of lane keys  2 … lanes
-- Returns {lane, conversation's id, its name …}.
local answer = {}
for i = 2, #ARGV do
  local known = redis.call('HMGET', ARGV[1] .. ARGV[i], 'address', 'name')
  if known[1] then
    for _, part in ipairs({ARGV[i], known[1], known[2] or ''}) do answer[#answer + 1] = part end
  end
end
return answer
