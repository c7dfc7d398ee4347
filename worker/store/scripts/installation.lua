-- Read the installation's marker, and create it if missing. Running it twice changes nothing.
-- KEYS  1 the marker
-- ARGV  1 id of a new marker  2 the id the caller saw before ('' for none)  3 layout of a new marker
-- Returns {id, layout, when its data began in ms, when earlier data was found to be lost in ms or ''}.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'layout', ARGV[3], 'began', now, 'lost', ARGV[2] == '' and '' or now)
end
return redis.call('HMGET', KEYS[1], 'id', 'layout', 'began', 'lost')
