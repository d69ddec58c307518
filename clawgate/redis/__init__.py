"""The things that several processes share, in one Redis: sessions, the logs of runs, and the words between processes.

link.py         the connections, and whether Redis answers
store.py        the sessions (`SessionStore`)
codec.py        sessions as the fields of a hash
waiting.py      the answers that wait until Redis takes them
logs.py         the logs of runs, as streams
peers.py        the words between processes (`Peers`): an inbox each, which one thread reads
hearing.py      the threads that hear these
beat.py         the lease of this process, what its runs have said since the last second, and the runs of dead processes
recovery.py     the answers of dead processes
keys.py         the keys of repeated questions (`KnownKeys`)
naming.py       the names in keys
checking.py     whether this Redis can be used: asking.py asks, permissions.py says what is needed, failures.py words it
lua/            the steps that are atomic

Only app.py imports this room, and only where session.backend is redis.

The layout. Every key begins with session.redis_prefix, and none holds a word of a user's: where a client has chosen an
id, its key has a hash of that. All keys expire but `fence`, `idle`, `busy`, `sizes`, `totals` and `processes`,
which are small.

P:session:<hash>     hash    messages, untrimmed, and the other fields of a session; expires ttl_seconds after its use
P:gone:<hash>        string  a session has been deleted; expires after ten minutes
P:idle               zset    the hashes of idle sessions by their last use
P:busy               zset    the hashes of sessions in flight by the moment at which they may have expired
P:sizes              hash    the sizes of idle sessions, as text and pictures, by their hash
P:totals             hash    text, images: the sums of these; evicted, expired, turns, pictures: what has been lost
P:fence              string  the last version; it rises for ever
P:log:<run>          stream  events of a run; an entry's id is the number of its last event
P:process:<process>  string  the lease of a process
P:processes          zset    processes by the moment at which their lease ends
P:runs:<process>     hash    the sessions of the runs that a process has in flight, by run
P:inbox:<process>    list    what others ask a process
P:reply:<random>     list    the answer to one such request
P:key:<hash>         string  the run of an Idempotency-Key
P:keys               zset    the hashes of these by their time
"""
