-- Take, renew or release a lock.
-- KEYS  1 the lock
-- ARGV  1 token  2 ms, 0 to release  3 '1' to renew only: a lost lock is not taken again
-- Returns 1 when the token held the lock, or holds it now.
local holder = redis.call('GET', KEYS[1])
if holder ~= ARGV[1] and (holder or ARGV[3] == '1') then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
