-- What every lane script shares; `scripts.py` puts it in front of each `lane_*.lua`.
--
-- KEYS  1 lane  2 pending  3 taken  4 lease  5 wake  6 attempts  7 due  8 parked  9 held lanes of the integration
--       10 why the integration is parked  11 ledger  12 probes  13 dead  14 dead:changes  15 deliveries  16 lanes
-- ARGV  1 lane's name  2 prefix of delivery keys  3 retention in ms  4 the holder's token ('' when none is needed)
local lane, record, retention_ms, token = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local meta, pending, taken, lease, wake, attempts = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local due, parked, held, integration_parked = KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local ledger, probes, dead, dead_changes, deliveries, lanes = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function holds()
  return redis.call('GET', lease) == token
end

local function waiting()
  return redis.call('LLEN', pending) + redis.call('LLEN', taken)
end

-- The next moment someone should look at this lane; a parked one has none.
local function set_due(at)
  if redis.call('HEXISTS', meta, 'parked') == 1 then
    redis.call('ZREM', due, lane)
  elseif redis.call('EXISTS', integration_parked) == 1 then
    redis.call('ZREM', due, lane)
    redis.call('SADD', held, lane)
  elseif waiting() == 0 then
    redis.call('ZREM', due, lane)
  else
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

-- What was taken goes back to the front, in its order.
local function give_back()
  if redis.call('EXISTS', taken) == 0 then return end
  if redis.call('EXISTS', pending) == 0 then
    redis.call('RENAME', taken, pending)
    return
  end
  while redis.call('LMOVE', taken, pending, 'RIGHT', 'LEFT') do end
end

local function open_attempt(method)
  local first = redis.call('HGET', record .. redis.call('LINDEX', taken, 0), 'seq')
  local last = redis.call('HGET', record .. redis.call('LINDEX', taken, -1), 'seq')
  redis.call('HSET', meta, 'open', now, 'method', method, 'first', first, 'last', last)
end

-- Writes what became of the call that is open, for every delivery it told. Slack asking to wait is not a try.
local function close_attempt(outcome, code, wait_ms)
  local open = redis.call('HMGET', meta, 'open', 'method', 'first', 'last')
  if not open[1] then return end
  redis.call('XADD', attempts, '*', 'at', open[1], 'method', open[2], 'first', open[3], 'last', open[4],
    'outcome', outcome, 'code', code, 'wait', wait_ms)
  redis.call('HDEL', meta, 'open')
  if outcome == 'unknown' then redis.call('HSET', meta, 'doubt', open[4]) end
  if outcome ~= 'throttled' then
    for _, id in ipairs(redis.call('LRANGE', taken, 0, -1)) do
      redis.call('HINCRBY', record .. id, 'tries', 1)
    end
  end
end

-- After a refused message of several, each is told alone until the last of them is done.
local function end_singly(ids)
  local until_seq = tonumber(redis.call('HGET', meta, 'singly') or 0)
  if until_seq > 0 and #ids > 0 and tonumber(redis.call('HGET', record .. ids[#ids], 'seq')) >= until_seq then
    redis.call('HDEL', meta, 'singly')
  end
end

local function bury(id, reason, detail)
  redis.call('HSET', record .. id, 'state', 'dead', 'finished', now, 'error', reason, 'detail', detail)
  redis.call('PEXPIRE', record .. id, retention_ms)
  redis.call('ZADD', dead, now, id)
  redis.call('INCR', dead_changes)
  redis.call('HINCRBY', ledger, 'dead', 1)
end
