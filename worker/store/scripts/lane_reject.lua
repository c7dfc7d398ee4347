-- Make dead letters of the taken deliveries, as Slack rejects their message for good, or put them back to be sent one by
-- one; the lease is kept.
-- ARGV  5 lease in ms  6 code  7 Slack's reason  8 '1' to send them one by one
-- Returns {'ok', pending, 0, 0}.
close_attempt('refused', ARGV[6], 0)
local ids = redis.call('LRANGE', taken, 0, -1)
if ARGV[8] == '1' then
  if #ids > 0 then redis.call('HSET', meta, 'singly', seq_of(ids[#ids])) end
  give_back()
else
  for _, id in ipairs(ids) do make_dead(id, ARGV[6], ARGV[7]) end
  redis.call('DEL', taken)
  end_isolation()
  redis.call('HDEL', meta, 'failures', 'unlisted')
end
renew(tonumber(ARGV[5]))
return {'ok', redis.call('LLEN', pending), 0, 0}
