"""The keys by which a question that is asked again is known, wherever it comes. Source: as in relay/keys.py.

A key is reserved before its question is admitted. So of two processes that get the same question at once, one admits
it, and the other waits for the run.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from clawgate.errors import BadRequest, Busy, SessionStoreUnavailable
from clawgate.redis.link import Link, milliseconds
from clawgate.redis.logs import IN_FLIGHT_S
from clawgate.redis.naming import session_hash
from clawgate.relay.keys import ANOTHER, MAX_KEYS, fingerprint
from clawgate.relay.prompt import ChatRequest

RESERVED_S = 5.0
"""An admission takes no longer; a process that dies meanwhile leaves the key free after this."""
LOOK_EVERY_S = 0.05


class _Known(msgspec.Struct, frozen=True):
    """The value of a key; run_id is "" while its question is being admitted, by whoever has the token."""

    fingerprint: str
    session_id: str = ""
    run_id: str = ""
    token: str = ""


class RedisKeys:
    """Keeps the run of each key for as long as an unused session is kept, and while its session is known.

    Beyond `MAX_KEYS`, of all processes together, the oldest go.

    has_session: tells whether a session is known. ttl_in_force: as of `Logs`.
    Errors: SessionStoreUnavailable.
    """

    def __init__(self, link: Link, has_session: Callable[[str], bool], ttl_in_force: Callable[[], float]) -> None:
        self._link = link
        self._has_session = has_session
        self._ttl_in_force = ttl_in_force
        self._reserved: dict[str, bytes] = {}
        """The values of the keys that this process has reserved, each by one thread, by their names."""

    def run_of(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for; None where it is a new one.

        Errors: BadRequest where the key came with another request.
        """
        known = _known(self._value(self._name(key)))
        if known is None or not known.run_id or not self._has_session(known.session_id):
            return None
        return _checked(known, request).run_id

    def reserve(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for; None where it is this caller's from now on, to `note` or give back.

        Errors: BadRequest, Busy.
        """
        mine = msgspec.json.encode(_Known(_text(request), token=secrets.token_hex(16)))
        name = self._name(key)
        ends_at = time.monotonic() + RESERVED_S
        while time.monotonic() < ends_at:
            if self._link.call(lambda client: client.set(name, mine, px=milliseconds(RESERVED_S), nx=True)):
                self._reserved[name] = mine
                return None
            value = self._value(name)
            known = _known(value)
            if known is not None and known.run_id and not self._has_session(known.session_id):
                self._forget(name, value)
            elif known is not None and (run_id := _checked(known, request).run_id):
                return run_id
            else:
                time.sleep(LOOK_EVERY_S)
        raise Busy("Idempotency-Key: the same request is being admitted; try again in a moment")

    def give_back(self, key: str) -> None:
        """Forget a key that was reserved, and whose request has been refused."""
        name = self._name(key)
        with suppress(SessionStoreUnavailable):  # it expires by itself
            self._forget(name, self._reserved.pop(name, None))

    def note(self, key: str, request: ChatRequest, session_id: str, run_id: str) -> None:
        """Note the run of a key."""
        known = msgspec.json.encode(_Known(_text(request), session_id, run_id))
        ttl_ms = milliseconds(max(self._ttl_in_force(), IN_FLIGHT_S))
        self._reserved.pop(self._name(key), None)
        with suppress(SessionStoreUnavailable):  # the run is admitted: it must not be refused any more
            names = [self._name(key), self._link.key("keys")]
            self._link.run("key_note", names, [known, ttl_ms, session_hash(key), self._link.key("key", ""), MAX_KEYS])

    def _value(self, name: str) -> bytes | None:
        value: Any = self._link.call(lambda client: client.get(name))
        return None if value is None else bytes(value)

    def _forget(self, name: str, value: bytes | None) -> None:
        if value is not None:
            self._link.run("key_forget", [name], [value])

    def _name(self, key: str) -> str:
        return self._link.key("key", session_hash(key))


def _known(value: bytes | None) -> _Known | None:
    return None if value is None else msgspec.json.decode(value, type=_Known)


def _checked(known: _Known, request: ChatRequest) -> _Known:
    if known.fingerprint != _text(request):
        raise BadRequest(ANOTHER)
    return known


def _text(request: ChatRequest) -> str:
    return base64.b64encode(fingerprint(request)).decode()
