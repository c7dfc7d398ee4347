-- Closes the open attempt, or opens the next, within one hold: around the wait after what was surely not posted.
-- ARGV  5 lease ms  6 method to open ('' only closes)  7 outcome to close with  8 code  9 wait ms
--       10 the newest that is known: when a newer one came, nothing is opened (0 opens in any case)
-- Returns {'fenced'} or {'ok'} or {'newer'}.
if not holds() then return {'fenced'} end
local newest = tonumber(ARGV[10])
if newest > 0 and tonumber(redis.call('HGET', meta, 'seq')) > newest then return {'newer'} end
if ARGV[6] == '' then close_attempt(ARGV[7], ARGV[8], ARGV[9]) else open_attempt(ARGV[6]) end
renew(tonumber(ARGV[5]))
return {'ok'}
