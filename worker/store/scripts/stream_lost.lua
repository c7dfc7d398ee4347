-- Count the entries that were removed from the stream before our group read them, from Redis 7 on, which counts all that
-- were ever added.
-- KEYS  1 the stream  2 ledger
-- ARGV  1 group
-- Returns how many more are lost since the last time.
local function pairs_of(flat)
  local values = {}
  for i = 1, #flat, 2 do values[flat[i]] = flat[i + 1] end
  return values
end
local function is_after(one, other)
  local ms, n = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_n = string.match(other, '(%d+)-(%d+)')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(n) > tonumber(other_n)
end
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local stream, group = pairs_of(redis.call('XINFO', 'STREAM', KEYS[1])), nil
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local values = pairs_of(flat)
  if values.name == ARGV[1] then group = values end
end
local added = stream['entries-added']
if not (added and group) then return 0 end
-- How many were added up to the place of the group. What was removed behind that place was read. Redis before 7.2 counts
-- `entries-read` wrongly after a removal, so this counts only when the group is at an end of the stream.
local first, delivered, passed = stream['first-entry'], group['last-delivered-id'], added
if not first or is_after(first[1], delivered) then
  passed = added - stream.length
elseif delivered ~= stream['last-generated-id'] then
  return 0
end
local counters = redis.call('HMGET', KEYS[2], 'entries', 'entries|before', 'lost')
local known = tonumber(counters[3] or 0)
local missing = passed - group.pending - tonumber(counters[1] or 0)
local before = tonumber(counters[2] or missing)
if not counters[2] or missing - before < known then -- the first time, or the stream began anew
  before = missing - known
  redis.call('HSET', KEYS[2], 'entries|before', before)
end
local more = missing - before - known
if more > 0 then redis.call('HINCRBY', KEYS[2], 'lost', more) end
return more
