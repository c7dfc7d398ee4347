-- Keeps one page of a reading and the place where it goes on, in one step; of several channels of one name (shared
-- ones keep theirs) the one we can post to has it. Doing it twice changes nothing.
-- KEYS  1 the claim  2 channels of this reading  3 their names  4 the place
-- ARGV  1 reader  2 life of a reading that is broken off in ms  3 '1' when the private channels are next  4 cursor
--       5 pages so far, then per channel: id, flags and name as kept, name
-- Returns channels so far, or -1 when the claim is another's.
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
for _, key in ipairs({channels, names}) do redis.call('PEXPIRE', key, ARGV[2] + 60000) end -- never before the place
return so_far
