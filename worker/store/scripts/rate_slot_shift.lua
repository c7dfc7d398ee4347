-- Move the next slot of a scope to a whole interval from now, as the last one was used late.
-- KEYS  1 the scope's next free slot
-- ARGV  1 ms per slot
-- Returns 1 when the slot moved.
local now = time[1] * 1000 + time[2] / 1000
local next_free = now + tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or 0) >= next_free then return 0 end
redis.call('SET', KEYS[1], string.format('%.3f', next_free), 'PX', math.ceil(tonumber(ARGV[1])) + 1000)
return 1
