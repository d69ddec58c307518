#!lua flags=allow-oom
-- Gives a process's lease back. A process that leaves runs behind stays in the set, as a dead one.
-- KEYS: the lease, the set of processes, the inbox, the runs
-- ARGV: the process
redis.call('DEL', KEYS[1], KEYS[3])
if redis.call('EXISTS', KEYS[4]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[1])
else
    redis.call('ZADD', KEYS[2], 0, ARGV[1])
end
