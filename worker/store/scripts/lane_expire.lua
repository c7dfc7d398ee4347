-- Make dead letters of deliveries that waited too long, oldest first, except those being sent now. The newest that expire
-- in a parked lane are noted, each once, to be replayed when the lane works again.
-- ARGV  5 those created before this ms (or whose quiet hours ended before) are too old  6 limit  7 reason
--       8 '1' when the lane is not parked: the time it was parked does not count  9 how many expired ones are noted
-- Returns how many expired.
if ARGV[8] == '1' and tonumber(redis.call('HGET', meta, 'resumed') or 0) >= tonumber(ARGV[5]) then return 0 end
if redis.call('EXISTS', lease) == 0 then
  recover()
  end_quiet_hours()
end
local expired, oldest = 0, redis.call('LINDEX', pending, 0)
while oldest and expired < tonumber(ARGV[6]) do
  seq_of(oldest)
  local since = redis.call('HMGET', record .. oldest, 'born', 'out')
  if math.max(tonumber(since[1]), tonumber(since[2] or 0)) >= tonumber(ARGV[5]) then break end
  redis.call('LPOP', pending)
  make_dead(oldest, 'expired', ARGV[7])
  if ARGV[8] == '0' and redis.call('HEXISTS', record .. oldest, 'replays') == 0 then
    redis.call('LPUSH', missed, oldest)
  end
  expired, oldest = expired + 1, redis.call('LINDEX', pending, 0)
end
if expired > 0 and redis.call('EXISTS', missed) == 1 then
  redis.call('LTRIM', missed, 0, ARGV[9] - 1)
  redis.call('PEXPIRE', missed, retention_ms)
end
clear_if_empty()
return expired
