-- Notes the run of a key. Beyond so many keys the oldest go.
-- KEYS: the key, the set of keys by their time
-- ARGV: the value, its TTL in ms, the key's hash, the beginning of a key's name, how many are kept
local time = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local beyond = redis.call('ZCARD', KEYS[2]) - ARGV[5]
if beyond > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', KEYS[2], 0, math.min(beyond, 100) - 1)) do
        redis.call('UNLINK', ARGV[4] .. oldest)
        redis.call('ZREM', KEYS[2], oldest)
    end
end
