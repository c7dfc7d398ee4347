-- Save the bodies of events before deliveries refer to them, and the names and states of their entities.
-- KEYS  per event: its record, what is known of its entity, the newest event with the same bytes
-- ARGV  1 lifetime of events in ms  2 retention in ms  3 how long the same bytes are a repeat, in ms
--       4 … per event: source's field, entry id, body, name of its entity, state of its entity,
--           '1' when the same bytes are the same event, because it has no id of its own
-- Returns per event: 'new', 'redo' (read before and not acknowledged) or 'repeat' (another entry brought it before).
local function parts(entry)
  local ms, number = string.match(entry, '^(%d+)-?(%d*)')
  return tonumber(ms), tonumber(number) or 0
end

local function is_newer(entry, than)
  local ms, number = parts(entry)
  local other_ms, other_number = parts(than)
  return ms > other_ms or (ms == other_ms and number > other_number)
end

-- What is known of an entity: "entry<newline>state<newline>name<newline>entry that gave the state".
local function recall(key)
  return string.match(redis.call('GET', key) or '', '^(.-)\n(.-)\n(.-)\n(.*)$')
end

-- An event without a name or a state leaves the one that is known.
local function remember(key, entry, name, state)
  local known_entry, known_state, known_name, changed = recall(key)
  if known_entry and is_newer(known_entry, entry) then return end
  name = name ~= '' and name or known_name or ''
  if state ~= '' then changed = entry else state = known_state or '' end
  redis.call('SET', key, table.concat({entry, state, name, changed or ''}, '\n'), 'PX', ARGV[2])
end

-- Return the entry that brought the same bytes a moment before or after, by the clock of the stream. An entry that is
-- read again is no repeat of itself: its record, or the mark of a repeat, was found before.
-- A task that ends after a change of its entity is another task than the one that ended before the change.
local function find_twin(key, entry, entity, is_task)
  local first = redis.call('GET', key)
  if first and first ~= entry and math.abs(parts(entry) - parts(first)) <= tonumber(ARGV[3]) then
    local _, _, _, changed = recall(entity)
    local is_other = is_task and (changed or '') ~= '' and is_newer(changed, first) and is_newer(entry, changed)
    if not is_other then return first end
  end
  if not first or is_newer(entry, first) then redis.call('SET', key, entry, 'PX', ARGV[1]) end
end

local answer = {}
for i = 1, #KEYS / 3 do
  local key, entity, twin_key = KEYS[i * 3 - 2], KEYS[i * 3 - 1], KEYS[i * 3]
  local field, entry, body, name, state, is_unnamed = unpack(ARGV, i * 6 - 2, i * 6 + 3)
  local before, repeats = unpack(redis.call('HMGET', key, field .. ':entry', field .. ':repeats'))
  if before == entry and redis.call('HEXISTS', key, field .. ':accepted') == 0 then
    redis.call('HSET', key, field, body)
    answer[i] = 'redo'
  elseif before or repeats then
    answer[i] = 'repeat'
  else
    local twin = is_unnamed == '1' and find_twin(twin_key, entry, entity, state == '')
    redis.call('HSET', key, field .. (twin and ':repeats' or ':entry'), twin or entry)
    if not twin then redis.call('HSET', key, field, body) end
    redis.call('PEXPIRE', key, ARGV[1])
    answer[i] = twin and 'repeat' or 'new'
  end
  if answer[i] ~= 'repeat' and (name ~= '' or state ~= '') then remember(entity, entry, name, state) end
end
return answer
