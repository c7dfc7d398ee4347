-- Creates deliveries and puts them at the end of their lane; one that exists already is left alone.
-- ARGV  5 integration  6 destination  7 most that may wait  8 wake ms  then id, event, subscription, accepted ms,
--       ms until which it is held in quiet hours (0 for not at all) …
-- Returns {created, overflowed, 1 when the caller is to send the wake-up call}. Atomic: all of it, for one lane.
local longest, wake_ms = tonumber(ARGV[7]), ARGV[8]
local created, overflowed = 0, 0
if redis.call('SADD', lanes, lane) == 1 then
  redis.call('HSET', meta, 'integration', ARGV[5], 'destination', ARGV[6])
end
for i = 9, #ARGV, 5 do
  local key = record .. ARGV[i]
  if redis.call('EXISTS', key) == 0 then
    local seq = redis.call('HINCRBY', meta, 'seq', 1)
    redis.call('HSET', key, 'event', ARGV[i + 1], 'sub', ARGV[i + 2], 'lane', lane, 'seq', seq, 'state', 'pending',
      'born', now, 'accepted', ARGV[i + 3])
    if tonumber(ARGV[i + 4]) > now then
      redis.call('ZADD', quiet, ARGV[i + 4], string.format('%012d:%s', seq, ARGV[i]))
    else
      redis.call('RPUSH', pending, ARGV[i])
    end
    index(deliveries, ARGV[i])
    index(meta .. ':deliveries', ARGV[i])
    created = created + 1
  end
end
redis.call('HINCRBY', ledger, 'created', created)
while redis.call('LLEN', pending) + redis.call('ZCARD', quiet) > longest do
  local oldest, held_first = redis.call('LINDEX', pending, 0), redis.call('ZRANGE', quiet, 0, 0)[1]
  local held_seq, held_id = string.match(held_first or '', '^(%d+):(.*)$')
  if held_id and (not oldest or tonumber(held_seq) < seq_of(oldest)) then
    redis.call('ZREM', quiet, held_first)
    oldest = held_id
  else
    redis.call('LPOP', pending)
  end
  bury(oldest, 'overflow', 'more than ' .. longest .. ' deliveries were waiting in this lane')
  overflowed = overflowed + 1
end
return {created, overflowed, wake_if_due(wake_ms)}
