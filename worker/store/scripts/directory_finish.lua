-- Make a finished scan the directory. Running it twice changes nothing.
-- KEYS  1 the claim  2, 3 channels and names of the scan  4 its cursor  5, 6, 7 channels, names and meta of the directory
-- ARGV  1 the process that scans
-- Returns 1, or 0 when another process has the claim.
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
redis.call('HSET', KEYS[7], 'read_at_ms', now, 'pages', pages)
redis.call('DEL', KEYS[4])
return 1
