#!lua flags=allow-oom
-- Writes events of one run into its log, and says what has become of the run's session.
--
-- KEYS: the log, and the session ("" for a run whose session nobody knows)
-- ARGV: the run, the numbers of the first and the last event, the events, 1 where all is written anew, 1 where a reader
--       waits for it, and the TTLs in ms of the log and of a session in flight, and of a log without its session
-- A last event before the first one: there is nothing new, and both are kept for as long again.
-- Returns 1 where it is written, and the session's owner: "" for the run itself, "-" for nobody, or another run's id.
local log, session = KEYS[1], KEYS[2]
local run, first, last, events = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local is_anew, is_wanted, ttl = ARGV[5] == '1', ARGV[6] == '1', ARGV[7]

local owner = ''
if session ~= '' then
    local state = redis.call('HMGET', session, 'run', 'last_run')
    if state[1] == run then
        redis.call('PEXPIRE', session, ttl)
    else
        owner = state[1] or '-'
    end
    if state[2] ~= run then -- the session is another run's, or gone: only a reader that is there gets the rest
        if not is_wanted then
            return {1, owner}
        end
        ttl = ARGV[8]
    end
end

local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local written = newest and tonumber(string.match(newest[1], '^%d+')) or 0
if last < first then
    redis.call('PEXPIRE', log, ttl)
    return {written == last and 1 or 0, owner}
elseif written > last or (written == last and not is_anew) then
    return {1, owner} -- it was written before, and the answer to that was lost
elseif is_anew then
    redis.call('DEL', log)
elseif written + 1 < first then
    return {0, owner}
end
redis.call('XADD', log, string.format('%d-0', last), 'first', first, 'events', events)
redis.call('PEXPIRE', log, ttl)
return {1, owner}
