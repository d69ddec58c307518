#!lua flags=allow-oom
-- Count the sessions that are kept, and those that have been lost.
-- include sessions
clear()
local sums = redis.call('HMGET', totals, 'text', 'images', 'evicted', 'expired', 'turns', 'pictures')
return { redis.call('ZCARD', idle), redis.call('ZCARD', busy), unpack(sums) }
