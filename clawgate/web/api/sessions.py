"""A session's routes: show it, interrupt its running answer, forget it."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response, g, request

from clawgate.config import ServerConfig
from clawgate.errors import UnknownSession
from clawgate.relay.desk import Desk
from clawgate.sessions import Session, digest_of
from clawgate.sockets import Clients
from clawgate.web.api import requests
from clawgate.web.api.answers import Interrupted
from clawgate.web.api.transcript import transcript
from clawgate.web.door.concurrency import ConcurrencyLimit
from clawgate.web.door.naming import SESSION_ID, session_id_in
from clawgate.web.door.reading import JSON, read_object
from clawgate.web.door.responses import json_response

LONG_BYTES = 1 << 20
MAX_DIGESTS = 2


class SessionRoutes:
    """`POST /api/interrupt`, `GET` and `DELETE /api/sessions/<id>`."""

    def __init__(self, server: ServerConfig, desk: Desk, clients: Clients, digest_limit: ConcurrencyLimit) -> None:
        self._server = server
        self._desk = desk
        self._clients = clients
        self._digest_limit = digest_limit

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        add = blueprint.add_url_rule
        add("/api/interrupt", "interrupt", self.interrupt, methods=["POST"])
        add("/api/sessions/<session_id>", "session", self.session, methods=["GET"])
        add("/api/sessions/<session_id>", "forget", self.forget, methods=["DELETE"])

    def interrupt(self) -> Response:
        """End a session's running answer; answers once its text is settled and the connection to Ollama closed."""
        given = read_object(request, self._server.max_body_bytes, self._clients, requests.INTERRUPT_BYTES)
        session_id_in(given)
        body = requests.read_interrupt(given)
        done = self._desk.interrupt(body.session_id, body.run_id)
        partial = done.partial if done.interrupted else msgspec.UNSET
        return json_response(Interrupted(done.session_id, done.run_id, done.interrupted, partial))

    def session(self, session_id: str) -> Response:
        """Show a session: its messages and its state."""
        session = self._desk.session(checked(session_id))
        return Response(transcript(session, self._digest(session)), mimetype=JSON)

    def _digest(self, session: Session) -> str:
        """Hash the last turns for clients to compare; two long sessions at a time, since 16 MiB can take 0.1 s of CPU.

        Errors: Busy.
        """
        if session.size_bytes <= LONG_BYTES:
            return digest_of(session.messages)
        with self._digest_limit.taken():
            return digest_of(session.messages)

    def forget(self, session_id: str) -> Response:
        """Interrupt the running answer and forget the session."""
        self._desk.forget(checked(session_id))
        return Response(status=204)


def checked(session_id: str) -> str:
    """Return the session's id that a path names, noted for the answer.

    Errors: UnknownSession.
    """
    if not SESSION_ID.fullmatch(session_id):
        raise UnknownSession("this session does not exist: an id is 1 to 128 letters, digits, _ or -")
    g.session_id = session_id
    return session_id
