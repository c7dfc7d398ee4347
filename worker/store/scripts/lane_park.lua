-- Park the lane; the cost does not depend on how many deliveries are pending.
-- KEYS  17 warnings
-- ARGV  5 code  6 reason  7 hint  8 ms to the next probe  9 '1' when a call to Slack found the reason  10 hint as JSON
-- Returns {'ok', pending}.
if ARGV[9] == '1' then close_attempt('blocked', ARGV[5], 0) end
redis.call('HDEL', meta, 'open')
give_back()
redis.call('DEL', lease)
redis.call('HSET', meta, 'parked', ARGV[5], 'reason', ARGV[6], 'hint', ARGV[7], 'hint_parts', ARGV[10])
redis.call('HSETNX', meta, 'since', now)
redis.call('HDEL', meta, 'failures', 'unlisted')
redis.call('ZREM', due, lane)
redis.call('ZADD', parked, redis.call('HGET', meta, 'since'), lane)
if redis.call('HSETNX', meta, 'warned', now) == 1 then redis.call('ZADD', KEYS[17], now, 'lane:' .. lane) end
redis.call('ZADD', probes, now + tonumber(ARGV[8]), 'lane:' .. lane)
return {'ok', redis.call('LLEN', pending)}
