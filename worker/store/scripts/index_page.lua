-- Find a page of an index of deliveries, newest first, on the server, so that only matching ids are sent.
-- KEYS  1 the index: a stream of ids, or dead letters by their time of death
-- ARGV  1 place of the last row before, an entry or `<time>:<id>` ('' for none)  2 limit of rows  3 limit of records to read
--       4, 5 prefixes of delivery keys and of rejected entries' keys ('' to skip these)
--       6 those queued before this ms are left out  7 … conditions: field, value …; values of one field are alternatives
-- Returns {place of the last row, '' at the end; id …}, without those whose records are gone.
local CHUNK = 500
local place, wanted, left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local is_stream = redis.call('TYPE', KEYS[1]).ok == 'stream'
local died, id_before = string.match(place, '^(%d+):(.*)$')
local offset, ids, last, since, conditions = 0, {}, '', tonumber(ARGV[6]), {}
for i = 7, #ARGV, 2 do
  conditions[ARGV[i]] = conditions[ARGV[i]] or {}
  conditions[ARGV[i]][ARGV[i + 1]] = true
end

-- Return the next rows, and whether they are the last. Those that died in the same ms are in the order of their ids.
local function read(count)
  local rows = {}
  if is_stream then
    local from = place == '' and '+' or '(' .. place
    for i, entry in ipairs(redis.call('XREVRANGE', KEYS[1], from, since, 'COUNT', count)) do
      rows[i] = {id = entry[2][2], place = entry[1]}
    end
    return rows, #rows < count
  end
  local page = redis.call('ZREVRANGEBYSCORE', KEYS[1], died or '+inf', since, 'WITHSCORES', 'LIMIT', offset, count)
  for i = 1, #page, 2 do
    local id, at = page[i], page[i + 1]
    if at ~= died or id < id_before then rows[#rows + 1] = {id = id, place = at .. ':' .. id} end
  end
  offset = offset + count
  return rows, #page < 2 * count
end

local function matches(id)
  if string.find(id, '-', 1, true) then return ARGV[5] ~= '' and redis.call('EXISTS', ARGV[5] .. id) == 1 end
  local born = redis.call('HGET', ARGV[4] .. id, 'born')
  if not born or tonumber(born) < since then return false end
  for field, values in pairs(conditions) do
    if not values[redis.call('HGET', ARGV[4] .. id, field) or ''] then return false end
  end
  return true
end

while left > 0 do
  local rows, is_end = read(math.min(CHUNK, left))
  for _, row in ipairs(rows) do
    place = row.place
    if matches(row.id) then
      if #ids == wanted then return {last, unpack(ids)} end
      ids[#ids + 1], last = row.id, place
    end
  end
  if is_end then return {'', unpack(ids)} end
  left = left - #rows
end
return {place, unpack(ids)}
