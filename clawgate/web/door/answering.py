"""The one way from a request to an answer: read it, admit it, stream the answer or send it whole, release the run.

`Asked` is what a wire format reads in a request, `WireFormat` everything in which its answers differ from another's;
`shape_errors` (responses.py) does so for errors. The request's own thread drives the run.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from flask import Response, g, request
from msgspec.structs import replace

from clawgate.config import ModelConfig
from clawgate.relay.desk import Desk
from clawgate.relay.events import Ended, Event, Started, Waiting
from clawgate.relay.following import Found
from clawgate.relay.prompt import ChatRequest
from clawgate.sockets import Clients, bounded
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.caller import check_is_not_ours
from clawgate.web.door.places import key_of, place_of, run_place_of
from clawgate.web.door.reading import JSON, Members, read_object

log = logging.getLogger(__name__)

STREAM_HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx passes each event on, even where its proxy_buffering is on
}
"""The headers of a `text/event-stream`."""


class WireFormat(NamedTuple):
    """A wire format: the encoding of an answer."""

    mimetype: str
    headers: Mapping[str, str]
    """The type and the headers of a stream."""
    stream: Callable[[str, Iterable[Event], int | None], Iterator[bytes]]
    """Yields the bytes of each event; takes the run's id, its events, and the number of the last one that the client
    has; None for the client that asked.
    """
    whole: Callable[[str, Iterable[Event]], bytes]
    """Takes the run's id and all its events, and encodes the answer; raises the error that ended it."""
    holds_head: bool = False
    """The stream's head waits until the model says something, or for a heartbeat; an earlier error has its own status.
    """


class Asked(NamedTuple):
    """A request as a wire format has read it.

    Whether its model may be asked is checked afterwards, and the request's id comes then too.
    """

    chat: ChatRequest
    is_streamed: bool
    wire: WireFormat


class Answering:
    """Answers chats in any wire format.

    via: the name that the gateway has in the Via of its own requests.
    """

    def __init__(self, max_body_bytes: int, model: ModelConfig, desk: Desk, clients: Clients, via: str = "") -> None:
        self._models = AllowedModels(model)
        self._options = model.options
        self._max_body_bytes = max_body_bytes
        self._desk = desk
        self._clients = clients
        self._via = via
        self._is_warned = False

    def answer(self, read: Callable[[Members], Asked]) -> Response:
        """Answer the current request, whose body `read` checks.

        Errors: those of reading and of admission, ModelNotAllowed; for a whole answer, and one whose head is held, also
        the error that ended it.
        """
        self._warn_without_threads()
        chat, is_streamed, wire = read(read_object(request, self._max_body_bytes, self._clients))
        check_is_not_ours(request, self._via)
        place = run_place_of(request)
        if place is not None:  # a client that was cut off asks again by itself: it gets the rest, and no second run
            return self._read_on(wire, self._desk.find_run(place), is_streamed)
        self._models.check(chat.model)
        asked, chat = chat, replace(chat, request_id=g.request_id, extras=self._with_options(chat.extras))
        key = key_of(request)
        run = self._desk.admit(chat) if key is None else self._desk.admit_once(chat, key, asked)
        if run is None or isinstance(run, Found):
            return self._read_on(wire, run, is_streamed)
        with Held(partial(self._desk.release, run)) as held:
            events = self._desk.pump(run, self._socket_of(run.session_id if chat.is_kept else None, run.run_id))
            return self._respond(wire, events, held, is_streamed, None)

    def follow(self, wire: WireFormat, session_id: str) -> Response:
        """Answer with what a client has not read yet of a session's answer; 204 where that is nothing.

        Errors: UnknownSession, BadRequest, Busy.
        """
        return self._read_on(wire, self._desk.find(session_id, place_of(request)), is_streamed=True)

    def _read_on(self, wire: WireFormat, found: Found | None, is_streamed: bool) -> Response:
        if found is None:
            return Response(status=204)
        if not is_streamed:  # an object is the whole answer, whatever the client has of it
            found = found._replace(number=0)
        session_id = found.session_id if found.is_kept else None
        reading = self._desk.read(found, self._socket_of(session_id, found.run_id))
        with Held(reading.release) as held:
            return self._respond(wire, reading.events, held, is_streamed, found.number)

    def _respond(
        self, wire: WireFormat, events: Iterator[Event], held: Held, is_streamed: bool, number: int | None
    ) -> Response:
        if not is_streamed:
            return Response(wire.whole(g.run_id, events), mimetype=JSON)
        if wire.holds_head:
            events = from_first_words(events)
        body = wire.stream(g.run_id, events, number)
        response = EventStream(body, mimetype=wire.mimetype, headers=wire.headers)
        response.call_on_close(held.keep())  # a generator that is never started runs no `finally`
        return response

    def _with_options(self, extras: dict[str, Any]) -> dict[str, Any]:
        """Add the operator's options; the request's own win, name by name, and a null counts as absent."""
        if not self._options:
            return extras
        own: dict[str, Any] = extras.get("options") or {}
        given = {name: value for name, value in own.items() if value is not None}
        return {**extras, "options": {**self._options, **given}}

    def _socket_of(self, session_id: str | None, run_id: str) -> socket.socket | None:
        """Note whose answer this is; return the client's socket, bounded and protected while that is in flight.

        None where the server has none.
        """
        g.run_id = run_id
        if session_id is not None:
            g.session_id = session_id
        client: socket.socket | None = request.environ.get("gunicorn.socket")
        if client is None:
            return None
        self._clients.protect(client, lambda: self._desk.has_slot(run_id))
        return bounded(client)

    def _warn_without_threads(self) -> None:
        if not self._is_warned and not request.environ.get("wsgi.multithread", True):
            self._is_warned = True
            log.warning("this server has no threads: while one answer streams, nobody can interrupt it")


def from_first_words(events: Iterator[Event]) -> Iterator[Event]:
    """Wait for the first event that is an answer, or for a heartbeat; return all events.

    Errors: the error that ended the run before that.
    """
    first: list[Event] = []
    for event in events:
        first.append(event)
        if isinstance(event, Ended) and event.error is not None:
            next(events, None)  # to its end: a reader that is closed before it hangs up, and nobody gets the error
            raise event.error.anew()
        if not isinstance(event, Started | Waiting):
            break
    return chain(first, events)


class Held:
    """A hold that is released once: at the end of the block, or later by the response that keeps it.

    An ExitStack does the same for 1.4 KB a stream.
    """

    __slots__ = ("_is_kept", "_release_held")

    def __init__(self, release: Callable[[], None]) -> None:
        self._release_held: Callable[[], None] | None = release
        self._is_kept = False

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            self._release()

    def keep(self) -> Callable[[], None]:
        """Keep it beyond the block; return the function that releases it."""
        self._is_kept = True
        return self._release

    def _release(self) -> None:
        release, self._release_held = self._release_held, None
        if release is not None:
            release()


class EventStream(Response):
    """A response that is the server's iterable itself: Werkzeug's two layers around it would run once an event."""

    def get_app_iter(self, environ: Any) -> Any:
        """Return what the server iterates, and closes when the request is over; for HEAD nothing."""
        return super().get_app_iter(environ) if environ["REQUEST_METHOD"] == "HEAD" else self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.response)  # type: ignore[arg-type]
