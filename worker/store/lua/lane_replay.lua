-- A dead letter becomes pending again, at the end of its lane; its history stays.
-- KEYS  17 the event's record
-- ARGV  5 delivery  6 wake ms  7 life of the event in ms
-- Returns {1 when it was dead, 1 when to wake}.
local key = record .. ARGV[5]
if redis.call('HGET', key, 'state') ~= 'dead' or redis.call('EXISTS', KEYS[17]) == 0 then return {0, 0} end
unbury(ARGV[5])
local seq = redis.call('HINCRBY', meta, 'seq', 1)
redis.call('HSET', key, 'state', 'pending', 'born', now, 'seqs',
  (redis.call('HGET', key, 'seqs') or '') .. redis.call('HGET', key, 'seq') .. ' ', 'seq', seq)
redis.call('HDEL', key, 'finished')
redis.call('HINCRBY', key, 'replays', 1)
redis.call('PERSIST', key)
redis.call('PEXPIRE', KEYS[17], ARGV[7])
redis.call('RPUSH', pending, ARGV[5])
return {1, wake_if_due(ARGV[6])}
