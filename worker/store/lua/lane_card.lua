-- A call that changed a card and leaves what was taken untold: an edit whose thread is still to tell it, a card
-- that is gone.
-- KEYS  17 the card
-- ARGV  5 lease ms  6 outcome  7 code  8 the card as it is now ('' when it is gone)
-- Returns {'fenced'} or {'ok', what waits}.
if not holds() then return {'fenced'} end
close_attempt(ARGV[6], ARGV[7], 0)
keep_card(KEYS[17], ARGV[8])
give_back()
renew(tonumber(ARGV[5]))
return {'ok', redis.call('LLEN', pending)}
