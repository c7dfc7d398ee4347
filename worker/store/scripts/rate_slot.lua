-- Book the next slot in every scope, or in none (GCRA). A time in the far future, left by a clock that jumped, is ignored.
-- KEYS  per scope: its next free slot, its closed mark
-- ARGV  1 longest wait in ms  2 … per scope: ms per slot, burst
-- Returns {1 when booked, ms until the slot}.
local now = time[1] * 1000 + time[2] / 1000
local longest = tonumber(ARGV[1])
local start = now
local closed = 0
local allowances, known = {}, redis.call('MGET', unpack(KEYS))
for i = 1, #KEYS, 2 do
  local interval, burst = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local free = tonumber(known[i] or 0)
  if free > now + interval * burst + 120000 then free = 0 end
  start = math.max(start, free - interval * (burst - 1))
  allowances[#allowances + 1] = {KEYS[i], interval, math.max(free, 0)}
  local asked = known[i + 1]
  if asked then closed = math.max(closed, math.min(redis.call('PTTL', KEYS[i + 1]), tonumber(asked))) end
end
start = math.max(start, now + closed)
local wait = math.ceil(start - now)
if closed > 0 or wait > longest then return {0, wait} end
for _, allowance in ipairs(allowances) do
  local key, interval, free = unpack(allowance)
  local next_free = math.max(free, start) + interval
  redis.call('SET', key, string.format('%.3f', next_free), 'PX', math.ceil(next_free - now) + 1000)
end
return {1, wait}
