-- Make a dead letter pending again, or all that expired while the lane was parked, oldest first, except those that a
-- person replayed or discarded meanwhile.
-- ARGV  5 lifetime of a wake-up call in ms  6 lifetime of an event in ms  7 prefix of event records
--       8 delivery ('' for those that expired)  9 who replays it, '%' when no person does
-- Returns {replayed, 1 when the caller is to send the wake-up call}.
local all, replayed = ARGV[8] == '', 0
redis.call('SADD', lanes, lane) -- it may have been forgotten
local ids = all and redis.call('LRANGE', missed, 0, -1) or {ARGV[8]}
for i = #ids, 1, -1 do
  local known = redis.call('HMGET', record .. ids[i], 'event', 'replays')
  local event = not (all and known[2]) and string.match(known[1] or '', '^(.-)%.')
  if event and replay(ids[i], ARGV[7] .. event, ARGV[6], ARGV[9]) then replayed = replayed + 1 end
end
if all then
  redis.call('DEL', missed)
  redis.call('ZREM', dead .. ':missed', lane)
end
return {replayed, replayed > 0 and wake_if_due(ARGV[5]) or 0}
