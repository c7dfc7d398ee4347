-- Save a page of a scan and its next cursor. Of channels with one name the one we can post to gets the name.
-- KEYS  1 the claim  2, 3 channels and names of the scan  4 its cursor
-- ARGV  1 the process that scans  2 lifetime of an interrupted scan in ms  3 '1' when private channels are next
--       4 cursor  5 pages read  6 … per channel: id, flags and name as stored, name
-- Returns the number of channels read, or -1 when another process has the claim.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local channels, names, place = KEYS[2], KEYS[3], KEYS[4]

local function worth(kept)
  local flags = string.match(kept or '', '^%a*')
  return (string.find(flags, 'm') and 1 or 0) + (string.find(flags, 'a') and 0 or 1)
end

for i = 6, #ARGV, 3 do
  local id, kept, name = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  redis.call('HSET', channels, id, kept)
  local other = redis.call('HGET', names, name)
  if not other or worth(kept) >= worth(redis.call('HGET', channels, other)) then
    redis.call('HSET', names, name, id)
  end
end
local so_far = redis.call('HLEN', channels)
redis.call('HSET', place, 'private', ARGV[3], 'cursor', ARGV[4], 'pages', ARGV[5], 'channels', so_far)
redis.call('PEXPIRE', place, ARGV[2])
for _, key in ipairs({channels, names}) do redis.call('PEXPIRE', key, ARGV[2] + 60000) end -- never before the cursor
return so_far
