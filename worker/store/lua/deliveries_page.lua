-- One page of the index, newest first: the ids whose records say what is asked for. The server looks, so that
-- of very many deliveries only the wanted ones travel.
-- KEYS  1 deliveries  ARGV  1 from where  2 until where  3 how many to look at  4 prefix of delivery keys
--       then what is asked for: field, value …
-- Returns {the entry looked at last, '' at the end; id …}
local page = redis.call('XREVRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local answer = {#page == tonumber(ARGV[3]) and page[#page][1] or ''}
for _, entry in ipairs(page) do
  local id, wanted = entry[2][2], true
  for i = 5, #ARGV, 2 do
    wanted = wanted and redis.call('HGET', ARGV[4] .. id, ARGV[i]) == ARGV[i + 1]
  end
  if wanted then answer[#answer + 1] = id end
end
return answer
