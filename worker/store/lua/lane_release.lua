-- Gives the lane back unfinished: what was taken returns to the front, and the lane lies down for a while.
-- ARGV  5 wake ms  6 outcome ('' when nothing was tried)  7 code  8 wait ms  9 '1' counts as a failure  10 reason
--       11 '1' counts as a try of a code nobody has listed
-- Returns {'fenced'} or {'ok', what waits, 1 when to wake now}.
if not holds() then return {'fenced'} end
local wait_ms = tonumber(ARGV[8])
if ARGV[6] ~= '' then close_attempt(ARGV[6], ARGV[7], wait_ms) end
redis.call('HDEL', meta, 'open')
give_back()
redis.call('DEL', lease)
if ARGV[9] == '1' then redis.call('HINCRBY', meta, 'failures', 1) end
if ARGV[11] == '1' then redis.call('HINCRBY', meta, 'unlisted', 1) end
if wait_ms > 0 then redis.call('HSET', meta, 'snoozed', ARGV[10]) end
set_due(now + wait_ms)
local left = redis.call('LLEN', pending)
if wait_ms > 0 or left == 0 or not redis.call('ZSCORE', due, lane) then return {'ok', left, 0} end
return {'ok', left, claim_wake(ARGV[5])}
