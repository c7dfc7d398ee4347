-- Create deliveries at the end of their lane; one that exists is left as it is. A full lane loses its oldest,
-- critical ones last.
-- ARGV  5 integration  6 destination  7 length limit  8 lifetime of a wake-up call in ms
--       9 … per delivery: id, event, subscription, when the event was accepted in ms, end of quiet hours in ms or 0,
--       severity
-- Returns {created, overflowed, 1 when the caller is to send the wake-up call}.
local longest, wake_ms = tonumber(ARGV[7]), ARGV[8]
local created, overflowed = 0, 0
if redis.call('SADD', lanes, lane) == 1 then
  redis.call('HSET', meta, 'integration', ARGV[5], 'destination', ARGV[6])
end
for i = 9, #ARGV, 6 do
  local key = record .. ARGV[i]
  if redis.call('EXISTS', key) == 0 then
    local seq = redis.call('HINCRBY', meta, 'seq', 1)
    redis.call('HSET', key, 'event', ARGV[i + 1], 'sub', ARGV[i + 2], 'lane', lane, 'seq', seq, 'state', 'pending',
      'born', now, 'accepted', ARGV[i + 3], 'severity', ARGV[i + 5])
    if tonumber(ARGV[i + 4]) > now then
      redis.call('ZADD', quiet, ARGV[i + 4], string.format('%012d:%s', seq, ARGV[i]))
    else
      redis.call('RPUSH', pending, ARGV[i])
    end
    for _, index in ipairs({deliveries, meta .. ':deliveries'}) do redis.call('XADD', index, '*', 'id', ARGV[i]) end
    created = created + 1
  end
end
if created > 0 then redis.call('HINCRBY', ledger, 'created', created) end
local unheld = redis.call('LLEN', pending)
if unheld + redis.call('ZCARD', quiet) <= longest then return {created, 0, wake_if_due(wake_ms, unheld > 0 and unheld or nil)} end

local function is_critical(id)
  return redis.call('HGET', record .. id, 'severity') == CRITICAL
end

-- How many critical deliveries are known to be first in the lane: the search for another begins behind them.
local first_id, skipped = string.match(redis.call('HGET', meta, 'spared') or '', '^(%S+) (%d+)$')
skipped = first_id == redis.call('LINDEX', pending, 0) and tonumber(skipped) or 0

local function find_less_urgent()
  while true do
    local ids = redis.call('LRANGE', pending, skipped, skipped + 199)
    for _, id in ipairs(ids) do
      if not is_critical(id) then return id end
      skipped = skipped + 1
    end
    if #ids == 0 then return nil end
  end
end

local function find_less_urgent_held()
  for _, member in ipairs(redis.call('ZRANGE', quiet, 0, -1)) do
    local seq, id = string.match(member, '^(%d+):(.*)$')
    if not is_critical(id) then return member, tonumber(seq), id end
  end
end

-- The oldest that is not critical makes room; a critical one only when all are critical.
while redis.call('LLEN', pending) + redis.call('ZCARD', quiet) > longest do
  local id, held, held_seq, held_id = find_less_urgent(), find_less_urgent_held()
  if not (id or held) then
    id, held = redis.call('LINDEX', pending, 0), redis.call('ZRANGE', quiet, 0, 0)[1]
    held_seq, held_id = string.match(held or '', '^(%d+):(.*)$')
    skipped = math.max(skipped - 1, 0)
  end
  if held and (not id or tonumber(held_seq) < seq_of(id)) then
    redis.call('ZREM', quiet, held)
    id = held_id
  else
    redis.call('LREM', pending, 1, id)
  end
  make_dead(id, 'overflow', 'more than ' .. longest .. ' deliveries were waiting in this lane')
  overflowed = overflowed + 1
end
if overflowed > 0 and skipped > 0 then
  redis.call('HSET', meta, 'spared', redis.call('LINDEX', pending, 0) .. ' ' .. skipped)
end
return {created, overflowed, wake_if_due(wake_ms)}
