-- What all lane scripts share: `store/redis_client.py` puts this in front of each `lane_*.lua`.
-- KEYS  1 lane  2 pending  3 taken  4 lease  5 wake  6 attempts  7 due  8 parked  9 waiting lanes of the integration
--       10 why the integration is parked  11 ledger  12 probes  13 dead letters  14 number of their changes
--       15 deliveries  16 lanes
-- ARGV  1 lane  2 prefix of delivery keys  3 retention in ms
--       4 the token of a lease holder whose step this is ('' for other steps): once another holds the lane, the step
--       does nothing and returns {'fenced'}
local lane, record, retention_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local meta, pending, taken, lease, wake, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local due, parked, held, integration_parked = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local ledger, probes, dead, dead_changes, deliveries, lanes = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]

-- Deliveries held in quiet hours, `<seq>:<id>` by the end of these; others overtake them.
local quiet = meta .. ':quiet'
-- The newest deliveries that expired while the lane was parked and were never replayed.
local missed = meta .. ':missed'
local CRITICAL = '3' -- as `Severity` in domain/event.py
local LATEST_MS = 3000000 -- a later due time would look like that of a clock that jumped

local function count_unheld()
  return redis.call('LLEN', pending) + redis.call('LLEN', taken)
end

local function count_waiting()
  return count_unheld() + redis.call('ZCARD', quiet)
end

-- A record that is gone (evicted, deleted by hand) must not stop its lane: an empty one replaces it.
local function seq_of(id)
  local seq = redis.call('HGET', record .. id, 'seq')
  if seq then return tonumber(seq) end
  seq = redis.call('HINCRBY', meta, 'seq', 1)
  redis.call('HSET', record .. id, 'event', '', 'sub', '', 'lane', lane, 'seq', seq, 'state', 'pending',
    'born', now, 'accepted', now)
  return seq
end

-- Set when the lane is due, and return it. A parked or an empty lane never is; one with held deliveries alone when the
-- first quiet hours end. A caller that knows how many deliveries are not held says so.
local function set_due(at, unheld)
  unheld = unheld or count_unheld()
  local quiet_end = unheld == 0 and redis.call('ZRANGE', quiet, 0, 0, 'WITHSCORES')[2]
  if (unheld == 0 and not quiet_end) or redis.call('HEXISTS', meta, 'parked') == 1 then
    redis.call('ZREM', due, lane)
    return nil
  elseif redis.call('EXISTS', integration_parked) == 1 then
    redis.call('ZREM', due, lane)
    redis.call('SADD', held, lane)
    return nil
  end
  if quiet_end then at = math.max(now, math.min(tonumber(quiet_end), now + LATEST_MS)) end
  redis.call('ZADD', due, at, lane)
  return at
end

local function renew(lease_ms)
  redis.call('PEXPIRE', lease, lease_ms)
  redis.call('ZADD', due, now + lease_ms, lane)
end

-- Return 1 when the caller is to send the one wake-up call.
local function claim_wake(wake_ms)
  return redis.call('SET', wake, '1', 'NX', 'PX', wake_ms) and 1 or 0
end

-- The same for a lane with new pending deliveries, unless it is snoozed or leased.
local function wake_if_due(wake_ms, unheld)
  local at = tonumber(redis.call('ZSCORE', due, lane) or nil)
  local is_leased = redis.call('EXISTS', lease) == 1
  if not at or (at > now and not is_leased and redis.call('HEXISTS', meta, 'snoozed') == 0) then
    at = set_due(now, unheld)
  end
  if not at or at > now or is_leased then return 0 end
  return claim_wake(wake_ms)
end

local function is_older(id, than)
  return tonumber(redis.call('HGET', record .. id, 'seq') or math.huge) < seq_of(than)
end

-- Put these deliveries, oldest first, back to the front, but behind older ones that are pending.
local function put_back(ids)
  if #ids == 0 then return end
  local last, seqs = ids[#ids], nil
  local first = redis.call('LINDEX', pending, 0)
  while first and is_older(first, last) do
    seqs = seqs or {}
    ids[#ids + 1] = redis.call('LPOP', pending)
    first = redis.call('LINDEX', pending, 0)
  end
  if seqs then
    for _, id in ipairs(ids) do seqs[id] = seq_of(id) end
    table.sort(ids, function(a, b) return seqs[a] < seqs[b] end)
  end
  for i = #ids, 1, -1 do redis.call('LPUSH', pending, ids[i]) end
end

-- Put back all taken deliveries; only the shorter of the two lists is walked, unless older ones are pending.
local function give_back()
  local last, first = redis.call('LINDEX', taken, -1), redis.call('LINDEX', pending, 0)
  if not last then return end
  if first and is_older(first, last) then
    local ids = redis.call('LRANGE', taken, 0, -1)
    redis.call('DEL', taken)
    put_back(ids)
  elseif redis.call('LLEN', taken) < redis.call('LLEN', pending) then
    while redis.call('LMOVE', taken, pending, 'RIGHT', 'LEFT') do end
  else
    while redis.call('LMOVE', pending, taken, 'LEFT', 'RIGHT') do end
    redis.call('RENAME', taken, pending)
  end
end

-- Put deliveries whose quiet hours ended to the front, in the order of their creation; their age counts from now on.
local function end_quiet_hours()
  local members = redis.call('ZRANGEBYSCORE', quiet, '-inf', now, 'WITHSCORES')
  if #members == 0 then return end
  local found, seqs = {}, {}
  for i = 1, #members, 2 do
    local seq, id = string.match(members[i], '^(%d+):(.*)$')
    redis.call('HSET', record .. id, 'out', tonumber(members[i + 1]))
    found[#found + 1], seqs[id] = id, tonumber(seq)
  end
  redis.call('ZREMRANGEBYSCORE', quiet, '-inf', now)
  table.sort(found, function(one, other) return seqs[one] < seqs[other] end)
  put_back(found)
end

-- Record the call that begins: when, its method, and the range of its deliveries, which are taken. If the range has
-- others, record the ids of its deliveries too, or after '-' those of the others, where these are fewer.
local function open_attempt(method, ids, from, to)
  local n = #ids
  if n == 0 then return end
  from, to = from or seq_of(ids[1]), to or seq_of(ids[n])
  local of = ''
  if to - from >= n and n <= 200 then
    of = table.concat(ids, ' ')
  elseif to - from >= n then
    for _, id in ipairs(redis.call('LRANGE', pending, 0, 199)) do
      local seq = seq_of(id)
      if seq > to then break end
      if seq > from then of = (of == '' and '- ' or of .. ' ') .. id end
    end
  end
  redis.call('HSET', meta, 'open', now, 'method', method, 'first', from, 'last', to, 'of', of)
end

-- Remember when the integration's calls last succeeded or failed. What Slack answered about one channel or message is no
-- failure of the integration.
local function note_call(outcome, code)
  local calls = string.gsub(integration_parked, ':parked$', ':calls')
  if outcome == 'delivered' then
    redis.call('HSET', calls, 'succeeded', now)
  elseif outcome == 'unknown' or outcome == 'transient' then
    redis.call('HSET', calls, 'failed', now, 'code', code)
  end
end

-- Count each call to Slack once, for metrics: its method, its outcome and Slack's code. Messages are also counted by the
-- minute, in one hash per hour that is kept a little over a day (`store/metrics.py`).
local function count_call(method, outcome, code)
  if outcome == 'delivered' then
    local minute = math.floor(now / 60000)
    local hour, what = ledger .. ':hour:' .. math.floor(minute / 60), method == 'chat.update' and 'edits' or 'posts'
    if redis.call('HINCRBY', hour, minute .. '|' .. what, 1) == 1 then redis.call('EXPIRE', hour, 93600) end
  end
  if code == '' then
    code = outcome == 'delivered' and 'ok' or outcome
  elseif #code > 64 or not string.find(code, '^[%w_.]+$') or redis.call('HLEN', ledger) > 1000 then
    code = 'other'
  end
  redis.call('HINCRBY', ledger, 'call|' .. method .. '|' .. outcome .. '|' .. code, 1)
end

-- Record the outcome of the open call, and return 1 if it was an attempt of its deliveries: one that Slack throttled is
-- none, and neither is one that is not open.
local function close_call(outcome, code, wait_ms)
  local open = redis.call('HMGET', meta, 'open', 'method', 'first', 'last', 'of')
  if not open[1] then return 0 end
  redis.call('XADD', attempts, '*', 'at', open[1], 'method', open[2], 'first', open[3], 'last', open[4],
    'of', open[5] or '', 'outcome', outcome, 'code', code, 'wait', wait_ms)
  redis.call('HDEL', meta, 'open')
  if outcome == 'delivered' and open[2] == 'chat.update' then
    redis.call('HDEL', meta, 'edit_failures', 'no_edits_until')
  end
  count_call(open[2], outcome, code)
  note_call(outcome, code)
  -- An edit that is made twice posts nothing twice.
  return outcome == 'throttled' and 0 or 1, outcome == 'unknown' and open[2] ~= 'chat.update'
end

-- The same, and count the attempt for each of its deliveries.
local function close_attempt(outcome, code, wait_ms)
  local tries, doubt = close_call(outcome, code, wait_ms)
  if tries == 0 then return end
  for _, id in ipairs(redis.call('LRANGE', taken, 0, -1)) do
    seq_of(id)
    redis.call('HINCRBY', record .. id, 'tries', 1)
    if doubt then redis.call('HSET', record .. id, 'doubt', 1) end
  end
end

-- Store a card or a record as it is now.
local function keep_card(key, card)
  if card == '' then redis.call('DEL', key) else redis.call('SET', key, card, 'PX', retention_ms) end
end

-- Finish a delivery and add to its attempts: it is delivered itself, or merged into `lead`, for the reason `detail` if no
-- call did it.
local finished = {delivered = 0, merged = 0, repeated = 0}
local function finish(id, lead, channel, ts, tries, detail)
  local key, state = record .. id, id == lead and 'delivered' or 'merged'
  local known = redis.call('HMGET', key, 'seq', 'tries', 'doubt', 'error')
  if not known[1] then seq_of(id) end
  local changed = {'state', state, 'finished', now, 'channel', channel, 'ts', ts}
  local function set(name, value) changed[#changed + 1], changed[#changed + 2] = name, value end
  if id ~= lead then set('into', lead) end
  if tries > 0 then set('tries', (tonumber(known[2]) or 0) + tries) end
  if detail then set('detail', detail) end
  if known[3] then
    set('repeated', 1)
    finished.repeated = finished.repeated + 1
  end
  redis.call('HSET', key, unpack(changed))
  if known[3] or known[4] then redis.call('HDEL', key, 'doubt', 'error', detail and 'error' or 'detail') end
  redis.call('PEXPIRE', key, retention_ms)
  redis.call('XADD', deliveries .. ':' .. state, '*', 'id', id)
  finished[state] = finished[state] + 1
end

local function count_finished()
  for state, count in pairs(finished) do
    if count > 0 then redis.call('HINCRBY', ledger, state, count) end
  end
end

-- Put back what a dead holder left; its open call has an unknown outcome.
local function recover()
  close_attempt('unknown', 'worker_lost', 0)
  give_back()
end

-- An empty lane is neither due nor parked.
local function clear_if_empty()
  if redis.call('EXISTS', lease) == 1 or count_unheld() > 0 then return end
  if count_waiting() > 0 then
    redis.call('HDEL', meta, 'snoozed')
    return set_due(now)
  end
  redis.call('ZREM', due, lane)
  redis.call('ZREM', parked, lane)
  redis.call('SREM', held, lane)
  redis.call('ZREM', probes, 'lane:' .. lane)
  redis.call('HDEL', meta, 'parked', 'reason', 'hint', 'hint_parts', 'since', 'snoozed', 'failures', 'warned')
end

-- Stop sending deliveries one by one once the last of a rejected message is gone.
local function end_isolation()
  local until_seq = tonumber(redis.call('HGET', meta, 'singly') or 0)
  if until_seq == 0 then return end
  local first = redis.call('LINDEX', pending, 0)
  if not first or seq_of(first) > until_seq then redis.call('HDEL', meta, 'singly') end
end

-- End a step that finished deliveries: release the lease if nothing is pending or the caller asks for it. Returns
-- {'ok', pending, 1 when released, 1 when the caller is to send the wake-up call}.
local function continue_or_release(release, lease_ms, wake_ms)
  local left = redis.call('LLEN', pending)
  if left == 0 or release then
    redis.call('DEL', lease)
    set_due(now, left)
    return {'ok', left, 1, left > 0 and claim_wake(wake_ms) or 0}
  end
  renew(lease_ms)
  return {'ok', left, 0, 0}
end

local function make_dead(id, reason, detail)
  seq_of(id)
  redis.call('HSET', record .. id, 'state', 'dead', 'finished', now, 'error', reason, 'detail', detail)
  redis.call('PEXPIRE', record .. id, retention_ms)
  redis.call('ZADD', dead, now, id)
  redis.call('ZADD', dead .. ':of:' .. reason, now, id)
  redis.call('SADD', dead .. ':reasons', reason)
  if redis.call('HGET', record .. id, 'severity') == CRITICAL then redis.call('ZADD', dead .. ':critical', now, id) end
  redis.call('INCR', dead_changes)
  redis.call('HINCRBY', ledger, 'dead', 1)
  redis.call('HINCRBY', ledger, 'ever|dead', 1)
end

local function remove_dead(id)
  redis.call('ZREM', dead, id)
  redis.call('ZREM', dead .. ':critical', id)
  redis.call('ZREM', dead .. ':of:' .. (redis.call('HGET', record .. id, 'error') or ''), id)
  redis.call('INCR', dead_changes)
  redis.call('HINCRBY', ledger, 'dead', -1)
end

-- Add when and why a dead letter died to its history.
local function note_death(key)
  local before = redis.call('HMGET', key, 'deaths', 'finished', 'error')
  local death = before[2] .. ' ' .. string.gsub(before[3], '%s', '_') .. ' '
  redis.call('HSET', key, 'deaths', (before[1] or '') .. death)
end

-- Make a dead letter pending again, at the end of its lane, with its history: when it was queued, each time by whom.
local function replay(id, event, event_life_ms, who)
  local key = record .. id
  if redis.call('HGET', key, 'state') ~= 'dead' or redis.call('EXISTS', event) == 0 then return false end
  remove_dead(id)
  note_death(key)
  local before = redis.call('HMGET', key, 'seqs', 'seq', 'queued', 'born')
  redis.call('HSET', key, 'state', 'pending', 'born', now, 'seq', redis.call('HINCRBY', meta, 'seq', 1),
    'seqs', (before[1] or '') .. before[2] .. ' ',
    'queued', (before[3] or before[4] .. ' % ') .. now .. ' ' .. who .. ' ')
  redis.call('HDEL', key, 'finished')
  redis.call('HINCRBY', key, 'replays', 1)
  redis.call('PERSIST', key)
  redis.call('PEXPIRE', event, event_life_ms)
  redis.call('RPUSH', pending, id)
  return true
end

local function discard(id)
  redis.call('HSET', record .. id, 'state', 'discarded', 'finished', now)
  redis.call('PEXPIRE', record .. id, retention_ms)
  redis.call('XADD', deliveries .. ':discarded', '*', 'id', id)
  redis.call('HINCRBY', ledger, 'discarded', 1)
end

if ARGV[4] ~= '' and redis.call('GET', lease) ~= ARGV[4] then return {'fenced'} end
