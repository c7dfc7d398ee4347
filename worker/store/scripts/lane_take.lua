-- Take the pending deliveries and open their attempt: the step before every call.
-- KEYS  17, 18 present while the conversation, or the workspace, is closed
-- ARGV  5 lease in ms  6 limit  7 method  8 prefix of event records  9 up to this many come with their bodies
-- Returns {'closed', ms} or {'ok', then per delivery: id, event, subscription, seq, accepted ms, replays, card
-- pending, doubt, entry, body}.
local closed = 0
for i = 17, 18 do
  local left = redis.call('PTTL', KEYS[i])
  if left > 0 then closed = math.max(closed, math.min(left, tonumber(redis.call('GET', KEYS[i]) or 0))) end
end
if closed > 0 then return {'closed', closed} end
local most = tonumber(ARGV[6])
if redis.call('EXISTS', taken) == 0 then
  end_quiet_hours()
  if redis.call('LLEN', pending) <= most then
    if redis.call('EXISTS', pending) == 1 then redis.call('RENAME', pending, taken) end
  else
    for _ = 1, most do redis.call('LMOVE', pending, taken, 'LEFT', 'RIGHT') end
  end
end
renew(tonumber(ARGV[5]))
local answer = {'ok'}
local ids = redis.call('LRANGE', taken, 0, -1)
if #ids == 0 then return answer end
open_attempt(ARGV[7])
for _, id in ipairs(ids) do
  local found = redis.call('HMGET', record .. id, 'event', 'sub', 'seq', 'accepted', 'replays', 'owed', 'doubt')
  if not found[3] then found = {'', '', seq_of(id), now} end
  answer[#answer + 1] = id
  for i = 1, 7 do answer[#answer + 1] = found[i] or '' end
  local kept, key, source = {}, string.match(found[1], '^(.-)%.(.*)$')
  if #ids <= tonumber(ARGV[9]) and key then
    kept = redis.call('HMGET', ARGV[8] .. key, source .. ':entry', source)
  end
  answer[#answer + 1], answer[#answer + 2] = kept[1] or '', kept[2] or ''
end
return answer
