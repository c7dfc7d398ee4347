-- Take the lease of a lane, with what a dead holder left in it.
-- KEYS  17, 18 versions of integrations and subscriptions
-- ARGV  5 lease in ms  6 longest snooze in ms (a later due time comes from a clock that jumped)  7 token of the lease
-- Returns {'held'|'parked'|'empty'} or {'snoozed', ms, reason, failures} or {'ok', address, name, failures, isolate until
-- seq, versions of integrations and of subscriptions, unlisted failures, failed edits, ms until cards may be edited}.
local lease_ms, horizon_ms, token = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
redis.call('DEL', wake)
local holder = redis.call('GET', lease)
if holder and holder ~= token then return {'held'} end
redis.call('DEL', lease)
if redis.call('HEXISTS', meta, 'parked') == 1 or redis.call('EXISTS', integration_parked) == 1 then
  set_due(now)
  return {'parked'}
end
if count_unheld() == 0 and redis.call('ZCOUNT', quiet, '-inf', now) == 0 then
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
end_quiet_hours()
local known = redis.call('HMGET', meta, 'address', 'name', 'failures', 'singly', 'unlisted', 'edit_failures', 'no_edits_until')
local edits_wait = math.min(math.max(tonumber(known[7] or 0) - now, 0), horizon_ms)
local versions = redis.call('MGET', KEYS[17], KEYS[18])
return {'ok', known[1] or '', known[2] or '', known[3] or '0', known[4] or '0',
  versions[1] or '0', versions[2] or '0', known[5] or '0', known[6] or '0', edits_wait}
