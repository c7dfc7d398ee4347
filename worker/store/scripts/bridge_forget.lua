-- Forget the messages that RabbitMQ redelivers no more.
-- KEYS  1 bridge  2 hashes of the newest messages
-- ARGV  1 session  2 how many of the newest are kept
-- Returns nothing. When another session has begun, nothing is forgotten.
if redis.call('HGET', KEYS[1], 'session') ~= ARGV[1] then return end
if ARGV[2] == '0' then redis.call('DEL', KEYS[2]) else redis.call('LTRIM', KEYS[2], '-' .. ARGV[2], -1) end
