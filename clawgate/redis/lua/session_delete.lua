#!lua flags=allow-oom
-- Delete a session. Returns 1 where there was one of this format.
-- A version may follow: a session that has another one by now stays.
-- Otherwise it is noted for ten minutes that it was deleted, and not lost: a process that has been cut off may still have
-- an answer of it in flight, and must not store it again.
-- include sessions
local found = read('version')
if ARGV[5] and (not found or found[2] ~= ARGV[5]) then
  return 0
end
if forget(id) == 1 and not ARGV[5] then
  redis.call('SET', gone, '', 'PX', 600000)
end
return found and 1 or 0
