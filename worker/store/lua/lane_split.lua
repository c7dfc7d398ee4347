-- A message of several things was refused: each is told alone, so that the one at fault stands alone.
-- ARGV  5 lease ms  6 code
-- Returns {'fenced'} or {'ok', what still waits}.
if not holds() then return {'fenced'} end
close_attempt('refused', ARGV[6], 0)
local last = redis.call('LINDEX', taken, -1)
if last then redis.call('HSET', meta, 'singly', seq_of(last)) end
give_back()
renew(tonumber(ARGV[5]))
return {'ok', redis.call('LLEN', pending)}
