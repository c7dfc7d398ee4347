-- Counts events and acknowledges their entries, each exactly once: the last step of ingest.
-- KEYS  1 the stream  2 ledger  then one event record per event
-- ARGV  1 group
--       then per event: source's field, entry id, '1' for a repeat, why it is suppressed ('' when it is not), its kind
-- Returns how many were accepted.
local accepted = 0
for i = 3, #KEYS do
  local at = (i - 3) * 5 + 2
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
  local minute = math.floor(redis.call('TIME')[1] / 60)
  local hour = KEYS[2] .. ':hour:' .. math.floor(minute / 60)
  redis.call('HINCRBY', hour, minute .. '|events', accepted)
  redis.call('EXPIRE', hour, 93600)
end
return accepted
