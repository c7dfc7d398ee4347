-- Read the counters and the lanes with pending deliveries in one consistent snapshot.
-- KEYS  1 … 4 as in `waiting_lanes.lua`  5 ledger
-- ARGV  1 as in `waiting_lanes.lua`  2 … 4 prefixes of lane, integration and delivery keys
-- Returns {counters, then per lane that is parked or not empty: lane, pending, its code, its integration's code, since when
-- the lane and since when the integration is parked, since when its first delivery is due, 0 when none is, how many are held
-- in quiet hours, and the failure that a snoozed lane waits out}.
local answer, integrations = {redis.call('HGETALL', KEYS[5])}, {}
for _, lane in ipairs(list_waiting_lanes()) do
  local key, id = ARGV[2] .. lane, string.match(lane, '^[^/]*')
  local own = redis.call('HMGET', key, 'parked', 'since', 'failures', 'snoozed')
  local whole = integrations[id] or redis.call('HMGET', ARGV[3] .. id .. ':parked', 'code', 'since')
  integrations[id] = whole
  local waiting = redis.call('LLEN', key .. ':pending') + redis.call('LLEN', key .. ':taken')
  local held = redis.call('ZCARD', key .. ':quiet')
  waiting = waiting + held
  if waiting > 0 or own[1] then
    local first = redis.call('LINDEX', key .. ':taken', 0) or redis.call('LINDEX', key .. ':pending', 0)
    -- A replay and the end of quiet hours make a delivery due again.
    local times = first and redis.call('HMGET', ARGV[4] .. first, 'accepted', 'out', 'replays', 'born') or {}
    local due = times[2] or (times[3] and times[4]) or times[1] or '0'
    local row = {lane, waiting, own[1] or '', whole[1] or '', own[2] or '0', whole[2] or '0', due, held,
      own[3] and own[4] or ''}
    for _, value in ipairs(row) do answer[#answer + 1] = value end
  end
end
return answer
