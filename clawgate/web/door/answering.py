"""The one way from a request to an answer: read it, admit it, stream the answer or send it whole, release the run.

`WireFormat` names everything in which one wire format's answers differ from another's; `shape_errors` (responses.py)
does so for errors. The request's own thread drives the run.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flask import Response, g, request
from msgspec.structs import replace

from clawgate.config import ModelConfig
from clawgate.errors import BadRequest, ModelNotAllowed
from clawgate.relay.desk import Desk
from clawgate.relay.events import Event
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.run import Run
from clawgate.sockets import Clients, bounded
from clawgate.web.door.reading import JSON, Members, read_object

log = logging.getLogger(__name__)


class WireFormat(NamedTuple):
    """A wire format: the reading of a request, the encoding of its answer."""

    read: Callable[[Members], tuple[ChatRequest, bool]]
    """Checks a body; returns the request for the desk, and whether its answer is streamed.

    Whether its model may be asked is checked afterwards, and the request's id comes then too.
    """
    mimetype: str
    headers: Mapping[str, str]
    """The type and the headers of a stream."""
    stream: Callable[[str, Iterable[Event]], Iterator[bytes]]
    """Yields the bytes of each event; takes the run's id and its events."""
    whole: Callable[[Iterable[Event]], bytes]
    """Takes all events of a run and encodes the answer; raises the error that ended it."""


class Answering:
    """Answers chats in any wire format.

    via: the name that the gateway has in the Via of its own requests.
    """

    def __init__(self, max_body_bytes: int, model: ModelConfig, desk: Desk, clients: Clients, via: str = "") -> None:
        self._models = (model.model_name, *model.allowed_models)
        self._options = model.options
        self._max_body_bytes = max_body_bytes
        self._desk = desk
        self._clients = clients
        self._via = via
        self._is_warned = False

    def answer(self, wire: WireFormat) -> Response:
        """Answer the current request in this wire format.

        Errors: those of reading and of admission, ModelNotAllowed; for a whole answer also the error that ended it.
        """
        self._warn_without_threads()
        chat, is_streamed = wire.read(read_object(request, self._max_body_bytes, self._clients))
        if self._via and self._via in request.headers.get("Via", ""):  # it would ask itself until no stream is free
            raise BadRequest("this gateway asks itself: model.endpoint is its own address, and must be Ollama's")
        if chat.model not in self._models:
            raise ModelNotAllowed(f"model: expected one of {', '.join(self._models)}")
        run = self._desk.admit(replace(chat, request_id=g.request_id, extras=self._with_options(chat.extras)))
        g.session_id, g.run_id = run.session_id, run.run_id
        with Admitted(self._desk, run) as admitted:
            events = self._desk.pump(run, self._socket_of(run))
            if not is_streamed:
                return Response(wire.whole(events), mimetype=JSON)
            response = EventStream(wire.stream(run.run_id, events), mimetype=wire.mimetype, headers=wire.headers)
            response.call_on_close(admitted.keep())  # a generator that is never started runs no `finally`
            return response

    def _with_options(self, extras: dict[str, Any]) -> dict[str, Any]:
        """Add the operator's options; the request's own win, name by name, and a null counts as absent."""
        if not self._options:
            return extras
        own: dict[str, Any] = extras.get("options") or {}
        given = {name: value for name, value in own.items() if value is not None}
        return {**extras, "options": {**self._options, **given}}

    def _socket_of(self, run: Run) -> socket.socket | None:
        """Return the client's socket where the server has one, bounded and protected while its answer is in flight."""
        client: socket.socket | None = request.environ.get("gunicorn.socket")
        if client is None:
            return None
        self._clients.protect(client, lambda: self._desk.has_slot(run))
        return bounded(client)

    def _warn_without_threads(self) -> None:
        if not self._is_warned and not request.environ.get("wsgi.multithread", True):
            self._is_warned = True
            log.warning("this server has no threads: while one answer streams, nobody can interrupt it")


class Admitted:
    """A run that is released once: at the end of the block, or later by the response that keeps it.

    An ExitStack does the same for 1.4 KB a stream.
    """

    __slots__ = ("_desk", "_is_kept", "_run")

    def __init__(self, desk: Desk, run: Run) -> None:
        self._desk = desk
        self._run: Run | None = run
        self._is_kept = False

    def __enter__(self) -> Admitted:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_kept:
            self._release()

    def keep(self) -> Callable[[], None]:
        """Keep the run beyond the block; return the function that releases it."""
        self._is_kept = True
        return self._release

    def _release(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            self._desk.release(run)


class EventStream(Response):
    """A response that is the server's iterable itself: Werkzeug's two layers around it would run once an event."""

    def get_app_iter(self, environ: Any) -> Any:  # noqa: ARG002 - Werkzeug's own name
        """Return what the server iterates, and closes when the request is over."""
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.response)  # type: ignore[arg-type]
