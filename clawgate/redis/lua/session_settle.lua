#!lua flags=allow-oom
-- Write a run's answer and end its ownership. Returns 0, and nothing is written, where the run is not the owner.
-- A Redis that is full takes it: the sessions that go beyond the bounds give the room back.
-- include sessions
local run, most, most_text, most_images = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local sizes_of_it = ARGV[9]
clear()
redis.call('HDEL', runs_of(run), run)
local found = read('run', 'created')
if not found or found[2] ~= run then
  return 0
end
write(10, 'version', tick(), 'last_run', run, 'created', found[3] or '', 'sizes', sizes_of_it)
redis.call('PEXPIRE', session, ttl_ms)
redis.call('PEXPIRE', log_of(run), ttl_ms)
redis.call('ZREM', busy, id)
join_idle(note(sizes_of_it))
for _ = 1, MOST do
  local count = redis.call('ZCARD', idle)
  local sums = redis.call('HMGET', totals, 'text', 'images')
  if count <= 1 or (count <= most and tonumber(sums[1]) <= most_text and tonumber(sums[2]) <= most_images) then
    break
  end
  local oldest = redis.call('ZRANGE', idle, 0, 0)[1]
  lose(oldest, redis.call('EXISTS', prefix .. 'session:' .. oldest) == 1 and 'evicted' or 'expired')
end
return 1
