-- Records the receipt for all that is taken; one delivery leads, the others are merged into it.
-- KEYS  17 the card it makes or changes
-- ARGV  5 lease ms  6 wake ms  7 channel  8 ts  9 the leading id  10 '1' to leave the lane even if more waits
--       11 the card as it is now ('' for none)  12 how many ids stay for a card of their own, then these
--       then what is known of the things it told, without a card or as part of a run: key, record …
-- Returns {'fenced'} or what `go_on` says.
if not holds() then return {'fenced'} end
local channel, ts, lead = ARGV[7], ARGV[8], ARGV[9]
local ids = redis.call('LRANGE', taken, 0, -1)
local owed, stay, last = {}, {}, 12 + tonumber(ARGV[12])
for i = 13, last do owed[ARGV[i]] = true end
close_attempt('delivered', '', 0)
redis.call('DEL', taken)
for _, id in ipairs(ids) do
  if owed[id] then
    seq_of(id)
    redis.call('HSET', record .. id, 'owed', 1)
    stay[#stay + 1] = id
  else
    finish(id, lead, channel, ts)
  end
end
put_back(stay)
if ARGV[11] ~= '' then keep_card(KEYS[17], ARGV[11]) end
for i = last + 1, #ARGV, 2 do keep_card(ARGV[i], ARGV[i + 1]) end
redis.call('HDEL', meta, 'failures', 'unlisted', 'reason', 'hint', 'since', 'warned')
redis.call('DEL', integration_parked .. ':first')
if redis.call('EXISTS', missed) == 1 then redis.call('ZADD', dead .. ':missed', now, lane) end
end_singly()
count_finished()
return go_on(ARGV[10] == '1', tonumber(ARGV[5]), ARGV[6])
