-- When the data of this installation began. Doing it twice changes nothing.
-- KEYS  1 origin
-- ARGV  1 an id for data that begin now  2 the id the caller has seen before ('' for none)  3 the layout it writes
-- Returns {id, layout, began in ms, lost in ms or ''}; lost is when data were seen to be gone that were there before.
if redis.call('EXISTS', KEYS[1]) == 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'layout', ARGV[3], 'began', now, 'lost', ARGV[2] == '' and '' or now)
end
return redis.call('HMGET', KEYS[1], 'id', 'layout', 'began', 'lost')
