#!lua flags=allow-oom
-- Delete a session. Returns 1 where there was one of this format.
-- A version may follow: a session that has another one by now stays.
-- include sessions
local found = read('version')
if ARGV[5] and (not found or found[2] ~= ARGV[5]) then
  return 0
end
forget(id)
return found and 1 or 0
