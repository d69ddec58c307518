-- Returns processes whose lease is over.
-- KEYS: the set of processes
-- ARGV: how many at the most, the beginning of a lease's key
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dead = {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])) do
    if redis.call('EXISTS', ARGV[2] .. process) == 0 then
        dead[#dead + 1] = process
    end
end
return dead
