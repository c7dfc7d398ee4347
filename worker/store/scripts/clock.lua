-- What every script that uses the time begins with (`store/redis_client.py`): the server's time in ms, the one that counts for all.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
