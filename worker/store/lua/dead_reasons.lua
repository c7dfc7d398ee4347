-- How many dead letters there are of each reason; a reason without any is forgotten.
-- KEYS  1 reasons  ARGV  1 prefix of the dead letters of one reason
--       2 drop from the lists those that died no later than this ms ('' for none)
-- Returns {reason, how many …}
local answer = {}
for _, reason in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local key = ARGV[1] .. reason
  if ARGV[2] ~= '' then redis.call('ZREMRANGEBYSCORE', key, '-inf', ARGV[2]) end
  local count = redis.call('ZCARD', key)
  if count == 0 then
    redis.call('SREM', KEYS[1], reason)
  else
    answer[#answer + 1] = reason
    answer[#answer + 1] = count
  end
end
return answer
