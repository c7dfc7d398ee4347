-- Dead-letters what has waited too long, oldest first; what is being posted right now is left alone. What was held
-- in quiet hours waits only since these ended. What waited for a person is noted as missed, the newest of it and each
-- only once: that is replayed when something can be told there again.
-- ARGV  5 born before this ms is too old  6 how many at most  7 why, in words
--       8 '1' when the time spent parked does not count (the lane goes on now)  9 how many are noted as missed
-- Returns how many.
if ARGV[8] == '1' and tonumber(redis.call('HGET', meta, 'resumed') or 0) >= tonumber(ARGV[5]) then return 0 end
if redis.call('EXISTS', lease) == 0 then
  recover()
  let_out()
end
local expired, oldest = 0, redis.call('LINDEX', pending, 0)
while oldest and expired < tonumber(ARGV[6]) do
  seq_of(oldest)
  local since = redis.call('HMGET', record .. oldest, 'born', 'out')
  if math.max(tonumber(since[1]), tonumber(since[2] or 0)) >= tonumber(ARGV[5]) then break end
  redis.call('LPOP', pending)
  bury(oldest, 'expired', ARGV[7])
  if ARGV[8] == '0' and redis.call('HEXISTS', record .. oldest, 'replays') == 0 then
    redis.call('LPUSH', missed, oldest)
  end
  expired, oldest = expired + 1, redis.call('LINDEX', pending, 0)
end
if expired > 0 and redis.call('EXISTS', missed) == 1 then
  redis.call('LTRIM', missed, 0, ARGV[9] - 1)
  redis.call('PEXPIRE', missed, retention_ms)
end
rest_if_empty()
return expired
