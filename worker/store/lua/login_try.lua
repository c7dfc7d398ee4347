-- Books one try of the password, as failed until it turns out otherwise: tries at the same moment count too.
-- KEYS  1 tries of this address   2 tries of all addresses   3 present when this address has logged in before
-- ARGV  1 free tries of an address, 2 its longest wait in ms, 3 and 4 the same of all, 5 how long tries count in ms
-- Returns 0 when it may try, else how many ms to wait; then nothing is booked
-- atomic: the look at both and the booking. Who has logged in before is not kept out by what strangers do.
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local last = redis.call('EXISTS', KEYS[3]) == 1 and 1 or 2

local wait = 0
for place = 1, last do
  local closed_until = tonumber(redis.call('HGET', KEYS[place], 'until') or 0)
  wait = math.max(wait, closed_until - now)
end
if wait > 0 then
  return wait
end

for place = 1, last do
  local tries = redis.call('HINCRBY', KEYS[place], 'tries', 1)
  local over = tries - tonumber(ARGV[place * 2 - 1])
  if over >= 0 then
    local longest = tonumber(ARGV[place * 2])
    redis.call('HSET', KEYS[place], 'until', string.format('%.0f', now + math.min(1000 * 2 ^ math.min(over, 20), longest)))
  end
  redis.call('PEXPIRE', KEYS[place], ARGV[5])
end
return 0
