"""The questions that tell whether a Redis is one that the gateway can use (checking.py): version, rights, a write."""

from __future__ import annotations

import re
import secrets
from typing import Any

import redis
from redis.exceptions import NoPermissionError

from clawgate.config import SessionConfig
from clawgate.redis.checking import Standing
from clawgate.redis.failures import described
from clawgate.redis.link import TIMEOUT_S, client_of, script_of, without_secrets
from clawgate.redis.permissions import NEEDED, names_of

OLDEST = 7
"""From 7 on a script can ask what its user may do. Valkey counts from there on."""


def ask(session: SessionConfig) -> Standing:
    """Ask one Redis everything, until an answer rules it out.

    Errors: ConfigError where the URL has an option that redis-py does not know.
    """
    client = client_of(session.redis_url or "", TIMEOUT_S)
    given = client.connection_pool.connection_kwargs
    where = place_of(given)
    try:
        return _standing(client, where, session.redis_prefix)
    except (redis.RedisError, OSError) as error:
        line = described(error, where, is_tls=(session.redis_url or "").startswith("rediss:"))
        return Standing(problem=without_secrets(line, given))
    finally:
        client.close()


def place_of(given: dict[str, Any]) -> str:
    """Name the place that a client connects to: its socket's path, or host and port."""
    if "path" in given:
        return f"unix:{given['path']}"
    host = given.get("host", "localhost")
    return f"[{host}]:{given.get('port', 6379)}" if ":" in host else f"{host}:{given.get('port', 6379)}"


def _standing(client: redis.Redis, where: str, prefix: str) -> Standing:
    client.ping()
    told = _hello(client)
    server = f"{'Valkey' if told['server'] == 'valkey' else 'Redis'} {told['version']} at {where}"
    problem = _kind_problem(told, server) or _rights_problem(client, server, prefix)
    return Standing(server, problem, () if problem else _warnings(client))


def _hello(client: redis.Redis) -> dict[str, str]:
    """Return what a server says of itself; every user may ask that.

    Source: HELLO, redis.io.
    """
    said: Any = client.execute_command("HELLO", "2")  # type: ignore[no-untyped-call]
    words = [each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in said]
    return {"server": "", "version": "", **dict(zip(words[::2], words[1::2], strict=False))}


def _kind_problem(told: dict[str, str], server: str) -> str | None:
    if told.get("mode") == "cluster":
        return f"{server} is a Redis Cluster, whose keys lie apart; name one that is not"
    if told.get("mode") == "sentinel":
        return f"{server} is a Sentinel, which keeps no data; name the Redis that it watches"
    major = re.match(r"\d+", told["version"])
    if major is None or int(major[0]) < OLDEST:
        return f"{server} is too old; {OLDEST} or later is needed, or Valkey"
    if told.get("role") == "replica":
        return f"{server} is a replica, which takes no writes; name its primary"
    return None


def _rights_problem(client: redis.Redis, server: str, prefix: str) -> str | None:
    key = f"{prefix}:reply:{secrets.token_hex(8)}"
    found = script_of(client, "checking")(args=[key, *NEEDED])
    denied = [each.decode() for each in found]
    if not denied:
        return None
    if set(denied) == {line for line in NEEDED if "@" in line}:
        return f"{server} does not let this user touch the keys below {prefix}; give it ~{prefix}:* in the ACL"
    names = " ".join(f"+{name}" for name in names_of(denied))
    return f"{server} does not let this user do all that it must; give it {names} in the ACL (docs/scaling.md)"


def _warnings(client: redis.Redis) -> tuple[str, ...]:
    """Return what an operator should know, as far as this user may ask."""
    try:
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
    except NoPermissionError:
        return ()
    if policy == "noeviction":
        return ()
    return (
        f"Redis has maxmemory-policy {policy}: once it is full it forgets sessions in the middle of an answer; "
        "noeviction lets clawgate forget the oldest by itself",
    )
