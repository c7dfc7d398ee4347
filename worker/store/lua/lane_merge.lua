-- What is taken needs no call: its state was told already, or a newer one. Each is merged into what told that; what
-- is not named goes back.
-- ARGV  5 lease ms  6 wake ms  7 '1' to leave the lane even if more waits  8 how many deliveries follow:
--       id, leading id, channel, ts, why in words …  then cards and records as they are now: key, value …
-- Returns {'fenced'} or what `go_on` says.
if not holds() then return {'fenced'} end
local ids = redis.call('LRANGE', taken, 0, -1)
local last, named, stay = 8 + 5 * tonumber(ARGV[8]), {}, {}
for i = 9, last, 5 do named[ARGV[i]] = i end
redis.call('HDEL', meta, 'open')
redis.call('DEL', taken)
for _, id in ipairs(ids) do
  local at = named[id]
  if at then
    finish(id, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
    redis.call('HSET', record .. id, 'detail', ARGV[at + 4])
  else
    stay[#stay + 1] = id
  end
end
put_back(stay)
for i = last + 1, #ARGV, 2 do keep_card(ARGV[i], ARGV[i + 1]) end
end_singly()
count_finished()
return go_on(ARGV[7] == '1', tonumber(ARGV[5]), ARGV[6])
