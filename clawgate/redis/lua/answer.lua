#!lua flags=allow-oom
-- Answers a request on a list of its own, which expires if nobody waits for it any more.
-- KEYS: the list
-- ARGV: the answer, the TTL in ms
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
