-- Keeps the body of events before anything refers to them.
-- KEYS  one event record per event
-- ARGV  1 life in ms  then per event: source's field, entry id, body
-- Returns per event: 'new', 'redo' (this entry was begun before) or 'repeat' (another entry brought this event, or
-- this one was finished before: the group was made anew).
local answer = {}
for i, key in ipairs(KEYS) do
  local field, entry, body = ARGV[i * 3 - 1], ARGV[i * 3], ARGV[i * 3 + 1]
  local before = redis.call('HGET', key, field .. ':entry')
  if not before then
    redis.call('HSET', key, field, body, field .. ':entry', entry)
    redis.call('PEXPIRE', key, ARGV[1])
    answer[i] = 'new'
  else
    local begun = before == entry and redis.call('HEXISTS', key, field .. ':accepted') == 0
    answer[i] = begun and 'redo' or 'repeat'
  end
end
return answer
