#!lua flags=allow-oom
-- Read a session, which is a use of it. Returns its fields; its format alone where that is another; or nil.
-- include sessions
local found = read('run', 'last_run')
if not found then
  local other = redis.call('HGET', session, 'format')
  if not other and (redis.call('ZSCORE', idle, id) or redis.call('ZSCORE', busy, id)) then
    lose(id, 'expired')
  end
  return other and { other }
end
local run, last_run = found[2], found[3]
local left_ms = run and in_flight_ms or ttl_ms
redis.call('HSET', session, 'active', whole(now))
redis.call('PEXPIRE', session, left_ms)
if last_run then
  redis.call('PEXPIRE', log_of(last_run), left_ms)
end
if not run then
  redis.call('ZADD', idle, 'XX', tick(), id)
end
return redis.call('HMGET', session, unpack(ARGV, 5))
