-- Which of these deliveries there are.
-- KEYS  none  ARGV  1 prefix of delivery keys  then ids
-- Returns ids.
local found = {}
for i = 2, #ARGV do
  if redis.call('EXISTS', ARGV[1] .. ARGV[i]) == 1 then found[#found + 1] = ARGV[i] end
end
return found
