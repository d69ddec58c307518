-- Return the commands that this client may not run on a key, each a line of ARGV; where there is none, try to write.
-- The key is ARGV[1], one that nobody else uses: Redis would refuse the whole script for one of KEYS.
local key = ARGV[1]
local denied = {}
for number = 2, #ARGV do
    local words = {}
    for word in string.gmatch(ARGV[number], '%S+') do
        table.insert(words, word == '@' and key or word)
    end
    if not redis.acl_check_cmd(unpack(words)) then
        table.insert(denied, ARGV[number])
    end
end
if #denied == 0 then
    redis.call('set', key, '', 'px', 1000)
    redis.call('del', key)
end
return denied
