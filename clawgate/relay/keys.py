"""The keys by which a client that asks the same question again is known. Source: draft-ietf-httpapi-idempotency-key."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest


class Keys:
    """Keeps the run of each key, as long as a reader can still be given that run.

    is_kept: tells whether a run is in flight, or its log is kept.
    Threads: `_lock` guards the dict, and is held for memory only.
    """

    def __init__(self, is_kept: Callable[[str], bool]) -> None:
        self._is_kept = is_kept
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}  # the oldest first

    def run_of(self, key: str, request: ChatRequest) -> str | None:
        """Return the run that a key stands for; None where it is a new one.

        Errors: BadRequest where the key came with another request.
        """
        with self._lock:
            known = self._known.get(key)
        if known is None or not self._is_kept(known.run_id):
            return None
        if known.fingerprint != _fingerprint(request):
            raise BadRequest("Idempotency-Key: expected a new key for another request, got one that is in use")
        return known.run_id

    def note(self, key: str, request: ChatRequest, run_id: str) -> None:
        """Note the run of a key. With each new one, two old ones are looked at, and go where nobody needs them."""
        known = _Known(run_id, _fingerprint(request))
        with self._lock:
            self._known.pop(key, None)
            oldest = [(each, old) for (each, old), _ in zip(self._known.items(), range(2), strict=False)]
            self._known[key] = known
            for each, old in oldest:
                del self._known[each]
                if self._is_kept(old.run_id):
                    self._known[each] = old  # behind the others, to be looked at again after them


class _Known(NamedTuple):
    run_id: str
    fingerprint: bytes


def _fingerprint(request: ChatRequest) -> bytes:
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(request, request_id=""))).digest()
