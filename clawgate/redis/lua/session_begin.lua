#!lua
-- Make a run the owner of a session, and replace all that was there. Returns {version, created, now}, or nil where the
-- session has another version than the one seen. A Redis that is full refuses this step before it begins.
-- include sessions
local session_id, run, seen = ARGV[5], ARGV[6], ARGV[7]
local size_bytes, image_bytes, turns, images = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local last = 12 + ARGV[12]
clear()
local found = read('version', 'created')
if seen ~= '' and seen ~= (found and found[2] or '0') then
  return false
end
local created = found and found[3] or whole(now)
local version = tick()
forget(id)
redis.call('HSET', session, 'format', format, 'version', version, 'run', run, 'last_run', run,
  'created', created, 'active', whole(now), 'size', size_bytes, 'images', image_bytes,
  'dropped_turns', turns, 'dropped_images', images, 'messages', joined(13, last))
if #ARGV > last then
  redis.call('HSET', session, 'untrimmed', joined(last + 1, #ARGV))
end
redis.call('PEXPIRE', session, in_flight_ms)
redis.call('ZADD', busy, whole(now + in_flight_ms * 1000), id)
redis.call('HSET', runs_of(run), run, session_id)
redis.call('PEXPIRE', runs_of(run), in_flight_ms)
redis.call('HINCRBY', totals, 'turns', turns)
redis.call('HINCRBY', totals, 'pictures', images)
return { version, created, whole(now) }
