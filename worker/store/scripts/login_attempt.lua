-- Book a login attempt, as failed until `record_success`. An address that has logged in is not slowed down by others.
-- KEYS  1 attempts of this address  2 attempts of all addresses  3 present when this address has logged in before
-- ARGV  1 free attempts and 2 longest wait in ms of an address  3, 4 the same of all  5 how long attempts count in ms
-- Returns 0 when booked, else the wait in ms.
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
