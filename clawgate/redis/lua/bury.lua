#!lua flags=allow-oom
-- Forgets a dead process that has no run left.
-- KEYS: its runs, the set of processes, its inbox
-- ARGV: the process
redis.call('DEL', KEYS[3])
if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('ZREM', KEYS[2], ARGV[1])
end
