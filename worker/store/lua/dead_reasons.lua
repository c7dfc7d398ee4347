-- Counts some of the dead letters by their reason.
-- KEYS  1 dead  ARGV  1 first  2 last  3 prefix of delivery records  4 reason of an entry nobody could read
-- Returns {how many were looked at, reason, how many …}; a record that is not kept any more has no reason.
local ids, found = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2]), {}
for _, id in ipairs(ids) do
  local reason = string.find(id, '-', 1, true) and ARGV[4] or redis.call('HGET', ARGV[3] .. id, 'error')
  if reason then found[reason] = (found[reason] or 0) + 1 end
end
local answer = {#ids}
for reason, count in pairs(found) do
  answer[#answer + 1] = reason
  answer[#answer + 1] = count
end
return answer
