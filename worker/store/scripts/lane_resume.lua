-- Resume a parked lane, or end the snooze of another. `since` stays until a message is sent, so that a failed attempt does not reset it.
-- ARGV  5 lifetime of a wake-up call in ms  6 '1' when the reason is known to be gone, '0' for one attempt
-- Returns {1 when it was parked, 1 when the caller is to send the wake-up call, 1 when it was snoozed}.
local snoozed = redis.call('HEXISTS', meta, 'snoozed')
local was = redis.call('HDEL', meta, 'parked')
redis.call('ZREM', parked, lane)
redis.call('ZREM', probes, 'lane:' .. lane)
if was == 1 then redis.call('HSET', meta, 'resumed', now) end
if ARGV[6] == '1' then redis.call('HDEL', meta, 'reason', 'hint', 'hint_parts', 'since', 'snoozed') end
if redis.call('EXISTS', lease) == 1 then return {was, 0, snoozed} end
set_due(now)
if count_unheld() == 0 or not redis.call('ZSCORE', due, lane) then return {was, 0, snoozed} end
return {was, claim_wake(ARGV[5]), snoozed}
