-- Close the open attempt, or open the next, around the wait before a retry; the lease is renewed.
-- ARGV  5 lease in ms  6 method to open ('' only closes)  7 outcome to close with  8 code  9 wait in ms
--       10 newest seq the caller knows: nothing is opened when a newer delivery is pending (0 opens always)
-- Returns {'ok'} or {'newer'}.
local newest = tonumber(ARGV[10])
local last = newest > 0 and redis.call('LINDEX', pending, -1)
if last and tonumber(redis.call('HGET', record .. last, 'seq') or 0) > newest then return {'newer'} end
if ARGV[6] == '' then
  close_attempt(ARGV[7], ARGV[8], ARGV[9])
else
  open_attempt(ARGV[6], redis.call('LRANGE', taken, 0, -1))
end
renew(tonumber(ARGV[5]))
return {'ok'}
