#!lua flags=allow-oom
-- Renews a process's lease.
-- KEYS: the lease, the set of processes, the runs in flight
-- ARGV: the process, the lease in ms, the TTL of the runs in ms
-- Returns 1 where the lease was still there.
local time = redis.call('TIME')
local was_there = redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], '1', 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[3])
return was_there
