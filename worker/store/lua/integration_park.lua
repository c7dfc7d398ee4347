-- Parks everything of an integration in one step; the lanes notice when someone looks at them.
-- KEYS  1 why it is parked  2 probes  3 version of integrations  4 parkings people are still to be warned of
-- ARGV  1 code  2 reason  3 hint  4 longest ms until the first probe  5 its name among the probes
--       6 the version whose token failed ('' for any): a token set since then has not failed
--       7 shortest ms until the first probe; when it parked before and told nothing since, as long as that is ago
-- Returns 1 when it is parked now and was not before.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if ARGV[6] ~= '' and (redis.call('GET', KEYS[3]) or '0') ~= ARGV[6] then return 0 end
redis.call('HSET', KEYS[1], 'code', ARGV[1], 'reason', ARGV[2], 'hint', ARGV[3], 'since', now)
local first = tonumber(redis.call('GET', KEYS[1] .. ':first'))
if not first then
  first = now
  redis.call('SET', KEYS[1] .. ':first', now)
  redis.call('ZADD', KEYS[4], now, ARGV[5])
end
redis.call('ZADD', KEYS[2], now + math.min(math.max(now - first, ARGV[7]), ARGV[4]), ARGV[5])
return 1
