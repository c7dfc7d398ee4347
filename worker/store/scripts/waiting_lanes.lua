-- What scripts share that read all lanes with pending deliveries: `store/redis_client.py` puts this in front of each.
-- KEYS  1 due  2 parked  3 integrations  4 probes
-- ARGV  1 prefix of the waiting lanes of parked integrations

-- Each such lane is due, parked, or waits for its integration; a few of them may be empty. Idle lanes cost nothing.
local function list_waiting_lanes()
  local lanes, seen = {}, {}
  local function add(found)
    for _, lane in ipairs(found) do
      if not seen[lane] then lanes[#lanes + 1] = lane end
      seen[lane] = true
    end
  end
  add(redis.call('ZRANGE', KEYS[1], 0, -1))
  add(redis.call('ZRANGE', KEYS[2], 0, -1))
  for _, id in ipairs(redis.call('HKEYS', KEYS[3])) do add(redis.call('SMEMBERS', ARGV[1] .. id)) end
  -- An integration that is being removed has a probe until its lanes are due.
  for _, name in ipairs(redis.call('ZRANGE', KEYS[4], 0, -1)) do
    local id = string.match(name, '^integration:(.*)$')
    if id then add(redis.call('SMEMBERS', ARGV[1] .. id)) end
  end
  return lanes
end

