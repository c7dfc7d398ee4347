-- Record the receipt for all taken deliveries: one is delivered, the others are merged into it.
-- KEYS  17 the card that the message created or changed  18 the sources of an alert's fingerprint  19 replaced cards
-- ARGV  5 lease in ms  6 wake-up call's ms  7 channel  8 ts  9 the delivered id  10 '1' to release the lease anyway
--       11 the card ('' for none)  12 the source of the card's alert ('' for none)  13 number of cards that the message
--       replaces, then these; then number of pending ids that it left out for a card of their own, then these; then key
--       and value of records of what was reported without a card, and of workflow runs
-- Returns the answer of `continue_or_release`.
local channel, ts, lead = ARGV[7], ARGV[8], ARGV[9]
local ids = redis.call('LRANGE', taken, 0, -1)
local first = 14 + tonumber(ARGV[13])
local last = first + tonumber(ARGV[first])
for i = 14, first - 1 do redis.call('ZADD', KEYS[19], now, now .. ' ' .. ARGV[i]) end
local tries = close_call('delivered', '', 0)
redis.call('DEL', taken)
for _, id in ipairs(ids) do finish(id, lead, channel, ts, tries) end
for i = first + 1, last do
  local left_out = record .. ARGV[i]
  if redis.call('HGET', left_out, 'state') == 'pending' then redis.call('HSET', left_out, 'owed', 1) end
end
if ARGV[11] ~= '' then keep_card(KEYS[17], ARGV[11]) end
if ARGV[12] ~= '' then
  redis.call('SADD', KEYS[18], ARGV[12])
  redis.call('PEXPIRE', KEYS[18], retention_ms)
end
for i = last + 1, #ARGV, 2 do keep_card(ARGV[i], ARGV[i + 1]) end
local before = redis.call('HMGET', meta, 'failures', 'unlisted', 'reason', 'since', 'warned', 'singly')
if before[1] or before[2] or before[3] or before[4] or before[5] then
  redis.call('HDEL', meta, 'failures', 'unlisted', 'reason', 'hint', 'hint_parts', 'since', 'warned')
end
redis.call('DEL', integration_parked .. ':first')
if redis.call('EXISTS', missed) == 1 then redis.call('ZADD', dead .. ':missed', now, lane) end
if before[6] then end_isolation() end
count_finished()
return continue_or_release(ARGV[10] == '1', tonumber(ARGV[5]), ARGV[6])
