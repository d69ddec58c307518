"""The commands that the gateway gives to Redis: what a user of it (ACL) must be allowed to run.

docs/scaling.md has the user that may do this and nothing else; tests hold both to the scripts of lua/.
"""

from __future__ import annotations

from collections.abc import Iterable

NEEDED = (
    "blpop @ 1",
    "del @",
    "evalsha 0 1 @",
    "exists @",
    "get @",
    "hdel @ f",
    "hget @ f",
    "hgetall @",
    "hincrby @ f 1",
    "hlen @",
    "hmget @ f",
    "hset @ f v",
    "incr @",
    "pexpire @ 1",
    "ping",
    "rpush @ v",
    "script load 0",
    "set @ v",
    "time",
    "xadd @ * f v",
    "xrange @ - +",
    "xread streams @ 0",
    "zadd @ 1 m",
    "zcard @",
    "zrange @ 0 1",
    "zrem @ m",
    "zscore @ m",
)
"""Each command with arguments like its own; @ stands for a key."""


def names_of(commands: Iterable[str]) -> list[str]:
    """Return the names of these commands as an ACL has them."""
    return ["script|load" if line.startswith("script ") else line.partition(" ")[0] for line in commands]
