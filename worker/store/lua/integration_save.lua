-- Writes an integration, unless it was changed since it was read.
-- KEYS  1 integrations  2 their version
-- ARGV  1 id  2 as it was read  3 as it is to be
-- Returns 1 when it is written.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('INCR', KEYS[2])
return 1
