-- Save an integration unless it was changed since it was read.
-- KEYS  1 integrations  2 their version
-- ARGV  1 id  2 JSON as read  3 new JSON
-- Returns 1 when it was saved.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('INCR', KEYS[2])
return 1
