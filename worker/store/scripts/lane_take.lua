-- Take the pending deliveries and open their attempt: the step before every call.
-- KEYS  17, 18 present while the conversation, or the workspace, is closed
-- ARGV  5 lease in ms  6 limit  7 method  8 prefix of event records  9 up to this many come with their bodies
-- Returns {'closed', ms} or {'ok', then per delivery: id, event, subscription, seq, accepted ms, replays, card
-- pending, doubt, entry, body}.
local closed = 0
for i, asked in ipairs(redis.call('MGET', KEYS[17], KEYS[18])) do
  if asked then closed = math.max(closed, math.min(redis.call('PTTL', KEYS[16 + i]), tonumber(asked))) end
end
if closed > 0 then return {'closed', closed} end
local most = tonumber(ARGV[6])
if redis.call('EXISTS', taken) == 0 then
  end_quiet_hours()
  local waiting = redis.call('LLEN', pending)
  if waiting <= most then
    if waiting > 0 then redis.call('RENAME', pending, taken) end
  else
    for _ = 1, most do redis.call('LMOVE', pending, taken, 'LEFT', 'RIGHT') end
  end
end
renew(tonumber(ARGV[5]))
local answer = {'ok'}
local ids = redis.call('LRANGE', taken, 0, -1)
if #ids == 0 then return answer end
local seqs = {}
for _, id in ipairs(ids) do
  local found = redis.call('HMGET', record .. id, 'event', 'sub', 'seq', 'accepted', 'replays', 'owed', 'doubt')
  if not found[3] then found = {'', '', seq_of(id), now} end
  seqs[#seqs + 1] = tonumber(found[3])
  answer[#answer + 1] = id
  for i = 1, 7 do answer[#answer + 1] = found[i] or '' end
  local kept, key, source = {}, string.match(found[1], '^(.-)%.(.*)$')
  if #ids <= tonumber(ARGV[9]) and key then
    kept = redis.call('HMGET', ARGV[8] .. key, source .. ':entry', source)
  end
  answer[#answer + 1], answer[#answer + 2] = kept[1] or '', kept[2] or ''
end
open_attempt(ARGV[7], ids, seqs[1], seqs[#seqs])
return answer
