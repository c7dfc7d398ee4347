-- Release the lease, put back the taken deliveries and snooze the lane.
-- ARGV  5 lifetime of a wake-up call in ms  6 outcome ('' when nothing was called)  7 code  8 snooze in ms
--       9 '1' to count a failure  10 reason ('' to snooze it only until a new delivery comes)  11 '1' to count a failure with an unlisted code
-- Returns {'ok', pending, 1, 1 when the caller is to send the wake-up call}.
local wait_ms = tonumber(ARGV[8])
if ARGV[6] ~= '' then close_attempt(ARGV[6], ARGV[7], wait_ms) elseif ARGV[9] == '1' then note_call('unknown', ARGV[7]) end
redis.call('HDEL', meta, 'open')
give_back()
redis.call('DEL', lease)
if ARGV[9] == '1' then redis.call('HINCRBY', meta, 'failures', 1) end
if ARGV[11] == '1' then redis.call('HINCRBY', meta, 'unlisted', 1) end
if wait_ms > 0 and ARGV[10] ~= '' then redis.call('HSET', meta, 'snoozed', ARGV[10]) end
set_due(now + wait_ms)
local left = redis.call('LLEN', pending)
if wait_ms > 0 or left == 0 or not redis.call('ZSCORE', due, lane) then return {'ok', left, 1, 0} end
return {'ok', left, 1, claim_wake(ARGV[5])}
