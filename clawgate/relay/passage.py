"""The passage of a call through to Ollama that makes no answer: a list of models, a description, embeddings.

Each call takes a slot, since it holds a thread as an answer does. A short one ends after `SHORT_S` whatever happens. A
long one may wait for a model that is loaded; it ends when its client leaves, or with the process's drain, and its
connection to Ollama is closed as an answer's is.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from clawgate.errors import Busy, ShuttingDown, UpstreamError, UpstreamTimeout
from clawgate.ollama.body import MalformedBody
from clawgate.ollama.client import Fetched, OllamaClient
from clawgate.ollama.connecting import not_reached
from clawgate.ollama.exchange import Exchange
from clawgate.relay.closings import Closings
from clawgate.relay.roster import Roster
from clawgate.relay.wait import Waiter, WakeEvent

SHORT_S = 10.0
"""A list of models is read from the disk, and there may be hundreds."""
MAX_CALL_BYTES = 1 << 26
"""The embeddings of a thousand texts take some 30 MiB as JSON."""
LONG_BYTES = 1 << 20
MAX_LONG = 4
"""So many documents beyond `LONG_BYTES` are in memory at a time, until their clients have them."""


class ClientLeft(Exception):
    """The client of a call has left: there is nobody to answer."""


class Passages:
    """Passes calls through.

    client_in_force, patience_in_force: asked at each call, so that a reload holds for the next one.
    Threads: any; `_lock` guards the calls in flight, and is held for memory only.
    """

    def __init__(
        self,
        roster: Roster,
        closings: Closings,
        client_in_force: Callable[[], OllamaClient],
        patience_in_force: Callable[[], float],
    ) -> None:
        self._roster = roster
        self._closings = closings
        self._client_in_force = client_in_force
        self._patience_in_force = patience_in_force
        self._lock = threading.Lock()
        self._in_flight: set[WakeEvent] = set()
        self._is_over = False
        self._long = threading.BoundedSemaphore(MAX_LONG)

    def fetch(self, path: str, body: bytes | None = None, request_id: str = "") -> Fetched:
        """GET (with a body: POST) a short document; return what Ollama answers, a refusal too.

        Errors: Busy, ShuttingDown, UpstreamFailure.
        """
        with self._slot():
            return self._client_in_force().fetch(path, SHORT_S, body, request_id)

    def call(
        self,
        path: str,
        body: bytes,
        model: str,
        kept: ExitStack,
        client: socket.socket | None = None,
        request_id: str = "",
    ) -> bytes:
        """POST a call that may take long, as a model may have to be loaded for it; return the document.

        model: the one that is asked. client: it is watched; the call ends when it leaves. kept: it is closed once the
        client has the document; a long one holds a place until then.

        Errors: Busy, ShuttingDown, UpstreamFailure, UpstreamRefused, ClientLeft.
        """
        with self._slot() as slot, self._wake_event() as wake_event:
            exchange = self._client_in_force().call(path, body, model, request_id)
            try:
                return self._take(exchange, wake_event, client, kept)
            finally:
                self._closings.release(slot, exchange)

    def end_all(self) -> None:
        """End the calls in flight, and those to come."""
        with self._lock:
            self._is_over = True
            for wake_event in self._in_flight:
                wake_event.set()

    def _take(self, exchange: Exchange, wake_event: WakeEvent, client: socket.socket | None, kept: ExitStack) -> bytes:
        waiter = Waiter(wake_event)
        waiter.watch_client(client)
        ends_at = time.monotonic() + self._patience_in_force()
        document, has_place = bytearray(), False
        exchange.start(wake_event.wake)
        while exchange.failure is None:
            if exchange.is_open:  # first, since the end may have come together with the head
                document += _read(exchange)
            if len(document) > LONG_BYTES and not has_place:
                has_place = self._take_place(kept)
            if len(document) > MAX_CALL_BYTES:
                raise UpstreamError(f"Ollama's answer is longer than {MAX_CALL_BYTES >> 20} MiB; ask for less at once")
            if exchange.is_at_end:
                break
            _wait(exchange, waiter, wake_event, ends_at)
        if exchange.failure is not None:
            raise exchange.failure.error
        if not exchange.is_whole:
            raise not_reached(None).error
        return bytes(document)

    def _take_place(self, kept: ExitStack) -> bool:
        """Take one of the places for long documents.

        Errors: Busy.
        """
        if not self._long.acquire(blocking=False):
            raise Busy(f"{MAX_LONG} long documents are on their way; try again in a moment")
        kept.callback(self._long.release)
        return True

    @contextmanager
    def _slot(self) -> Iterator[str]:
        slot = f"call_{secrets.token_hex(16)}"
        self._roster.take_slot(slot, None)
        try:
            yield slot
        finally:
            self._roster.give_slot_back(slot)

    @contextmanager
    def _wake_event(self) -> Iterator[WakeEvent]:
        try:
            wake_event = WakeEvent()
        except OSError as error:
            raise Busy(f"no further call can be made ({error.strerror}); try again in a moment") from error
        with self._lock:
            self._in_flight.add(wake_event)
            if self._is_over:
                wake_event.set()
        try:
            yield wake_event
        finally:
            with self._lock:
                self._in_flight.discard(wake_event)
            wake_event.release()


def _read(exchange: Exchange) -> bytes:
    try:
        return exchange.read()
    except MalformedBody as error:
        raise UpstreamError(f"Ollama's answer cannot be read: {error}") from error


def _wait(exchange: Exchange, waiter: Waiter, wake_event: WakeEvent, ends_at: float) -> None:
    """Wait until more has come."""
    if wake_event.is_set():
        raise ShuttingDown("the gateway is shutting down; try again in a moment")
    now = time.monotonic()
    if now >= ends_at:
        raise UpstreamTimeout("Ollama has not answered in time (stream.first_frame_seconds)")
    waiter.watch(exchange.fileno())
    if waiter.wait(min(ends_at, exchange.refused_by) - now, for_upstream=True):
        raise ClientLeft
    exchange.advance()
