-- Dead letters become pending again, all of them before any is told.
-- KEYS  17 … the record of each one's event
-- ARGV  5 wake ms  6 life of an event in ms  7 … deliveries
-- Returns {how many were dead, 1 when to wake}.
local replayed = 0
for i = 7, #ARGV do
  if replay(ARGV[i], KEYS[i + 10], ARGV[6]) then replayed = replayed + 1 end
end
if replayed == 0 then return {0, 0} end
return {replayed, wake_if_due(ARGV[5])}
