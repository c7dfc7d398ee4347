-- Slack asked to wait: closes the conversation, and the workspace too when a second conversation was told so.
-- KEYS  1 closed mark of the conversation  2 closed mark of the workspace  3 who was told last
-- ARGV  1 ms  2 the conversation  3 for how many ms a second one counts as a repetition
-- Returns 1 when the workspace is closed.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[1])
local last = redis.call('GET', KEYS[3])
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
if not last or last == ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[1])
return 1
