-- A person decides that nobody needs to be told any more.
-- ARGV  5 delivery
-- Returns 1 when it was dead.
local key = record .. ARGV[5]
if redis.call('HGET', key, 'state') ~= 'dead' then return 0 end
unbury(ARGV[5])
discard(ARGV[5])
return 1
