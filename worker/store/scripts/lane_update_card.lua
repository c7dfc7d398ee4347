-- Record a call that changed a card and finished no delivery: an edit whose thread reply is still due, or a lost card.
-- KEYS  17 the card
-- ARGV  5 lease in ms  6 outcome  7 code  8 the card as it is now ('' when it is lost)
-- Returns {'ok', pending, 0, 0}.
close_attempt(ARGV[6], ARGV[7], 0)
keep_card(KEYS[17], ARGV[8])
give_back()
renew(tonumber(ARGV[5]))
return {'ok', redis.call('LLEN', pending), 0, 0}
