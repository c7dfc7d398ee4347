-- Discard a dead letter.
-- ARGV  5 delivery  6 who discards it, '%' when no person does
-- Returns 1 when it was one.
local key = record .. ARGV[5]
if redis.call('HGET', key, 'state') ~= 'dead' then return 0 end
remove_dead(ARGV[5])
note_death(key)
redis.call('HSET', key, 'by', ARGV[6])
discard(ARGV[5])
return 1
