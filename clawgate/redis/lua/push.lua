#!lua flags=allow-oom
-- Pushes a request onto a process's inbox, where the process is alive.
-- KEYS: its lease, its inbox
-- ARGV: the request, the inbox's TTL in ms, 1 where a process without a lease may be alive
-- Returns 1 where it is pushed.
if ARGV[3] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then
    return 0
end
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
