-- What the steps of the sessions have in common. Names of keys are made here too, so a Redis Cluster does not serve.
-- ARGV begins with the prefix of keys, the format of records, the time to live in ms, and the hash of the session's id.
local prefix, format, ttl_ms, id = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local idle, busy, sizes, totals = prefix .. 'idle', prefix .. 'busy', prefix .. 'sizes', prefix .. 'totals'
local session, gone = prefix .. 'session:' .. id, prefix .. 'gone:' .. id
local in_flight_ms = math.max(ttl_ms, 60000)
local MOST = 1000  -- one step clears away so many sessions of others: Redis does nothing else meanwhile

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

-- A double has 53 bits, and `..` would write 14 digits of it.
local function whole(number)
  return string.format('%.0f', number)
end

-- The next version. It is later than all before it, also where Redis has lost them, or its clock has gone back.
local function tick()
  local last = tonumber(redis.call('GET', prefix .. 'fence') or 0) or 0
  local version = whole(math.max(last + 1, now))
  redis.call('SET', prefix .. 'fence', version)
  return version
end

local function runs_of(run)
  return prefix .. 'runs:' .. string.sub(run, 5, 20)
end

local function log_of(run)
  return prefix .. 'log:' .. run
end

local function join_idle(size_bytes, image_bytes)
  redis.call('ZADD', idle, tick(), id)
  redis.call('HSET', sizes, id, size_bytes .. ' ' .. image_bytes)
  redis.call('HINCRBY', totals, 'text', size_bytes)
  redis.call('HINCRBY', totals, 'images', image_bytes)
end

local function leave_idle(other)
  redis.call('ZREM', idle, other)
  local size_bytes, image_bytes = string.match(redis.call('HGET', sizes, other) or '', '^(%d+) (%d+)$')
  if size_bytes then
    redis.call('HDEL', sizes, other)
    redis.call('HINCRBY', totals, 'text', 0 - size_bytes)
    redis.call('HINCRBY', totals, 'images', 0 - image_bytes)
  end
end

-- Delete a session and all that belongs to it; a log expires with its session.
local function forget(other)
  local key = prefix .. 'session:' .. other
  local runs = redis.call('HMGET', key, 'run', 'last_run')
  if runs[1] then
    redis.call('HDEL', runs_of(runs[1]), runs[1])
  end
  if runs[2] then
    redis.call('UNLINK', log_of(runs[2]))
  end
  redis.call('ZREM', busy, other)
  leave_idle(other)
  return redis.call('UNLINK', key)
end

local function lose(other, how)
  forget(other)
  redis.call('HINCRBY', totals, how, 1)
end

-- Fields of the record, after its format; nil where there is none of this format.
local function read(...)
  local found = redis.call('HMGET', session, 'format', ...)
  if not found[1] and (redis.call('ZSCORE', idle, id) or redis.call('ZSCORE', busy, id)) then
    lose(id, 'expired')
  end
  return found[1] == format and found or nil
end

-- Clear away what has expired. A session in flight is looked at when its time is over; it may have been given more.
local function clear()
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', idle, '-inf', whole(now - ttl_ms * 1000), 'LIMIT', 0, MOST)) do
    lose(other, 'expired')
  end
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', busy, '-inf', whole(now), 'LIMIT', 0, MOST)) do
    local left_ms = redis.call('PTTL', prefix .. 'session:' .. other)
    if left_ms == -2 then
      lose(other, 'expired')
    else
      redis.call('ZADD', busy, whole(now + math.max(left_ms, 1000) * 1000), other)
    end
  end
end

-- Write the record anew: its fields, and then two texts in parts that are the arguments after `at`. The first text has
-- as many as the argument at `at` says. To join them here would take most of the time of a long session.
local function write(at, ...)
  local last = at + ARGV[at]
  redis.call('UNLINK', session)
  redis.call('HSET', session, 'format', format, 'active', whole(now), 'messages', ARGV[at], ...)
  for part = at + 1, last do
    redis.call('HSET', session, 'messages' .. part - at, ARGV[part])
  end
  if #ARGV > last then
    redis.call('HSET', session, 'untrimmed', #ARGV - last)
    for part = last + 1, #ARGV do
      redis.call('HSET', session, 'untrimmed' .. part - last, ARGV[part])
    end
  end
end

-- Note what trimming has taken. Returns the sizes of the text and of the pictures; all are words of `spent`.
local function note(spent)
  local size_bytes, image_bytes, turns, images = string.match(spent, '^(%d+) (%d+) (%d+) (%d+)$')
  redis.call('HINCRBY', totals, 'turns', turns)
  redis.call('HINCRBY', totals, 'pictures', images)
  return size_bytes, image_bytes
end
