-- A person decides that nobody needs to be told any more.
-- ARGV  5 delivery
-- Returns 1 when it was dead.
local key = record .. ARGV[5]
if redis.call('HGET', key, 'state') ~= 'dead' then return 0 end
redis.call('HSET', key, 'state', 'discarded', 'finished', now)
redis.call('ZREM', dead, ARGV[5])
redis.call('INCR', dead_changes)
redis.call('HINCRBY', ledger, 'dead', -1)
redis.call('HINCRBY', ledger, 'discarded', 1)
return 1
