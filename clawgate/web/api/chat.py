"""The conversation's routes: chat, interrupt, sessions.

`POST /api/chat` hands the request to the desk and lets this very thread pump the run; what the request holds is given
back in `Response.call_on_close`, because a generator that was never started runs no `finally`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from clawgate.config import Config
from clawgate.errors import UnknownSession
from clawgate.relay import events
from clawgate.relay.desk import Desk
from clawgate.relay.run import Run
from clawgate.sessions import Session, digest_of
from clawgate.sockets import Clients, bounded
from clawgate.web.api import requests, sse
from clawgate.web.api.transcript import transcript
from clawgate.web.door.places import Places
from clawgate.web.door.reading import Members, read_object

log = logging.getLogger(__name__)


LONG_BYTES = 1 << 20
MAX_DIGESTS = 2


class ChatRoutes:
    """Handlers for everything that is said and interrupted."""

    def __init__(self, config: Config, desk: Desk, clients: Clients, digest_places: Places) -> None:
        self._config = config
        self._desk = desk
        self._clients = clients
        self._digest_places = digest_places
        self._is_warned = False

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        add = blueprint.add_url_rule
        add("/api/chat", "describe", self.describe, methods=["GET"])
        add("/api/chat", "chat", self.chat, methods=["POST"])
        add("/api/interrupt", "interrupt", self.interrupt, methods=["POST"])
        add("/api/sessions/<session_id>", "session", self.session, methods=["GET"])
        add("/api/sessions/<session_id>", "forget", self.forget, methods=["DELETE"])

    def describe(self) -> Response:
        """Say what the endpoint is, for people who point curl at it."""
        return jsonify(
            endpoint="/api/chat",
            model=self._config.model.model_name,
            usage='POST {"message": "…"} or {"messages": [{"role": "user", "content": "…"}]}',
            answers=sse.MIMETYPE,
        )

    def chat(self) -> Response:
        """Answer a message: a stream of events, or with `stream: false` one JSON object when it is complete."""
        self._warn_without_threads()
        asked, is_streamed = requests.read_chat(self._read(), self._config.model, g.request_id)
        run = self._desk.admit(asked)
        g.session_id = run.session_id
        try:
            told = self._desk.pump(run, self._client_of(run))
            if not is_streamed:
                return self._whole(run, told)
            headers = {**sse.HEADERS, "X-Run-Id": run.run_id}
            response = EventStream(sse.stream(run.run_id, told), mimetype=sse.MIMETYPE, headers=headers)
            response.call_on_close(lambda: self._desk.release(run))
            return response
        except BaseException:
            self._desk.release(run)
            raise

    def _whole(self, run: Run, told: Iterator[events.Event]) -> Response:
        """Pump the run to its end and answer with all of it; what would be an error event is raised."""
        tool_calls: list[dict[str, Any]] = []
        for event in told:
            if isinstance(event, events.ToolCalls):
                tool_calls += event.calls
        assert run.ended is not None
        if run.ended.error is not None:
            raise run.ended.error
        answer = {
            "session_id": run.session_id,
            "run_id": run.run_id,
            "model": run.prompt.model,
            "message": run.text,
            "thinking": run.thinking,
            "tool_calls": tool_calls,
            "done": True,
            "done_reason": run.ended.done_reason,
            "stats": run.ended.stats,
        }
        response = jsonify({name: value for name, value in answer.items() if value or name in ("message", "stats")})
        response.headers["X-Run-Id"] = run.run_id
        self._desk.release(run)
        return response

    def interrupt(self) -> Response:
        """End a session's running answer; answers once its text is settled and the connection to Ollama closed."""
        body = requests.read_interrupt(self._read(requests.INTERRUPT_BYTES))
        done = self._desk.interrupt(body.session_id, body.run_id)
        answer = {"session_id": done.session_id, "run_id": done.run_id, "interrupted": done.interrupted}
        return jsonify(answer | ({"partial": done.partial} if done.interrupted else {}))

    def session(self, session_id: str) -> Response:
        """Show what has been said."""
        session = self._desk.session(self._checked(session_id))
        return Response(transcript(session, self._digest(session)), mimetype="application/json")

    def _digest(self, session: Session) -> str:
        """Hash what clients compare; of long sessions two at a time, since 16 MiB can take 0.1 s of CPU.

        Errors: Busy.
        """
        if session.size_bytes <= LONG_BYTES:
            return digest_of(session.messages)
        with self._digest_places.taken():
            return digest_of(session.messages)

    def forget(self, session_id: str) -> Response:
        """Interrupt what streams and forget everything."""
        self._desk.forget(self._checked(session_id))
        return Response(status=204)

    def _read(self, route_bytes: int | None = None) -> Members:
        """Read the request's body, and note its session, so that a refusal echoes it too."""
        given = read_object(request, self._config.server.max_body_bytes, self._clients, route_bytes)
        session_id = requests.session_id_of(given)
        if session_id is not None:
            g.session_id = session_id
        return given

    def _client_of(self, run: Run) -> socket.socket | None:
        """Give the reader's socket, where the server has one, as that of an answer in flight."""
        client: socket.socket | None = request.environ.get("gunicorn.socket")
        if client is None:
            return None
        self._clients.protect(client, lambda: run.has_slot)
        return bounded(client)

    def _checked(self, session_id: str) -> str:
        if not requests.SESSION_ID.fullmatch(session_id):
            raise UnknownSession("this session does not exist: an id is 1 to 128 letters, digits, _ or -")
        g.session_id = session_id
        return session_id

    def _warn_without_threads(self) -> None:
        if not self._is_warned and not request.environ.get("wsgi.multithread", True):
            self._is_warned = True
            log.warning("this server has no threads: while one answer streams, nobody can interrupt it")


class EventStream(Response):
    """A response that is the server's iterable itself: Werkzeug's two layers around it would run once an event."""

    def get_app_iter(self, environ: Any) -> Any:  # noqa: ARG002 - Werkzeug's own name
        """Give what the server iterates, and closes when the request is over."""
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.response)  # type: ignore[arg-type]
