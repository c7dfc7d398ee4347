-- Put an unreadable entry back at the end of the stream, or (without fields) discard it. Its record stays, without bytes.
-- KEYS  1 its record  2 dead letters  3 number of their changes  4 ledger  5 the stream
-- ARGV  1 id as a dead letter  2 reason  3 … its fields, flat
-- Returns 1 when it was a dead letter.
if redis.call('HGET', KEYS[1], 'state') ~= 'dead' then return 0 end
redis.call('HSET', KEYS[1], 'state', #ARGV > 2 and 'replayed' or 'discarded')
redis.call('HDEL', KEYS[1], 'raw')
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[2] .. ':of:' .. ARGV[2], ARGV[1])
redis.call('INCR', KEYS[3])
if #ARGV > 2 then
  redis.call('HINCRBY', KEYS[4], 'rejected', -1)
  redis.call('XADD', KEYS[5], '*', unpack(ARGV, 3))
end
return 1
