-- One at a time. Taking it again prolongs it; 0 ms gives it back.
-- KEYS  1 the lock  ARGV  1 token  2 ms  3 '1' only prolongs: a lock that was lost is not taken again
-- Returns 1 when it is ours.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if not holder and ARGV[3] == '1' then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
