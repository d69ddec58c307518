#!lua
-- Make a run the owner of a session, and replace all that was there. Returns {version, created, now}, or nil where the
-- session has another version than the one seen. A Redis that is full refuses this step before it begins.
-- "before" and a version: a run begins again, and nil is returned where its session has that version or a later one, or
-- was deleted.
-- include sessions
local session_id, run, seen, sizes_of_it = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
clear()
local found = read('version', 'created')
local before = tonumber(string.match(seen, '^before (%d+)$'))
if before then
  local version = redis.call('HGET', session, 'version')
  if redis.call('EXISTS', gone) == 1 or (version and (tonumber(version) or before) >= before) then
    return false
  end
elseif seen ~= '' and seen ~= (found and found[2] or '0') then
  return false
end
local created = found and found[3] or whole(now)
local version = tick()
forget(id)
redis.call('UNLINK', gone)
write(9, 'version', version, 'run', run, 'last_run', run, 'created', created, 'sizes', sizes_of_it)
note(sizes_of_it)
redis.call('PEXPIRE', session, in_flight_ms)
redis.call('ZADD', busy, whole(now + in_flight_ms * 1000), id)
redis.call('HSET', runs_of(run), run, session_id)
redis.call('PEXPIRE', runs_of(run), in_flight_ms)
return { version, created, whole(now) }
