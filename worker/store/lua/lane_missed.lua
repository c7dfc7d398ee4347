-- What was missed becomes pending again, the oldest first and all of it before any is told; what a person replayed or
-- discarded meanwhile does not. Nothing of it is noted any more, whatever becomes of it.
-- ARGV  5 wake ms  6 life of an event in ms  7 prefix of event records
-- Returns {how many, 1 when to wake}.
local ids, replayed = redis.call('LRANGE', missed, 0, -1), 0
for i = #ids, 1, -1 do
  local found = redis.call('HMGET', record .. ids[i], 'event', 'replays')
  local event = not found[2] and string.match(found[1] or '', '^(.-)%.')
  if event and replay(ids[i], ARGV[7] .. event, ARGV[6]) then replayed = replayed + 1 end
end
redis.call('DEL', missed)
redis.call('ZREM', dead .. ':missed', lane)
if replayed == 0 then return {0, 0} end
return {replayed, wake_if_due(ARGV[5])}
