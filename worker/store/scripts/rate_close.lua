-- Close a conversation, as Slack asked to wait; close the workspace when two conversations were closed in a short time.
-- KEYS  1 closed mark of the conversation  2 closed mark of the workspace  3 the conversation closed last
-- ARGV  1 ms  2 the conversation  3 the short time in ms
-- Returns 1 when the workspace is closed.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[1])
local last = redis.call('GET', KEYS[3])
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[3])
if not last or last == ARGV[2] then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[1])
return 1
