-- Lists some dead letters by their reason. Doing it twice changes nothing.
-- KEYS  1 dead  2 reasons
-- ARGV  1 first  2 last, by place  3 prefix of delivery keys  4 prefix of the dead letters of one reason
--       5 reason of an entry nobody could read
-- Returns how many it looked at; one whose record is no longer kept has no reason.
local found = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES')
for i = 1, #found, 2 do
  local id = found[i]
  local reason = string.find(id, '-', 1, true) and ARGV[5] or redis.call('HGET', ARGV[3] .. id, 'error')
  if reason then
    redis.call('ZADD', ARGV[4] .. reason, found[i + 1], id)
    redis.call('SADD', KEYS[2], reason)
  end
end
return #found / 2
