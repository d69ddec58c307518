"""Calls of a wire format's clients that are passed through to Ollama, each for the current request."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from flask import Response, after_this_request, g, request

from clawgate.errors import BadRequest
from clawgate.ollama.client import Fetched
from clawgate.relay.passage import ClientLeft, Passages
from clawgate.sockets import Clients, bounded
from clawgate.web.door.caller import check_is_not_ours


class Passing:
    """Passes calls through for the client that asks now.

    via: the name that the gateway has in the Via of its own requests.
    """

    def __init__(self, passages: Passages, clients: Clients, via: str = "") -> None:
        self._passages = passages
        self._clients = clients
        self._via = via

    def fetch(self, path: str, body: bytes | None = None) -> Fetched:
        """GET (with a body: POST) a short document; return Ollama's status and bytes, a refusal's too.

        Errors: Busy, ShuttingDown, UpstreamFailure; BadRequest where the gateway asks itself.
        """
        check_is_not_ours(request, self._via)
        return self._passages.fetch(path, body, g.request_id)

    def call(self, path: str, body: bytes, model: str) -> bytes:
        """POST a call that may take as long as a model takes to load; return the document.

        Errors: Busy, ShuttingDown, UpstreamFailure, UpstreamRefused; BadRequest where the gateway asks itself.
        """
        check_is_not_ours(request, self._via)
        client: socket.socket | None = request.environ.get("gunicorn.socket")
        if client is not None:
            self._clients.protect(client, lambda: True)
            client = bounded(client)
        try:
            with ExitStack() as kept:
                document = self._passages.call(path, body, model, kept, client, g.request_id)
                _keep_until_sent(kept.pop_all())
                return document
        except ClientLeft:
            raise BadRequest("the client has left") from None
        finally:
            if client is not None:
                self._clients.protect(client, lambda: False)


def _keep_until_sent(kept: ExitStack) -> None:
    """Close it when the response to the current request is over."""

    def close_with(response: Response) -> Response:
        response.call_on_close(kept.close)
        return response

    after_this_request(close_with)
