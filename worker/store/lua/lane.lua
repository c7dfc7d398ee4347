-- What every lane script shares; `store/server.py` puts it in front of each `lane_*.lua`.
--
-- KEYS  1 lane  2 pending  3 taken  4 lease  5 wake  6 attempts  7 due  8 parked  9 held lanes of the integration
--       10 why the integration is parked  11 ledger  12 probes  13 dead  14 dead:changes  15 deliveries  16 lanes
-- ARGV  1 lane's name  2 prefix of delivery keys  3 retention in ms  4 the holder's token ('' when none is needed)
local lane, record, retention_ms, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local meta, pending, taken, lease, wake, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local due, parked, held, integration_parked = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local ledger, probes, dead, dead_changes, deliveries, lanes = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]

-- What is held in quiet hours, `<seq>:<id>` by when it is told. It waits in the lane, and stands in nobody's way.
local quiet = meta .. ':quiet'
-- What expired here while it waited for a person and was never replayed, the newest first.
local missed = meta .. ':missed'
local LOOK_MS = 3000000 -- a due-time further off would be taken for that of a clock that jumped

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function holds()
  return redis.call('GET', lease) == token
end

local function tellable()
  return redis.call('LLEN', pending) + redis.call('LLEN', taken)
end

local function waiting()
  return tellable() + redis.call('ZCARD', quiet)
end

-- A record that is gone (evicted, deleted by hand) must not stop its lane: what is told is that nothing is known.
local function seq_of(id)
  local seq = redis.call('HGET', record .. id, 'seq')
  if seq then return tonumber(seq) end
  seq = redis.call('HINCRBY', meta, 'seq', 1)
  redis.call('HSET', record .. id, 'event', '', 'sub', '', 'lane', lane, 'seq', seq, 'state', 'pending',
    'born', now, 'accepted', now)
  return seq
end

-- The next moment someone should look at this lane; a parked or an empty one has none, one in which all is held
-- is left alone until the first of that is to be told.
local function set_due(at)
  if redis.call('HEXISTS', meta, 'parked') == 1 or waiting() == 0 then
    redis.call('ZREM', due, lane)
  elseif redis.call('EXISTS', integration_parked) == 1 then
    redis.call('ZREM', due, lane)
    redis.call('SADD', held, lane)
  else
    if tellable() == 0 then
      local first = redis.call('ZRANGE', quiet, 0, 0, 'WITHSCORES')
      at = math.max(now, math.min(tonumber(first[2]), now + LOOK_MS))
    end
    redis.call('ZADD', due, at, lane)
  end
end

local function renew(lease_ms)
  redis.call('PEXPIRE', lease, lease_ms)
  redis.call('ZADD', due, now + lease_ms, lane)
end

-- 1 when the caller is to send the one wake-up call.
local function claim_wake(wake_ms)
  return redis.call('SET', wake, '1', 'NX', 'PX', wake_ms) and 1 or 0
end

-- The same for a lane that got something to say just now, unless it lies down or is held by someone.
local function wake_if_due(wake_ms)
  local at = redis.call('ZSCORE', due, lane)
  local is_idle = redis.call('EXISTS', lease) == 0 and redis.call('HEXISTS', meta, 'snoozed') == 0
  if waiting() > 0 and (not at or (tonumber(at) > now and is_idle)) then set_due(now) end
  at = redis.call('ZSCORE', due, lane)
  if not at or tonumber(at) > now or redis.call('EXISTS', lease) == 1 then return 0 end
  return claim_wake(wake_ms)
end

local function is_older(id, than)
  return tonumber(redis.call('HGET', record .. id, 'seq') or math.huge) < seq_of(than)
end

-- These, the oldest first, go to the front: of what was taken some goes back. Older ones that are there already stay
-- in front of them.
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

-- All of it goes back; only the shorter of the two lists is walked, where nothing went back before.
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

-- What was held long enough goes to the front, where all stand in the order they came; from then on it grows old.
local function let_out()
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

-- Of the call that is made now: when, how, and the range of what it tells; its ids where others lie between.
local function open_attempt(method)
  local first, last = redis.call('LINDEX', taken, 0), redis.call('LINDEX', taken, -1)
  if not first then return end
  local from, to, n = seq_of(first), seq_of(last), redis.call('LLEN', taken)
  local of = (to - from >= n and n <= 200) and table.concat(redis.call('LRANGE', taken, 0, -1), ' ') or ''
  redis.call('HSET', meta, 'open', now, 'method', method, 'first', from, 'last', to, 'of', of)
end

-- What is told by the minute, in a hash an hour that lives a little over a day (`store/pulse.py`).
local function count_told(method)
  local minute = math.floor(now / 60000)
  local hour = ledger .. ':hour:' .. math.floor(minute / 60)
  local what = method == 'chat.update' and 'edits' or 'posts'
  if redis.call('HINCRBY', hour, minute .. '|' .. what, 1) == 1 then redis.call('EXPIRE', hour, 93600) end
end

-- Each call to Slack, once, for metrics: its method, how it ended and Slack's word for that.
local function count_call(method, outcome, code)
  if outcome == 'delivered' then count_told(method) end
  if code == '' then code = outcome == 'delivered' and 'ok' or outcome end
  if #code > 64 or not string.find(code, '^[%w_.]+$') or redis.call('HLEN', ledger) > 1000 then code = 'other' end
  redis.call('HINCRBY', ledger, 'call|' .. method .. '|' .. outcome .. '|' .. code, 1)
end

-- Writes what became of the call that is open, for every delivery it told. Slack asking to wait is not a try.
local function close_attempt(outcome, code, wait_ms)
  local open = redis.call('HMGET', meta, 'open', 'method', 'first', 'last', 'of')
  if not open[1] then return end
  redis.call('XADD', attempts, '*', 'at', open[1], 'method', open[2], 'first', open[3], 'last', open[4],
    'of', open[5] or '', 'outcome', outcome, 'code', code, 'wait', wait_ms)
  redis.call('HDEL', meta, 'open')
  count_call(open[2], outcome, code)
  if outcome == 'throttled' then return end
  -- An edit made twice shows nothing twice.
  local doubt = outcome == 'unknown' and open[2] ~= 'chat.update'
  for _, id in ipairs(redis.call('LRANGE', taken, 0, -1)) do
    seq_of(id)
    redis.call('HINCRBY', record .. id, 'tries', 1)
    if doubt then redis.call('HSET', record .. id, 'doubt', 1) end
  end
end

-- A card as it is now; it is forgotten with what it told.
local function keep_card(key, card)
  if card == '' then redis.call('DEL', key) else redis.call('SET', key, card, 'PX', retention_ms) end
end

-- The newest of a lane, and of a state in which a delivery stays, at the end of their indexes.
local function index(which, id)
  redis.call('XADD', which, '*', 'id', id)
end

-- It is told: by a message it leads itself, or by the one that `lead` led.
local finished = {delivered = 0, merged = 0, repeated = 0}
local function finish(id, lead, channel, ts)
  local key, state = record .. id, id == lead and 'delivered' or 'merged'
  seq_of(id)
  redis.call('HSET', key, 'state', state, 'finished', now, 'channel', channel, 'ts', ts)
  if id ~= lead then redis.call('HSET', key, 'into', lead) end
  redis.call('HDEL', key, 'error', 'detail')
  redis.call('PEXPIRE', key, retention_ms)
  index(deliveries .. ':' .. state, id)
  finished[state] = finished[state] + 1
  if redis.call('HDEL', key, 'doubt') == 1 then
    redis.call('HSET', key, 'repeated', 1)
    finished.repeated = 1
  end
end

local function count_finished()
  for state, count in pairs(finished) do redis.call('HINCRBY', ledger, state, count) end
end

-- What a dead holder left goes back to the front, its open call counted as one of unknown outcome.
local function recover()
  close_attempt('unknown', 'worker_lost', 0)
  give_back()
end

-- A lane in which nothing waits has nothing to be looked at or to be parked for.
local function rest_if_empty()
  if redis.call('EXISTS', lease) == 1 or tellable() > 0 then return end
  if waiting() > 0 then
    redis.call('HDEL', meta, 'snoozed')
    return set_due(now)
  end
  redis.call('ZREM', due, lane)
  redis.call('ZREM', parked, lane)
  redis.call('SREM', held, lane)
  redis.call('ZREM', probes, 'lane:' .. lane)
  redis.call('HDEL', meta, 'parked', 'reason', 'hint', 'since', 'snoozed', 'failures', 'warned')
end

-- After a refused message of several things, each is told alone until none of them waits.
local function end_singly()
  local until_seq = tonumber(redis.call('HGET', meta, 'singly') or 0)
  if until_seq == 0 then return end
  local first = redis.call('LINDEX', pending, 0)
  if not first or seq_of(first) > until_seq then redis.call('HDEL', meta, 'singly') end
end

-- After something was told: {'ok', what still waits, 1 when released, 1 when to wake}. Empty check, release and wake
-- in one.
local function go_on(leave, lease_ms, wake_ms)
  local left = redis.call('LLEN', pending)
  if left == 0 or leave then
    redis.call('DEL', lease)
    set_due(now)
    return {'ok', left, 1, left > 0 and claim_wake(wake_ms) or 0}
  end
  renew(lease_ms)
  return {'ok', left, 0, 0}
end

local function bury(id, reason, detail)
  seq_of(id)
  redis.call('HSET', record .. id, 'state', 'dead', 'finished', now, 'error', reason, 'detail', detail)
  redis.call('PEXPIRE', record .. id, retention_ms)
  redis.call('ZADD', dead, now, id)
  redis.call('ZADD', dead .. ':of:' .. reason, now, id)
  redis.call('SADD', dead .. ':reasons', reason)
  redis.call('INCR', dead_changes)
  redis.call('HINCRBY', ledger, 'dead', 1)
  redis.call('HINCRBY', ledger, 'ever|dead', 1)
end

-- No dead letter any more.
local function unbury(id)
  redis.call('ZREM', dead, id)
  redis.call('ZREM', dead .. ':of:' .. (redis.call('HGET', record .. id, 'error') or ''), id)
  redis.call('INCR', dead_changes)
  redis.call('HINCRBY', ledger, 'dead', -1)
end

-- A dead letter becomes pending again, at the end of its lane; its history stays: its calls, when and why it died.
local function replay(id, event, event_life_ms)
  local key = record .. id
  if redis.call('HGET', key, 'state') ~= 'dead' or redis.call('EXISTS', event) == 0 then return false end
  unbury(id)
  local before = redis.call('HMGET', key, 'seqs', 'seq', 'deaths', 'finished', 'error')
  local death = before[4] .. ' ' .. string.gsub(before[5], '%s', '_') .. ' '
  redis.call('HSET', key, 'state', 'pending', 'born', now, 'seq', redis.call('HINCRBY', meta, 'seq', 1),
    'seqs', (before[1] or '') .. before[2] .. ' ', 'deaths', (before[3] or '') .. death)
  redis.call('HDEL', key, 'finished')
  redis.call('HINCRBY', key, 'replays', 1)
  redis.call('PERSIST', key)
  redis.call('PEXPIRE', event, event_life_ms)
  redis.call('RPUSH', pending, id)
  return true
end

-- Nobody needs to be told of it any more.
local function discard(id)
  redis.call('HSET', record .. id, 'state', 'discarded', 'finished', now)
  redis.call('PEXPIRE', record .. id, retention_ms)
  index(deliveries .. ':discarded', id)
  redis.call('HINCRBY', ledger, 'discarded', 1)
end
