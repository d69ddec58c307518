"""The access token of the Open API: kept while it is good, renewed by one thread while others wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout

from clawgate.bots.dingtalk.failures import ApiError

EARLY_S = 300.0
"""So much before its end a token is renewed."""
RENEWAL_S = 30.0
"""So long another thread's renewal is waited for."""


class Token:
    """A token and its end.

    fetch: gets a new one, and its life in seconds.
    Threads: any. The lock guards token, end and the renewal that is under way; it is not held for the call itself.
    Errors: those of fetch.
    """

    def __init__(self, fetch: Callable[[], tuple[str, float]], clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.Lock()
        self._token = ""
        self._good_until = 0.0
        self._renewal: Future[str] | None = None

    def get(self, *, instead_of: str = "") -> str:
        """Return a token that is good; instead_of: one that DingTalk has refused."""
        with self._lock:
            if self._token and self._token != instead_of and self._clock() < self._good_until:
                return self._token
            renewal, is_ours = self._renewal, self._renewal is None
            if renewal is None:
                renewal = self._renewal = Future()
        if is_ours:
            self._renew(renewal)
        try:
            return renewal.result(RENEWAL_S)
        except FutureTimeout as error:
            raise ApiError("oauth2/accessToken", "no token came in time") from error

    def _renew(self, renewal: Future[str]) -> None:
        try:
            token, life_s = self._fetch()
        except BaseException as error:  # noqa: BLE001  `get` raises it, here and for those who wait
            with self._lock:
                self._renewal = None
            renewal.set_exception(error)
            return
        with self._lock:
            self._token, self._good_until = token, self._clock() + max(life_s - EARLY_S, life_s / 2)
            self._renewal = None
        renewal.set_result(token)
