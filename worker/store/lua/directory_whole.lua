-- A reading that came to its end takes the place of the last one. Doing it twice changes nothing.
-- KEYS  1 the claim  2 channels of this reading  3 their names  4 the place  5 channels  6 names  7 meta
-- ARGV  1 reader
-- Returns 1, or 0 when the claim is another's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local pages = redis.call('HGET', KEYS[4], 'pages')
if not pages then return 1 end
for i = 2, 3 do
  if redis.call('EXISTS', KEYS[i]) == 1 then
    redis.call('RENAME', KEYS[i], KEYS[i + 3])
    redis.call('PERSIST', KEYS[i + 3])
  else
    redis.call('DEL', KEYS[i + 3])
  end
end
local time = redis.call('TIME')
redis.call('HSET', KEYS[7], 'read_at_ms', time[1] * 1000 + math.floor(time[2] / 1000), 'pages', pages)
redis.call('DEL', KEYS[4])
return 1
