-- Some of an index of deliveries, newest first: the ids whose records say what is asked for. The server looks, so that
-- of very many deliveries only the wanted ones travel.
-- KEYS  1 the index  ARGV  1 from where ('+' or '(entry')  2 how many are wanted  3 how many to look at
--       4 prefix of delivery keys  then what is asked for: field, value …
-- Returns {the last entry that was of use, '' at the end; id …}; an id whose record is no longer kept is left out.
local CHUNK = 500
local from, wanted, left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local ids, last_wanted = {}, ''
while left > 0 do
  local count = math.min(CHUNK, left)
  local page = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', count)
  for _, entry in ipairs(page) do
    local id = entry[2][2]
    local is_one = redis.call('HEXISTS', ARGV[4] .. id, 'state') == 1
    for i = 5, #ARGV, 2 do
      is_one = is_one and redis.call('HGET', ARGV[4] .. id, ARGV[i]) == ARGV[i + 1]
    end
    if is_one and #ids == wanted then return {last_wanted, unpack(ids)} end
    if is_one then
      ids[#ids + 1] = id
      last_wanted = entry[1]
    end
  end
  if #page < count then return {'', unpack(ids)} end
  from = '(' .. page[#page][1]
  left = left - count
end
return {string.sub(from, 2), unpack(ids)}
