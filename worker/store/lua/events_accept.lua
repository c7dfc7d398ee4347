-- Counts events and acknowledges their entries, each exactly once: the last step of ingest.
-- KEYS  1 the stream  2 ledger  3 the newest events  then one event record per event
-- ARGV  1 group  2 how many of the newest are remembered
--       then per event: source's field, entry id, '1' for a repeat, why it is suppressed ('' when it is not), its kind
-- Returns how many were accepted.
local accepted = 0
for i = 4, #KEYS do
  local at = (i - 4) * 5 + 3
  local field, entry, is_repeat, reason, kind = unpack(ARGV, at, at + 4)
  local acknowledged = redis.call('XACK', KEYS[1], ARGV[1], entry)
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
-- By the minute, in a hash an hour that lives a little over a day (`store/pulse.py`).
if accepted > 0 then
  redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
  local minute = math.floor(redis.call('TIME')[1] / 60)
  local hour = KEYS[2] .. ':hour:' .. math.floor(minute / 60)
  redis.call('HINCRBY', hour, minute .. '|events', accepted)
  redis.call('EXPIRE', hour, 93600)
end
return accepted
