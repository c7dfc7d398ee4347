-- Count events and acknowledge their entries, each exactly once: the last step of ingest.
-- KEYS  1 the stream  2 ledger  3 the newest events  4 … the record of each event
-- ARGV  1 group  2 how many of the newest are kept  3 … per event: source, entry, '1' for a repeat, suppressed why, kind
-- Returns how many events are new.
local accepted = 0
for i = 4, #KEYS do
  local at = (i - 4) * 5 + 3
  local field, entry, is_repeat, reason, kind = unpack(ARGV, at, at + 4)
  local acknowledged = redis.call('XACK', KEYS[1], ARGV[1], entry)
  if acknowledged == 1 then redis.call('HINCRBY', KEYS[2], 'entries', 1) end
  if is_repeat == '1' then
    if redis.call('HGET', KEYS[i], field .. ':entry') ~= entry then
      redis.call('HINCRBY', KEYS[2], 'repeats_ignored', acknowledged)
    end
  elseif redis.call('HSETNX', KEYS[i], field .. ':accepted', 1) == 1 then
    redis.call('HINCRBY', KEYS[2], 'accepted', 1)
    redis.call('HINCRBY', KEYS[2], 'kind|' .. kind, 1)
    accepted = accepted + 1
    redis.call('LPUSH', KEYS[3], string.match(KEYS[i], '[^:]*$') .. '.' .. field)
    if reason ~= '' then
      redis.call('HSET', KEYS[i], field .. ':suppressed', reason)
      redis.call('HINCRBY', KEYS[2], 'suppressed', 1)
    else
      redis.call('HINCRBY', KEYS[2], 'routed', 1)
    end
  end
end
-- Count events by the minute, in one hash per hour that is kept a little over a day (`store/metrics.py`).
if accepted > 0 then
  redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
  local minute = math.floor(time[1] / 60)
  local hour = KEYS[2] .. ':hour:' .. math.floor(minute / 60)
  redis.call('HINCRBY', hour, minute .. '|events', accepted)
  redis.call('EXPIRE', hour, 93600)
end
return accepted
