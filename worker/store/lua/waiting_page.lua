-- Some of what waits in the lanes, newest first, found by the lanes' own lists: each lane's are in order, so the
-- newest of them all is at the end of one.
-- KEYS  1 lanes
-- ARGV  1 prefix of lane keys  2 prefix of `P:integration:`  3 prefix of delivery keys  4 '1' of parked lanes, '0' of
--       the others, '' of all  5 only this lane ('' for every)  6 how many are wanted
--       7, 8, 9 born, lane and seq of the one they come after ('' for none)
-- Returns {born, lane, seq of the last one, '' at the end; id …}
local records, wanted = ARGV[3], tonumber(ARGV[6])
local after = ARGV[7] ~= '' and {tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])}
local parked_integrations, sources = {}, {}

local function is_parked(lane)
  if redis.call('HEXISTS', ARGV[1] .. lane, 'parked') == 1 then return true end
  local integration = string.match(lane, '^[^/]*')
  if parked_integrations[integration] == nil then
    parked_integrations[integration] = redis.call('EXISTS', ARGV[2] .. integration .. ':parked') == 1
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

-- Of a list in order: how many of it come after the place where the last page ended.
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

-- What is held until the same moment is in order; there are as many such runs as quiet hours that end.
local function add_quiet(lane, key)
  local total = redis.call('ZCARD', key)
  while total > 0 do
    local score = redis.call('ZRANGE', key, total - 1, total - 1, 'WITHSCORES')[2]
    local count = redis.call('ZCOUNT', key, score, score)
    local first = total - count
    add(lane, count, function(at)
      return string.match(redis.call('ZRANGE', key, first + at, first + at)[1], '^%d+:(.*)$')
    end)
    total = first
  end
end

for _, lane in ipairs(ARGV[5] ~= '' and {ARGV[5]} or redis.call('SMEMBERS', KEYS[1])) do
  if ARGV[4] == '' or is_parked(lane) == (ARGV[4] == '1') then
    for _, part in ipairs({':taken', ':pending'}) do
      local key = ARGV[1] .. lane .. part
      add(lane, redis.call('LLEN', key), function(at) return redis.call('LINDEX', key, at) end)
    end
    add_quiet(lane, ARGV[1] .. lane .. ':quiet')
  end
end

local ids, last = {}, nil
while #sources > 0 do
  local at = 1
  for i = 2, #sources do
    if is_older(sources[at].newest, sources[i].newest) then at = i end
  end
  if #ids == wanted then return {last[1], last[2], last[3], unpack(ids)} end
  local source = sources[at]
  last = source.newest
  ids[#ids + 1] = last[4]
  source.left = source.left - 1
  if source.left == 0 then table.remove(sources, at) else source.newest = place(source, source.left - 1) end
end
return {'', '', '', unpack(ids)}
