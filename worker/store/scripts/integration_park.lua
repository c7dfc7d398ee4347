-- Park an integration; its lanes notice when they are leased.
-- KEYS  1 why it is parked  2 probes  3 version of integrations  4 warnings
-- ARGV  1 code  2 reason  3 hint  4, 7 longest and shortest wait in ms before its first probe  5 its name as a probe
--       6 version whose token failed ('' for any): nothing is parked if something changed since  8 hint as JSON
-- Returns 1 when it was not parked before.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if ARGV[6] ~= '' and (redis.call('GET', KEYS[3]) or '0') ~= ARGV[6] then return 0 end
redis.call('HSET', KEYS[1], 'code', ARGV[1], 'reason', ARGV[2], 'hint', ARGV[3], 'hint_parts', ARGV[8], 'since', now)
local first = tonumber(redis.call('GET', KEYS[1] .. ':first'))
if not first then
  first = now
  redis.call('SET', KEYS[1] .. ':first', now)
  redis.call('ZADD', KEYS[4], now, ARGV[5])
end
redis.call('ZADD', KEYS[2], now + math.min(math.max(now - first, ARGV[7]), ARGV[4]), ARGV[5])
return 1
