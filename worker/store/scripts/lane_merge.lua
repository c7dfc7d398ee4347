-- Merge taken deliveries that need no call into the ones that reported their state; put back the others.
-- ARGV  5 lease in ms  6 wake-up call's ms  7 '1' to release the lease anyway  8 number of deliveries, then per delivery:
--       id, id of the one that reported it, channel, ts, reason; then key and value of cards and records
-- Returns the answer of `continue_or_release`.
local ids = redis.call('LRANGE', taken, 0, -1)
local last, named, stay = 8 + 5 * tonumber(ARGV[8]), {}, {}
for i = 9, last, 5 do named[ARGV[i]] = i end
redis.call('HDEL', meta, 'open')
redis.call('DEL', taken)
for _, id in ipairs(ids) do
  local at = named[id]
  if at then
    finish(id, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], 0, ARGV[at + 4])
  else
    stay[#stay + 1] = id
  end
end
put_back(stay)
for i = last + 1, #ARGV, 2 do keep_card(ARGV[i], ARGV[i + 1]) end
end_isolation()
count_finished()
return continue_or_release(ARGV[7] == '1', tonumber(ARGV[5]), ARGV[6])
