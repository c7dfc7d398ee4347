-- Record an edit that failed: its deliveries are pending again, and no card of the lane is edited for a while.
-- ARGV  5 lease in ms  6 outcome  7 code  8 wait in ms
-- Returns {'ok', pending, 0, 0}.
close_attempt(ARGV[6], ARGV[7], ARGV[8])
give_back()
redis.call('HSET', meta, 'no_edits_until', now + tonumber(ARGV[8]))
if ARGV[6] ~= 'throttled' then redis.call('HINCRBY', meta, 'edit_failures', 1) end
renew(tonumber(ARGV[5]))
return {'ok', redis.call('LLEN', pending), 0, 0}
