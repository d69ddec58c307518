"""The commands that the gateway gives to Redis: what a user of it (ACL) must be allowed to run.

docs/scaling.md has the user that may do this and nothing else; tests hold both to the scripts of lua/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    "hmget @ f",
    "hset @ f v",
    "pexpire @ 1",
    "ping",
    "pttl @",
    "rpush @ v",
    "script exists 0",
    "script load 0",
    "set @ v",
    "time",
    "unlink @",
    "xadd @ * f v",
    "xrange @ - +",
    "xread streams @ 0",
    "xrevrange @ + -",
    "zadd @ 1 m",
    "zcard @",
    "zrange @ 0 1",
    "zrangebyscore @ 0 1",
    "zrem @ m",
    "zscore @ m",
)
"""Each command with arguments like its own; @ stands for a key."""


def names_of(commands: Iterable[str]) -> list[str]:
    """Return the names of these commands as an ACL has them."""
    return [_name_of(line.split()) for line in commands]


def _name_of(words: Sequence[str]) -> str:
    return "|".join(words[:2]) if words[0] == "script" else words[0]
