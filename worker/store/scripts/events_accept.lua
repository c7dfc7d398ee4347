-- Count events and acknowledge their entries, each exactly once: the last step of ingest.
-- KEYS  1 the stream  2 ledger  3 the newest events  4 … the record of each event
-- ARGV  1 group  2 how many of the newest are kept  3 … per event: source, entry, '1' for a repeat, suppressed why, kind
-- Returns how many events are new.
local counts = {}
local function count(name, by) counts[name] = (counts[name] or 0) + by end

for i = 4, #KEYS do
  local at = (i - 4) * 5 + 3
  local field, entry, is_repeat, reason, kind = unpack(ARGV, at, at + 4)
  local acknowledged = redis.call('XACK', KEYS[1], ARGV[1], entry)
  count('entries', acknowledged)
  if is_repeat == '1' then
    if redis.call('HGET', KEYS[i], field .. ':entry') ~= entry then
      count('repeats_ignored', acknowledged)
    end
  elseif redis.call('HSETNX', KEYS[i], field .. ':accepted', 1) == 1 then
    count('accepted', 1)
    count('kind|' .. kind, 1)
    redis.call('LPUSH', KEYS[3], string.match(KEYS[i], '[^:]*$') .. '.' .. field)
    if reason ~= '' then
      redis.call('HSET', KEYS[i], field .. ':suppressed', reason)
      count('suppressed', 1)
    else
      count('routed', 1)
    end
  end
end
for name, by in pairs(counts) do
  if by > 0 then redis.call('HINCRBY', KEYS[2], name, by) end
end
local accepted = counts.accepted or 0
-- Count events by the minute, in one hash per hour that is kept a little over a day (`store/metrics.py`).
if accepted > 0 then
  redis.call('LTRIM', KEYS[3], 0, ARGV[2] - 1)
  local minute = math.floor(time[1] / 60)
  local hour = KEYS[2] .. ':hour:' .. math.floor(minute / 60)
  redis.call('HINCRBY', hour, minute .. '|events', accepted)
  redis.call('EXPIRE', hour, 93600)
end
return accepted
