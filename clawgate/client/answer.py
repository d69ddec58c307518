"""One answer, read to its end over as many connections as that takes.

A connection that breaks, or is silent for longer than heartbeats allow, is made anew behind the last event that came:
no event is lost, and none comes twice. A question whose head was lost is asked again under the same key, which starts
no second answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple

import requests

from clawgate.client.endpoint import STREAM, Endpoint, pieces
from clawgate.client.events import Ended, Event, Reconnecting, Reset, Started, event_of
from clawgate.client.failures import ClientError, NotAGateway, NothingLeft, Unreachable
from clawgate.client.sse import Parser
from clawgate.client.views import Interruption

AWAY = (429, 502, 503, 504)
"""The statuses that pass: of a gateway that is full or ends, and of a proxy whose gateway is away."""


class Patience(NamedTuple):
    """The times of a reader.

    silence_s: a connection without a byte is dead then. A gateway's heartbeats come every 5 s, unless it is set
    otherwise: after each silence, twice as long a one is waited for.
    lost_s: so long a lost connection is made anew.
    pause_s, longest_pause_s: between two attempts; each pause is twice the one before.
    """

    silence_s: float = 30.0
    lost_s: float = 60.0
    pause_s: float = 0.1
    longest_pause_s: float = 5.0


class Answer:
    """The events of one answer; iterate it once. It ends with `Ended`, or raises ClientError.

    question: the body of POST /api/chat, and key its Idempotency-Key; None for a session's answer that is there.
    after: the id of the last event that its reader has; "" for none.
    stop: ends a run by its session and its id.
    Threads: one iterates; `interrupt` and `close` may come from any.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        question: bytes | None,
        key: str,
        session_id: str,
        after: str,
        stop: Callable[[str, str], Interruption],
        patience: Patience,
    ) -> None:
        self.session_id = session_id
        """The session; "" until the start event, where the gateway makes one."""
        self.run_id: str | None = None
        self._endpoint = endpoint
        self._question = question
        self._key = key
        self._after = after
        self._stop = stop
        self._patience = patience
        self._silence_s = patience.silence_s
        self._is_asked = False
        self._is_lost = False
        self._is_unwanted = False
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Event]:
        attempt, lost_at = 0, 0.0
        while not self._closed.is_set():
            try:
                with self._request() as response:
                    self._is_asked = True
                    for event in self._events(response):
                        attempt = 0
                        yield event
                        if isinstance(event, Ended):
                            return
                raise Unreachable("the connection to the gateway was lost: it broke off")
            except _Unsent:
                yield Ended("interrupted")
                return
            except ClientError as error:
                lost = self._survived(error)
            if self._is_unwanted and self.run_id is None:
                yield Ended("interrupted")
                return
            lost_at = lost_at if attempt else time.monotonic()
            attempt += 1
            if time.monotonic() - lost_at >= self._patience.lost_s:
                raise lost
            yield Reconnecting(attempt)
            self._closed.wait(min(self._patience.pause_s * 2.0 ** min(attempt - 1, 20), self._patience.longest_pause_s))

    def interrupt(self) -> Interruption | None:
        """End the answer in whatever phase it is; its events go on to the end.

        Returns what the gateway says of it, and None where the answer has not begun: then its question is not sent any
        more, or it is ended as soon as it has begun.

        Errors: ClientError where the gateway cannot be told.
        """
        self._is_unwanted = True
        return None if self.run_id is None else self._stop(self.session_id, self.run_id)

    def close(self) -> None:
        """Give the answer up without ending it: the iterator ends with the next byte, or the next silence."""
        self._closed.set()

    def _request(self) -> AbstractContextManager[requests.Response]:
        if self._question is None or self._after:
            headers = {"Last-Event-ID": self._after} if self._after else {}
            path = f"/api/sessions/{self.session_id}/stream"
            return self._endpoint.request("GET", path, read_s=self._silence_s, accept=STREAM, headers=headers)
        body = _Body(self._question, self._let_go)
        headers = {"Idempotency-Key": self._key}
        return self._endpoint.request("POST", "/api/chat", body, read_s=self._silence_s, accept=STREAM, headers=headers)

    def _let_go(self) -> None:
        """Note that the question leaves now."""
        if self._is_unwanted:
            raise _Unsent
        self._is_asked = True

    def _events(self, response: requests.Response) -> Iterator[Event]:
        """Yield what a connection brings, up to the end of the answer or of the connection."""
        if response.status_code == 204:
            raise NothingLeft("the gateway has no more of this answer")
        parser = Parser()
        try:
            for piece in pieces(response):
                for message in parser.feed(piece):
                    event = event_of(message.data)
                    self._after = message.last_id or self._after
                    if event is None:
                        continue
                    if isinstance(event, Started | Reset) and not self._is_ours(event):
                        yield Ended("superseded")
                        return
                    yield event
                if self._closed.is_set():
                    return
        except ValueError as error:
            raise NotAGateway(f"what answers at {self._endpoint.url} is no gateway ({error})", 200) from error

    def _is_ours(self, event: Started | Reset) -> bool:
        """Note the run; tell whether it is the one that was asked for, and not a newer one of the session."""
        if self.run_id not in (None, event.run_id):
            return False
        self.session_id, self.run_id = event.session_id, event.run_id
        if self._is_unwanted:  # the interrupt came first, and knew no run
            try:
                self._stop(self.session_id, self.run_id)
            except ClientError:
                pass  # the answer is read on, in case that it ends
        return True

    def _survived(self, error: ClientError) -> ClientError:
        """Return an error after which the answer is asked for again; raise any other."""
        if isinstance(error, Unreachable):
            passes = self._is_asked
            self._silence_s *= 2 if error.is_silent else 1
        else:
            passes = self._is_lost and error.status in AWAY
        if not passes:
            raise error
        self._is_lost = True
        return error


class _Unsent(Exception):
    """The question is not wanted any more, and was not sent."""


class _Body:
    """A question that may be held back until its connection is there; it has a length, and is one piece."""

    def __init__(self, data: bytes, let_go: Callable[[], None]) -> None:
        self._data = data
        self._let_go = let_go

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        self._let_go()
        yield self._data
