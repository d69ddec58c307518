"""The connections to Redis, and whether it answers.

The client has short time-outs and tries nothing twice: its own retries took 2.5 s for a Redis that is down, and over
40 s for one that hangs. A Redis that has failed is away for `PAUSE_S`, and each call fails at once meanwhile; then one
call tries it again. So a Redis that hangs costs one thread `TIMEOUT_S` now and then, and nobody else anything.

A connection that has failed, or leads to what has become a replica, says the same of all others: they are made anew
before they are used again, and so reach the place at which the name in the URL is now.
"""

from __future__ import annotations

import logging
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from clawgate.errors import ConfigError, SessionStoreUnavailable

T = TypeVar("T")
TIMEOUT_S = 0.3
"""The time that Redis has to take a connection, and for each read and write on it."""
PAUSE_S = 0.5
BLOCK_S = 2.0
"""The longest wait of a blocking command. Each is a sign of life: a dead connection is noticed after this."""
SAY_EVERY_S = 10.0
LONGEST_S = 10.0 * 365 * 86_400
KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A firewall forgets idle connections after some minutes; the kernel keeps them alive."""
MOST_CONNECTIONS = 1 << 16
"""More than a process has threads: each reader of an answer elsewhere waits on a connection of its own, and redis-py's
own bound, of 100, would look like a Redis that is away."""
OPTIONS = re.compile(r"db|username|password|client_name|ssl_\w+")
"""The options that a URL may have. Others are the gateway's own; one in a URL would win over them."""
OPTIONS_IN_WORDS = "db, username, password, client_name and those that begin with ssl_"
INCLUDE = re.compile(r"^-- include (\w+)$", re.M)
AWAY = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, OSError)
log = logging.getLogger(__name__)


class Link:
    """Talks to one Redis.

    Threads: any. `_lock` guards the moments, and is held for memory only. Connections are made when they are first
    needed, so that a link from before a fork works after it.
    """

    def __init__(self, url: str, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Errors: ConfigError where the URL has an option that the client does not know."""
        self._prefix = prefix
        self._clock = clock
        self._lock = threading.Lock()
        self._away_until = -math.inf
        self._is_away = False
        self._takes_writes = True
        self._said_at = -math.inf
        self._back_at = -math.inf
        self._client = client_of(url, TIMEOUT_S)
        self._patient = client_of(url, BLOCK_S + TIMEOUT_S)

    @property
    def is_available(self) -> bool:
        """False while Redis does not answer, or takes no writes."""
        return self._takes_writes and not self._is_away

    def note_write(self, is_taken: bool) -> None:
        """Note whether Redis has taken a write that it takes whenever it can."""
        with self._lock:
            if is_taken and not self._takes_writes:
                self._back_at = self._clock()
            self._takes_writes = is_taken

    @property
    def back_at(self) -> float:
        """The moment, on the clock, at which Redis was of use again for the last time; minus infinity for never."""
        return self._back_at

    def key(self, *parts: str) -> str:
        """Return the name of a key."""
        return ":".join((self._prefix, *parts))

    def ping(self) -> None:
        """Ask for a sign of life.

        Errors: SessionStoreUnavailable, whose cause says why.
        """
        self.call(lambda client: client.ping())

    def run(self, script: str, keys: Sequence[str] = (), args: Sequence[Any] = ()) -> Any:
        """Run a script of lua/, which is one atomic step.

        Errors: SessionStoreUnavailable; the step may have been taken nevertheless.
        """
        return self.call(lambda client: script_of(client, script)(keys=list(keys), args=list(args)))

    def call(self, ask: Callable[[redis.Redis], T]) -> T:
        """Ask Redis something.

        Errors: SessionStoreUnavailable, at once where Redis has just failed.
        """
        return self._call(self._client, ask)

    def wait(self, ask: Callable[[redis.Redis], T]) -> T:
        """Ask with a command that blocks, for `BLOCK_S` at the most.

        Errors: SessionStoreUnavailable, at once where Redis has just failed.
        """
        if self._is_away:  # the one call that tries it again is to say so before its wait is over
            self.ping()
        return self._call(self._patient, ask)

    def close(self) -> None:
        """Close the connections; a later call makes new ones."""
        self._client.close()
        self._patient.close()

    def _call(self, client: redis.Redis, ask: Callable[[redis.Redis], T]) -> T:
        self._check()
        try:
            answer = ask(client)
        except AWAY as error:
            if not (isinstance(error, redis.ConnectionError) and self._answers_anew()):
                self._note_away(error)
            raise SessionStoreUnavailable("Redis does not answer; try again in a moment") from error
        except redis.RedisError as error:
            self._note_refusal(error)
            raise SessionStoreUnavailable("Redis refuses to work; the gateway's log says why") from error
        self._note_answer()
        return answer

    def _answers_anew(self) -> bool:
        """Tell whether Redis answers on a new connection: then only an old one was cut, as by a firewall."""
        if self._is_away:
            return False
        self._drop_idle()
        try:
            self._client.ping()
        except (redis.RedisError, OSError):
            return False
        return True

    def _check(self) -> None:
        """Let one call through from time to time, while Redis is away."""
        if not self._is_away:
            return
        with self._lock:
            now = self._clock()
            if now < self._away_until:
                raise SessionStoreUnavailable("Redis does not answer; try again in a moment")
            self._away_until = now + PAUSE_S

    def _note_away(self, error: Exception) -> None:
        with self._lock:
            is_news, self._is_away = not self._is_away, True
            self._away_until = self._clock() + PAUSE_S
        if is_news:
            log.error("Redis does not answer: %s", self._without_secrets(error))
            self._drop_idle()

    def _note_refusal(self, error: redis.RedisError) -> None:
        with self._lock:
            is_due = self._clock() >= self._said_at + SAY_EVERY_S
            if is_due:
                self._said_at = self._clock()
        if is_due:
            log.error("Redis refuses a command: %s", self._without_secrets(error))
        if isinstance(error, redis.ReadOnlyError):
            self._drop_idle()

    def _without_secrets(self, error: Exception) -> str:
        return without_secrets(str(error), self._client.connection_pool.connection_kwargs)

    def _drop_idle(self) -> None:
        """Close the connections that nobody uses now; their next use makes them anew."""
        for client in (self._client, self._patient):
            client.connection_pool.disconnect(inuse_connections=False)

    def _note_answer(self) -> None:
        if self._is_away:
            with self._lock:
                is_news, self._is_away = self._is_away, False
                self._back_at = self._clock()
            if is_news:
                log.warning("Redis answers again")


def milliseconds(seconds: float) -> int:
    """Return a time to live as Redis takes it: at least 1 ms, at most `LONGEST_S`."""
    return max(1, math.ceil(min(seconds, LONGEST_S) * 1000))


def script_of(client: redis.Redis, name: str) -> Script:
    """Return a script of lua/, to be called with a client or a pipeline."""
    return client.register_script(_source_of(name))


@cache
def _source_of(name: str) -> str:
    """Return a script's text; a line `-- include NAME` stands for another file, which has what several scripts do."""
    text = files("clawgate.redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    return INCLUDE.sub(lambda found: _source_of(found[1]), text)


def client_of(url: str, timeout_s: float) -> redis.Redis:
    """Return a client that waits so long for each answer, and has not connected yet.

    Errors: ConfigError where the URL has an option that is not the user's to give, or that redis-py does not take.
    """
    if not all(OPTIONS.fullmatch(name) for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)):
        raise ConfigError(f"session.redis_url: expected no options but {OPTIONS_IN_WORDS}")
    try:
        client = redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
            max_connections=MOST_CONNECTIONS,
            **_keepalive(url),
        )
        client.connection_pool.make_connection()
    except (TypeError, ValueError, redis.RedisError) as error:
        raise ConfigError(f"session.redis_url: expected options that redis-py knows ({error})") from error
    return client


def without_secrets(line: str, given: Mapping[str, Any]) -> str:
    """Take a URL's user and password out of a line, unless they are part of its place.

    given: what a connection is made with.
    """
    where = given.get("path") or given.get("host", "")
    for secret in filter(None, (given.get("password"), given.get("username"))):
        line = line if secret in where else line.replace(secret, "…")
    return line


def _keepalive(url: str) -> dict[str, Any]:
    if url.startswith("unix:"):
        return {}
    options = {getattr(socket, name): value for name, value in KEEPALIVE.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}
