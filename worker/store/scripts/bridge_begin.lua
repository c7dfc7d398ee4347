-- Begin a session of the bridge: other sessions can take nothing from now on.
-- KEYS  1 bridge  2 bodies that may be redelivered  3 hashes of the newest messages
-- ARGV  1 session  2 lifetime in ms
-- Returns nothing.
redis.call('HSET', KEYS[1], 'session', ARGV[1], 'call', '')
redis.call('DEL', KEYS[2])
for _, hash in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do redis.call('HINCRBY', KEYS[2], hash, 1) end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
