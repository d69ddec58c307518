"""The keys by which a client that asks the same question again is known. Source: draft-ietf-httpapi-idempotency-key."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest

MAX_KEYS = 10_000
"""Each takes some 0.5 KB."""


ANOTHER = "Idempotency-Key: expected a new key for another request, got one that is in use"


class KnownKeys(Protocol):
    """The runs of the keys that are known.

    Errors: BadRequest where a key came with another request; SessionStoreUnavailable.
    """

    def run_of(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for; None where it is a new one."""

    def reserve(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for; None where it is this caller's from now on, to `note` or give back."""

    def give_back(self, key: str) -> None:
        """Forget a key that was reserved, and whose request has been refused."""

    def note(self, key: str, request: ChatRequest, session_id: str, run_id: str) -> None:
        """Note the run of a key."""


class Keys:
    """Keeps the run of each key as long as the run's session is known: so long the same question is not asked again.

    Beyond `MAX_KEYS` the oldest go.

    has_session: tells whether a session is known.
    Threads: `_lock` guards the dict, and is held for memory only.
    """

    def __init__(self, has_session: Callable[[str], bool]) -> None:
        self._has_session = has_session
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}  # those that were looked at last are last

    def run_of(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for; None where it is a new one.

        Errors: BadRequest where the key came with another request.
        """
        with self._lock:
            known = self._known.get(key)
        if known is None or not self._has_session(known.session_id):
            return None
        if known.fingerprint != fingerprint(request):
            raise BadRequest(ANOTHER)
        return known.run_id

    def reserve(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for. The caller admits the requests of one key one after the other."""
        return self.run_of(key, request)

    def give_back(self, key: str) -> None:
        """Forget nothing: a key is noted once its request is admitted."""

    def note(self, key: str, request: ChatRequest, session_id: str, run_id: str) -> None:
        """Note the run of a key. With each new one, two old ones are looked at, and go where nobody needs them."""
        known = _Known(session_id, run_id, fingerprint(request))
        with self._lock:
            oldest = [(each, old) for (each, old), _ in zip(self._known.items(), range(2), strict=False)]
        forgotten = {each for each, old in oldest if not self._has_session(old.session_id)}
        with self._lock:
            for each, old in oldest:
                if self._known.get(each) is old:
                    del self._known[each]
                    if each not in forgotten:
                        self._known[each] = old  # behind the others, to be looked at again after them
            self._known.pop(key, None)
            self._known[key] = known
            while len(self._known) > MAX_KEYS:
                del self._known[next(iter(self._known))]


class _Known(NamedTuple):
    session_id: str
    run_id: str
    fingerprint: bytes


def fingerprint(request: ChatRequest) -> bytes:
    """Hash a request, so that another one under the same key is seen."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(request, request_id=""))).digest()
