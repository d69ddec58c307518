-- Forgets a key that still has this value: another process may have reserved it meanwhile.
-- KEYS: the key
-- ARGV: the value
if redis.call('GET', KEYS[1]) == ARGV[1] then
    redis.call('UNLINK', KEYS[1])
end
