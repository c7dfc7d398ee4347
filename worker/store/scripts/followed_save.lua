-- Note that subscriptions follow a subject, or follow it no longer, unless a later event of the stream changed that.
-- KEYS  1 the subject's followed cards
-- ARGV  1 lifetime in ms  2 length of a place in the stream, by which each text begins  3 … subscription and text
-- Returns nothing.
for i = 3, #ARGV, 2 do
  local known, length = redis.call('HGET', KEYS[1], ARGV[i]), tonumber(ARGV[2])
  if not known or string.sub(known, 1, length) <= string.sub(ARGV[i + 1], 1, length) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
