-- Claim the probes that are due, and schedule each again: an integration's after as long as it has been parked.
-- KEYS  1 probes
-- ARGV  1 limit  2 longest wait in ms  3 prefix of integrations' keys  4, 5 shortest and longest wait of an integration
-- Returns the names of the probes.
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
