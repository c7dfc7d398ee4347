-- Takes the lease and recovers what a dead holder left. Whoever is told anything but 'ok' holds nothing.
-- KEYS  17, 18 versions of integrations and subscriptions
-- ARGV  5 lease ms  6 latest ms a lane may lie down (a due-time beyond it comes from a clock that jumped)
-- Returns {'held'|'parked'|'empty'} or {'snoozed', ms, reason, failures in a row} or
-- {'ok', address, name, failures, singly, version of integrations, of subscriptions, unlisted}.
local lease_ms, horizon_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('DEL', wake)
local holder = redis.call('GET', lease)
if holder and holder ~= token then return {'held'} end
redis.call('DEL', lease)
if redis.call('HEXISTS', meta, 'parked') == 1 or redis.call('EXISTS', integration_parked) == 1 then
  set_due(now)
  return {'parked'}
end
if tellable() == 0 and redis.call('ZCOUNT', quiet, '-inf', now) == 0 then
  set_due(now)
  return {'empty'}
end
local at = tonumber(redis.call('ZSCORE', due, lane) or now)
local snoozed = redis.call('HGET', meta, 'snoozed')
if snoozed and at > now and at <= now + horizon_ms then return {'snoozed', at - now, snoozed, redis.call('HGET', meta, 'failures') or '0'} end
redis.call('SET', lease, token, 'PX', lease_ms)
redis.call('ZADD', due, now + lease_ms, lane)
redis.call('HDEL', meta, 'snoozed')
recover()
let_out()
local known = redis.call('HMGET', meta, 'address', 'name', 'failures', 'singly', 'unlisted')
local versions = redis.call('MGET', KEYS[17], KEYS[18])
return {'ok', known[1] or '', known[2] or '', known[3] or '0', known[4] or '0',
  versions[1] or '0', versions[2] or '0', known[5] or '0'}
