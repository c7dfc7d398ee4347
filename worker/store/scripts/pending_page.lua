-- Find a page of pending deliveries, newest first: each list of a lane is in order, so the newest is at the end of one.
-- KEYS  1 … 4 as in `waiting_lanes.lua`
-- ARGV  1 as in `waiting_lanes.lua`  2, 3, 4 prefixes of lane, integration and delivery keys
--       5 '1' for parked lanes, '0' for others, '' for all  6 limit of rows
--       7, 8, 9 born, lane, seq of the last row of the page before ('' for none)  10 limit of records to read
--       11 those queued before this ms are left out  12 … conditions as in `index_page.lua`
-- Returns {born, lane, seq of the last row, '' at the end; id …}.
local records, wanted, left, since = ARGV[4], tonumber(ARGV[6]), tonumber(ARGV[10]), tonumber(ARGV[11])
local after = ARGV[7] ~= '' and {tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])}
local wanted_lanes, severities = {}, {}
for i = 12, #ARGV, 2 do
  if ARGV[i] == 'lane' then wanted_lanes[#wanted_lanes + 1] = ARGV[i + 1] else severities[ARGV[i + 1]] = true end
end
local parked_integrations, sources = {}, {}

local function is_parked(lane)
  if redis.call('HEXISTS', ARGV[2] .. lane, 'parked') == 1 then return true end
  local integration = string.match(lane, '^[^/]*')
  if parked_integrations[integration] == nil then
    parked_integrations[integration] = redis.call('EXISTS', ARGV[3] .. integration .. ':parked') == 1
  end
  return parked_integrations[integration]
end

local function place(source, at)
  local id = source.id_at(at)
  local found = redis.call('HMGET', records .. id, 'born', 'seq')
  return {tonumber(found[1] or 0), source.lane, tonumber(found[2] or 0), id}
end

local function is_older(one, other)
  if one[1] ~= other[1] then return one[1] < other[1] end
  if one[2] ~= other[2] then return one[2] < other[2] end
  return one[3] < other[3]
end

-- Add a list in order, without the part that earlier pages have shown.
local function add(lane, count, id_at)
  local source, low, high = {lane = lane, id_at = id_at}, 0, count
  while after and low < high do
    local middle = math.floor((low + high) / 2)
    if is_older(place(source, middle), after) then low = middle + 1 else high = middle end
  end
  source.left = after and low or count
  if source.left == 0 then return end
  source.newest = place(source, source.left - 1)
  sources[#sources + 1] = source
end

for _, lane in ipairs(#wanted_lanes > 0 and wanted_lanes or list_waiting_lanes()) do
  if ARGV[5] == '' or is_parked(lane) == (ARGV[5] == '1') then
    for _, part in ipairs({':taken', ':pending'}) do
      local key = ARGV[2] .. lane .. part
      add(lane, redis.call('LLEN', key), function(at) return redis.call('LINDEX', key, at) end)
    end
    local held = redis.call('ZRANGE', ARGV[2] .. lane .. ':quiet', 0, -1)
    table.sort(held) -- `<seq>:<id>`, in the order of their creation
    add(lane, #held, function(at) return string.match(held[at + 1], '^%d+:(.*)$') end)
  end
end

local ids, last = {}, nil
while #sources > 0 do
  local at = 1
  for i = 2, #sources do
    if is_older(sources[at].newest, sources[i].newest) then at = i end
  end
  local source = sources[at]
  if source.newest[1] < since then break end
  if #ids == wanted or left == 0 then return {last[1], last[2], last[3], unpack(ids)} end
  last, left = source.newest, left - 1
  local is_wanted = next(severities) == nil or severities[redis.call('HGET', records .. last[4], 'severity') or '']
  if is_wanted then ids[#ids + 1] = last[4] end
  source.left = source.left - 1
  if source.left == 0 then table.remove(sources, at) else source.newest = place(source, source.left - 1) end
end
return {'', '', '', unpack(ids)}
