-- Lets a parked lane go on. `since` stays until something was told, so that a failed try keeps its age.
-- ARGV  5 wake ms  6 '1' when the reason is known to be gone ('0': only a try)
-- Returns {1 when it was parked, 1 when to wake}.
local was = redis.call('HDEL', meta, 'parked')
redis.call('ZREM', parked, lane)
redis.call('ZREM', probes, 'lane:' .. lane)
if was == 1 then redis.call('HSET', meta, 'resumed', now) end
if ARGV[6] == '1' then redis.call('HDEL', meta, 'reason', 'hint', 'since', 'snoozed') end
if redis.call('EXISTS', lease) == 1 then return {was, 0} end
set_due(now)
if tellable() == 0 or not redis.call('ZSCORE', due, lane) then return {was, 0} end
return {was, claim_wake(ARGV[5])}
