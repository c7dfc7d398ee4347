-- An unreadable entry goes back to the end of the stream, or (without fields) is discarded. That it was here is
-- remembered, without its bytes: a group made anew reads it again.
-- KEYS  1 its record  2 dead  3 dead:changes  4 ledger  5 the stream
-- ARGV  1 its id among dead letters  2 the reason these have  then its fields, flat
-- Returns 1 when it was still dead.
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
