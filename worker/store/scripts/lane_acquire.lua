-- Take the lease of a lane, with what a dead holder left in it.
-- KEYS  17, 18 versions of integrations and subscriptions
-- ARGV  5 lease in ms  6 longest snooze in ms (a later due time comes from a clock that jumped)  7 token of the lease
-- Returns {'held'|'parked'|'empty'} or {'snoozed', ms, reason, failures} or {'ok', address, name, failures, isolate until
-- seq, versions of integrations and of subscriptions, unlisted failures, failed edits, ms until cards may be edited}.
local lease_ms, horizon_ms, token = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
redis.call('DEL', wake)
local holder = redis.call('GET', lease)
if holder and holder ~= token then return {'held'} end
if holder then redis.call('DEL', lease) end
local known = redis.call('HMGET', meta, 'address', 'name', 'failures', 'singly', 'unlisted', 'edit_failures',
  'no_edits_until', 'parked', 'snoozed', 'open')
local left_behind = redis.call('LLEN', taken)
local unheld = redis.call('LLEN', pending) + left_behind
if known[8] or redis.call('EXISTS', integration_parked) == 1 then
  set_due(now, unheld)
  return {'parked'}
end
local quiet_end = tonumber(redis.call('ZRANGE', quiet, 0, 0, 'WITHSCORES')[2] or nil)
local is_quiet_over = quiet_end and quiet_end <= now
if unheld == 0 and not is_quiet_over then
  set_due(now, unheld)
  return {'empty'}
end
if known[9] then
  local at = tonumber(redis.call('ZSCORE', due, lane) or now)
  if at > now and at <= now + horizon_ms then return {'snoozed', at - now, known[9], known[3] or '0'} end
  redis.call('HDEL', meta, 'snoozed')
end
redis.call('SET', lease, token, 'PX', lease_ms)
redis.call('ZADD', due, now + lease_ms, lane)
if known[10] or left_behind > 0 then
  recover()
  known = redis.call('HMGET', meta, 'address', 'name', 'failures', 'singly', 'unlisted', 'edit_failures', 'no_edits_until')
end
if is_quiet_over then end_quiet_hours() end
local edits_wait = math.min(math.max(tonumber(known[7] or 0) - now, 0), horizon_ms)
local versions = redis.call('MGET', KEYS[17], KEYS[18])
return {'ok', known[1] or '', known[2] or '', known[3] or '0', known[4] or '0',
  versions[1] or '0', versions[2] or '0', known[5] or '0', known[6] or '0', edits_wait}
