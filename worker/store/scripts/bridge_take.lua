-- Take messages of InfraKitchen's RabbitMQ: publish their events to the stream, or hold them a while.
-- The state of an entity that failed is held until the reason comes, in a notification; a notification is held until the
-- entity event that reports the same comes, which makes it needless. What is held is published when its time is over.
-- KEYS  1 stream  2 bridge  3 bodies that may be redelivered  4 hashes of the newest messages
--       5 what is held, as `slot record`, by when its time is over  6 … what is known of each message's entity
-- ARGV  1 session  2 number of this call in the session  3 lifetime in ms
--       4 how long to hold, in ms  5 how many messages are remembered  6 '1' to release all that is held
--       7 … per message: hash of its body, '1' if it is redelivered, kind, event, reason as JSON, field of the reason,
--       `,state|status,`, phase, metadata as JSON
-- Without messages it publishes what was held long enough; any session may do that, and it may run twice.
-- Returns how many entries were published, how many messages were taken before, and how many are held; nothing when
-- another session has begun: the messages that are not acknowledged are redelivered to that one.
local stream, bridge, bodies, order, held = unpack(KEYS, 1, 5)
local session, call, known_count = unpack(redis.call('HMGET', bridge, 'session', 'call', 'count'))
if #KEYS > 5 and session ~= ARGV[1] then return {} end
if #KEYS > 5 and call == ARGV[2] then return {0, 0, redis.call('ZCARD', held)} end  -- its reply was lost
local life_ms, hold_ms = ARGV[3], tonumber(ARGV[4])
local LATE_MS = 60000  -- a reason that was published alone still completes a state that comes this late
local STATES_MAX = 400
local count = tonumber(known_count or 0)
local published, repeats = 0, 0

local function publish(event)
  redis.call('XADD', stream, '*', 'event', event)
  published = published + 1
end

-- Two JSON texts as one, in paragraphs.
local function join(first, second)
  if first == '' or second == '' or first == second then return first ~= '' and first or second end
  return string.sub(first, 1, -2) .. '\\n\\n' .. string.sub(second, 2)
end

local function new_id(hash)
  count = count + 1
  return hash .. '-' .. string.format('%d', count)
end

local function get(record, ...)
  local values = redis.call('HMGET', record, ...)
  for i = 1, #values do values[i] = values[i] or '' end
  return unpack(values)
end

local function drop(slot, record)
  redis.call('ZREM', held, slot .. ' ' .. record)
  redis.call('HDEL', record, slot)
end

-- Until the time is over; a later one is released later, also in the same millisecond.
local function hold(slot, record, value)
  count = count + 1
  redis.call('HSET', record, slot, value)
  redis.call('ZADD', held, string.format('%.3f', now + hold_ms + (count % 1000) / 1000), slot .. ' ' .. record)
end

-- Publish the last state of an entity, with its own reason and that of a notification.
local function publish_state(record, id, cause)
  local event, field, reason = get(record, 'event', 'field', 'reason')
  reason = join(reason, cause)
  if reason ~= '' then event = string.sub(event, 1, -3) .. ',"' .. field .. '":' .. reason .. '}}' end
  publish('{"id":"' .. id .. '",' .. string.sub(event, 2))
  redis.call('HSET', record, 'complete', cause ~= '' and '1' or '')
end

-- Publish a notification as InfraKitchen's own body, with what is known of its entity.
local function publish_notification(record, event, metadata)
  if metadata == '' then metadata = get(record, 'metadata') end
  publish(string.sub(event, 1, -2) .. ',"metadata":' .. (metadata ~= '' and metadata or 'null') .. '}')
end

-- What is held in each slot: the id of a state; of a notification the number of the entity's states before it, the
-- lengths of its reason and metadata, and these and the event.
local function pack_notification(record, reason, metadata, event)
  local states = get(record, 'states')
  return table.concat({states ~= '' and states or '0', #reason, #metadata, reason .. metadata .. event}, ' ')
end

local function unpack_notification(value)
  local states, reason_size, metadata_size, rest = string.match(value, '^(%d+) (%d+) (%d+) (.*)$')
  reason_size, metadata_size = tonumber(reason_size), tonumber(metadata_size)
  return states, string.sub(rest, 1, reason_size), string.sub(rest, reason_size + 1, reason_size + metadata_size),
    string.sub(rest, reason_size + metadata_size + 1)
end

local function release(slot, record)
  local value = get(record, slot)
  drop(slot, record)
  if value == '' then return end
  if slot == 'held' then return publish_state(record, value, '') end
  local states, reason, metadata, event = unpack_notification(value)
  local phase, known_states, id = get(record, 'phase', 'states', 'id')
  if slot == 'cause' and phase == 'failed' then
    publish_state(record, new_id(string.match(id, '^%x+')), reason)
  elseif slot == 'cause' then
    publish_notification(record, event, metadata)
    redis.call('HSET', record, 'late', now .. ' ' .. reason)
  elseif slot == 'success' or known_states == '' or known_states == states then
    publish_notification(record, event, metadata)  -- a change that a later state has outdated is no news
  end
end

local function release_until(limit_ms)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', held, '-inf', limit_ms, 'LIMIT', 0, 500)) do
    release(string.match(member, '^(%l+) (.*)$'))
  end
end

-- Release what is held of one entity, in its order.
local function release_record(record, slots)
  local waiting = {}
  for _, slot in ipairs(slots) do
    local due = redis.call('ZSCORE', held, slot .. ' ' .. record)
    if due then waiting[#waiting + 1] = {tonumber(due), slot} end
  end
  table.sort(waiting, function(a, b) return a[1] < b[1] end)
  for _, pair in ipairs(waiting) do release(pair[2], record) end
end

local function take_late(record)
  local at, reason = string.match(get(record, 'late'), '^(%d+) (.*)$')
  redis.call('HDEL', record, 'late')
  return at and now - tonumber(at) <= LATE_MS and reason or ''
end

local function on_state(record, hash, event, reason, field, state, phase, metadata)
  release_record(record, {'held'})
  local reported, success, change, cause = get(record, 'reported', 'success', 'change', 'cause')
  reported = string.sub(reported .. state, -STATES_MAX)
  local id = new_id(hash)
  redis.call('HSET', record, 'event', event, 'id', id, 'reason', reason, 'field', field, 'phase', phase,
    'reported', reported, 'metadata', metadata)
  redis.call('HINCRBY', record, 'states', 1)
  if change ~= '' and string.find(reported, get(record, 'awaited'), 1, true) then drop('change', record) end
  if phase ~= 'open' then
    if success ~= '' then drop('success', record) else redis.call('HSET', record, 'ended', 1) end
  end
  if phase == 'failed' then
    if cause ~= '' then
      drop('cause', record)
      cause = (select(2, unpack_notification(cause)))
    else
      cause = take_late(record)
    end
    if reason == '' and cause == '' then return hold('held', record, id) end
    return publish_state(record, id, cause)
  end
  if phase == 'finished' then redis.call('HDEL', record, 'late') end
  publish_state(record, id, '')
end

local function on_notification(record, kind, event, reason, state, metadata)
  local reported, phase, ended, complete, held_id = get(record, 'reported', 'phase', 'ended', 'complete', 'held')
  if kind == 'success' then
    redis.call('HDEL', record, 'ended')
    if ended ~= '' or phase == 'finished' or phase == 'failed' then return end
  elseif kind == 'change' then
    if string.find(reported, state, 1, true) then return end
  elseif held_id ~= '' then
    drop('held', record)
    return publish_state(record, held_id, reason)
  elseif phase == 'failed' and complete == '' then
    return publish_state(record, new_id(string.match(get(record, 'id'), '^%x+')), reason)
  end
  local slot = kind == 'error' and 'cause' or kind
  if get(record, slot) ~= '' then release_record(record, {'cause', 'change', 'success'}) end
  if slot == 'change' then redis.call('HSET', record, 'awaited', state) end
  hold(slot, record, pack_notification(record, reason, metadata, event))
end

-- RabbitMQ gives messages no id, but it redelivers first, and in order, what was delivered before: so the messages that
-- were taken without being acknowledged come first of all. `bodies` has how many with a body may be among them. The first
-- message that is none of them ends it: those behind it were never taken, whatever they hold.
local function was_taken(hash, is_redelivered)
  if is_redelivered and tonumber(redis.call('HGET', bodies, hash) or 0) > 0 then
    redis.call('HINCRBY', bodies, hash, -1)
    return true
  end
  redis.call('DEL', bodies)
  redis.call('RPUSH', order, hash)
  return false
end

release_until(ARGV[6] == '1' and '+inf' or now)
for i = 6, #KEYS do
  local record, at = KEYS[i], (i - 6) * 9 + 7
  local hash, redelivered, kind, event, reason, field, state, phase, metadata = unpack(ARGV, at, at + 8)
  if was_taken(hash, redelivered == '1') then
    repeats = repeats + 1
  else
    if kind == 'status' and phase ~= 'failed' and get(record, 'event') == event then
      redis.call('HSET', record, 'metadata', metadata)
    elseif kind == 'state' or kind == 'status' then
      on_state(record, hash, event, reason, field, state, phase, metadata)
    elseif kind == 'unreadable' then
      publish(event)
    elseif kind == 'other' then
      publish_notification(record, event, metadata)
    else
      on_notification(record, kind, event, reason, state, metadata)
    end
    redis.call('PEXPIRE', record, life_ms)
  end
end
redis.call('HSET', bridge, 'count', count)
if #KEYS > 5 then
  redis.call('HSET', bridge, 'call', ARGV[2], 'at', now)
  redis.call('LTRIM', order, -tonumber(ARGV[5]), -1)
  redis.call('PEXPIRE', order, life_ms)
end
return {published, repeats, redis.call('ZCARD', held)}
