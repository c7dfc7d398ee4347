-- One consistent look at every lane and the counters.
-- KEYS  1 lanes  2 ledger  ARGV  1 prefix of lane keys (`P:lane:`)  2 prefix of `P:integration:`
-- Returns {counters, lane, waiting, parked code, integration parked code … for each lane with something to say of}.
local counters = redis.call('HGETALL', KEYS[2])
local answer = {counters}
local codes = {}
for _, lane in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local key = ARGV[1] .. lane
  local found = redis.call('HMGET', key, 'parked', 'integration')
  local integration = found[2] or ''
  if codes[integration] == nil then
    codes[integration] = redis.call('HGET', ARGV[2] .. integration .. ':parked', 'code') or ''
  end
  local waiting = redis.call('LLEN', key .. ':pending') + redis.call('LLEN', key .. ':taken')
    + redis.call('ZCARD', key .. ':quiet')
  if waiting > 0 or found[1] then
    answer[#answer + 1] = lane
    answer[#answer + 1] = waiting
    answer[#answer + 1] = found[1] or ''
    answer[#answer + 1] = codes[integration]
  end
end
return answer
