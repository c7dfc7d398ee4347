-- Some of the lanes that wait for a person, by themselves or with their integration; the longest waiting first.
-- KEYS  1 lanes  2 integrations
-- ARGV  1 prefix of lane keys  2 prefix of `P:integration:`  3 how many are wanted
--       4, 5 since when, and lane of the one they come after ('' for none)
-- Returns {1 when there are more, then per lane: lane, since, waiting, code, reason, hint, 1 for its whole integration}
local wanted, since, lane_before = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local NAMES = {'parked', 'reason', 'hint', 'since'}
local integrations, found = {}, {}

local function of_integration(id)
  if integrations[id] == nil then
    local why = redis.call('HMGET', ARGV[2] .. id .. ':parked', 'code', 'reason', 'hint', 'since')
    why.is_known = redis.call('HEXISTS', KEYS[2], id) == 1
    integrations[id] = why
  end
  return integrations[id]
end

for _, lane in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local key = ARGV[1] .. lane
  local own, whole = redis.call('HMGET', key, unpack(NAMES)), of_integration(string.match(lane, '^[^/]*'))
  local waiting = (own[1] or whole[1]) and redis.call('LLEN', key .. ':pending') + redis.call('LLEN', key .. ':taken')
    + redis.call('ZCARD', key .. ':quiet')
  if waiting and (own[1] or waiting > 0) then
    local is_whole = whole[1] and whole.is_known
    local why = is_whole and whole or own
    local at = tonumber(why[4] or 0)
    if not since or at > since or (at == since and lane > lane_before) then
      found[#found + 1] = {lane, at, waiting, why[1] or whole[1], why[2] or '', why[3] or '', is_whole and 1 or 0}
    end
  end
end
table.sort(found, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
local answer = {#found > wanted and 1 or 0}
for i = 1, math.min(#found, wanted) do
  for j = 1, 7 do answer[#answer + 1] = found[i][j] end
end
return answer
