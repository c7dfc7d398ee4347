-- Record that the last attempt of an address had the right secret: it no longer counts.
-- KEYS  1 attempts of this address  2 attempts of all addresses  3 present when this address has logged in before
-- ARGV  1 how long attempts count in ms  2 how long an address is known in s
-- Returns 0.
redis.call('DEL', KEYS[1])

-- An attempt of a known address was not counted among those of all addresses.
if redis.call('EXISTS', KEYS[3]) == 0 and tonumber(redis.call('HGET', KEYS[2], 'tries') or 0) > 0 then
  redis.call('HINCRBY', KEYS[2], 'tries', -1)
  redis.call('HDEL', KEYS[2], 'until')
  redis.call('PEXPIRE', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[3], 1, 'EX', ARGV[2])
return 0
