-- Keeps an unreadable entry with its raw bytes and acknowledges it.
-- KEYS  1 the stream  2 ledger  3 the rejected entry's record  4 dead  5 dead:changes
-- ARGV  1 group  2 entry id  3 retention in ms  4 what is wrong  5 raw fields
--       6 its name among dead letters  7 the reason these have
-- Returns 1 when it is new.
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[3], 'state', 'dead', 'finished', now, 'detail', ARGV[4], 'raw', ARGV[5])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('ZADD', KEYS[4], now, ARGV[6])
redis.call('ZADD', KEYS[4] .. ':of:' .. ARGV[7], now, ARGV[6])
redis.call('SADD', KEYS[4] .. ':reasons', ARGV[7])
redis.call('INCR', KEYS[5])
redis.call('HINCRBY', KEYS[2], 'rejected', 1)
redis.call('HINCRBY', KEYS[2], 'ever|rejected', 1)
return 1
