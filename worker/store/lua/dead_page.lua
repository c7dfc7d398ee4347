-- Some of the dead letters, those that died last first.
-- KEYS  1 dead, or those of one reason
-- ARGV  1 when the one died that they come after ('' for none)  2 its id  3 how many are wanted  4 how many to look at
--       5 prefix of delivery keys  6 prefix of unreadable entries' keys  7 '1' without unreadable entries
--       then what is asked for of a delivery: field, value …
-- Returns {died and id of the last that was of use, '' at the end; id …}; what is no longer kept is left out.
local CHUNK = 500
local wanted, left = tonumber(ARGV[3]), tonumber(ARGV[4])

local function died_after(at)
  local found = redis.call('ZREVRANGE', KEYS[1], at, at, 'WITHSCORES')
  local died, died_last = tonumber(found[2]), tonumber(ARGV[1])
  if died ~= died_last then return died > died_last end
  return found[1] >= ARGV[2]
end

-- Where the list goes on, whether or not the one that came last is still in it.
local function start()
  local low, high = 0, redis.call('ZCARD', KEYS[1])
  if ARGV[1] == '' then return low end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if died_after(middle) then low = middle + 1 else high = middle end
  end
  return low
end

local function is_one(id)
  if string.find(id, '-', 1, true) then return ARGV[7] ~= '1' and redis.call('EXISTS', ARGV[6] .. id) == 1 end
  if redis.call('HEXISTS', ARGV[5] .. id, 'state') == 0 then return false end
  for i = 8, #ARGV, 2 do
    if redis.call('HGET', ARGV[5] .. id, ARGV[i]) ~= ARGV[i + 1] then return false end
  end
  return true
end

local from, ids, last, looked = start(), {}, {'', ''}, nil
while left > 0 do
  local count = math.min(CHUNK, left)
  local page = redis.call('ZREVRANGE', KEYS[1], from, from + count - 1, 'WITHSCORES')
  for i = 1, #page, 2 do
    if is_one(page[i]) then
      if #ids == wanted then return {last[2], last[1], unpack(ids)} end
      ids[#ids + 1] = page[i]
      last = {page[i], page[i + 1]}
    end
  end
  if #page < 2 * count then return {'', '', unpack(ids)} end
  from, left, looked = from + count, left - count, {page[#page - 1], page[#page]}
end
return {looked[2], looked[1], unpack(ids)}
