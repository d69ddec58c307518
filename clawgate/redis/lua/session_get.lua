#!lua flags=allow-oom
-- Read a session, which is a use of it. Returns the fields that are asked for and the parts of its two texts; the format
-- alone where that is another; or nil.
-- include sessions
local found = read('run', 'last_run')
if not found then
  local other = redis.call('HGET', session, 'format')
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
local fields = redis.call('HMGET', session, unpack(ARGV, 5))
for _, text in ipairs({ 'messages', 'untrimmed' }) do
  for part = 1, math.min(tonumber(redis.call('HGET', session, text) or 0) or 0, MOST) do
    table.insert(fields, redis.call('HGET', session, text .. part))
  end
end
return fields
