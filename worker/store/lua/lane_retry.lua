-- Closes the open attempt, or opens the next, within one hold: around the wait after what was surely not posted.
-- ARGV  5 lease ms  6 method to open ('' only closes)  7 outcome to close with  8 code  9 wait ms
--       10 the newest that is known: when a newer one came, nothing is opened (0 opens in any case). What is held in
--          quiet hours has a number of its own already, and is not to be told now.
-- Returns {'fenced'} or {'ok'} or {'newer'}.
if not holds() then return {'fenced'} end
local newest = tonumber(ARGV[10])
local last = newest > 0 and redis.call('LINDEX', pending, -1)
if last and tonumber(redis.call('HGET', record .. last, 'seq') or 0) > newest then return {'newer'} end
if ARGV[6] == '' then close_attempt(ARGV[7], ARGV[8], ARGV[9]) else open_attempt(ARGV[6]) end
renew(tonumber(ARGV[5]))
return {'ok'}
