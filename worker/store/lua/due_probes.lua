-- What is parked and should be looked at now; each is moved on, so that a crash only delays it. An integration is
-- looked at twice as late each time, counted from when it parked first, until something was told again.
-- KEYS  1 probes  ARGV  1 how many at most  2 longest ms until the next look  3 prefix of integrations' keys
--       4, 5 shortest and longest ms until an integration's next look
-- Returns their names.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local longest = tonumber(ARGV[2])
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], now + 2 * longest, '+inf', 'LIMIT', 0, ARGV[1])) do
  found[#found + 1] = name
end
for _, name in ipairs(found) do
  local wait, id = longest, string.match(name, '^integration:(.*)$')
  if id then
    local first = tonumber(redis.call('GET', ARGV[3] .. id .. ':parked:first') or now - longest)
    wait = math.min(math.max(now - first, ARGV[4]), longest, ARGV[5])
  end
  redis.call('ZADD', KEYS[1], now + wait, name)
end
return found
