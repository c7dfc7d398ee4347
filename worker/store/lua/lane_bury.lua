-- Slack will never take what is taken: dead letters. The lane goes on.
-- ARGV  5 lease ms  6 code  7 what Slack says of it
-- Returns {'fenced'} or {'ok', what still waits}.
if not holds() then return {'fenced'} end
close_attempt('refused', ARGV[6], 0)
local ids = redis.call('LRANGE', taken, 0, -1)
for _, id in ipairs(ids) do bury(id, ARGV[6], ARGV[7]) end
redis.call('DEL', taken)
end_singly()
redis.call('HDEL', meta, 'failures', 'unlisted')
renew(tonumber(ARGV[5]))
return {'ok', redis.call('LLEN', pending)}
