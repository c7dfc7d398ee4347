-- Make a dead letter of an unreadable entry, with its raw bytes, and acknowledge it.
-- KEYS  1 the stream  2 ledger  3 the entry's record  4 dead letters  5 number of their changes
-- ARGV  1 group  2 entry id  3 retention in ms  4 what is wrong  5 raw fields  6 id as a dead letter  7 reason  8 '1' if the fields are cut
-- Returns 1 when it is new.
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 1 then redis.call('HINCRBY', KEYS[2], 'entries', 1) end
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
redis.call('HSET', KEYS[3], 'state', 'dead', 'finished', now, 'detail', ARGV[4], 'raw', ARGV[5], 'cut', ARGV[8])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
redis.call('ZADD', KEYS[4], now, ARGV[6])
redis.call('ZADD', KEYS[4] .. ':of:' .. ARGV[7], now, ARGV[6])
redis.call('SADD', KEYS[4] .. ':reasons', ARGV[7])
redis.call('INCR', KEYS[5])
redis.call('HINCRBY', KEYS[2], 'rejected', 1)
redis.call('HINCRBY', KEYS[2], 'ever|rejected', 1)
return 1
