"""Ollama's routes: chats and prompts on the relay, questions passed through, and what the gateway does not do.

They are there twice: at Ollama's own addresses, and below `/ollama` for clients whose `Accept` names no type, and which
`/api/chat` answers with our own events.

Source: Ollama docs/api.md; server/routes.go, GenerateRoutes.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from clawgate.config import Config
from clawgate.errors import BadRequest, Forbidden
from clawgate.ollama.failures import refusal_of
from clawgate.sockets import Clients
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.answering import STREAM_HEADERS, Answering, Asked, WireFormat
from clawgate.web.door.naming import named_session
from clawgate.web.door.passing import Passing
from clawgate.web.door.reading import JSON, Members, read_object
from clawgate.web.ollama import requests
from clawgate.web.ollama.frames import MIMETYPE, Frames, chat_frame, generate_frame
from clawgate.web.ollama.models import only_allowed

BASE = "/ollama"
"""The address below which every client is answered as by Ollama, whatever its `Accept` says."""
SHOW_BYTES = 1 << 16
MANAGED = {
    "ollama_pull": ("POST", "/api/pull"),
    "ollama_push": ("POST", "/api/push"),
    "ollama_create": ("POST", "/api/create"),
    "ollama_copy": ("POST", "/api/copy"),
    "ollama_delete": ("DELETE", "/api/delete"),
    "ollama_blob": ("POST", "/api/blobs/<digest>"),
}
"""Ollama's endpoints that change which models there are, by their names here."""


class OllamaRoutes:
    """`POST /api/generate`, `/api/show`, `/api/embed`, `GET /api/tags` and others; `chat` is called for `/api/chat`."""

    def __init__(self, config: Config, answering: Answering, passing: Passing, clients: Clients) -> None:
        self._endpoint = config.model.endpoint
        self._model_name = config.model.model_name
        self._max_body_bytes = config.server.max_body_bytes
        self._allowed = AllowedModels(config.model)
        self._answering = answering
        self._passing = passing
        self._clients = clients

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        add = blueprint.add_url_rule
        for base in ("", BASE):
            add(f"{base}/api/generate", "ollama_generate", self.generate, methods=["POST"])
            add(f"{base}/api/tags", "ollama_tags", self.tags)
            add(f"{base}/api/ps", "ollama_ps", self.ps)
            add(f"{base}/api/version", "ollama_version", self.version)
            add(f"{base}/api/show", "ollama_show", self.show, methods=["POST"])
            add(f"{base}/api/embed", "ollama_embed", self.embed, methods=["POST"])
            add(f"{base}/api/embeddings", "ollama_embeddings", self.embeddings, methods=["POST"])
            for name, (method, path) in MANAGED.items():
                add(base + path, name, self.refuse, methods=[method])
        add(f"{BASE}/api/chat", "ollama_chat", self.chat, methods=["POST"])
        add(f"{BASE}/", "ollama_running", running, strict_slashes=False)

    def chat(self) -> Response:
        """Answer a chat in Ollama's frames, or with `stream: false` as one object."""
        _check_there_is_a_body()
        return self._answering.answer(self._read_chat)

    def generate(self) -> Response:
        """Answer a prompt in Ollama's frames, or with `stream: false` as one object."""
        _check_there_is_a_body()
        return self._answering.answer(self._read_generate)

    def tags(self) -> Response:
        """List the models that a request may name, as Ollama lists them."""
        return self._listed("/api/tags")

    def ps(self) -> Response:
        """List those of them that are in memory."""
        return self._listed("/api/ps")

    def version(self) -> Response:
        """Return Ollama's version."""
        return _response(self._fetched("/api/version"))

    def show(self) -> Response:
        """Describe a model."""
        model, body = requests.read_show(self._given(SHOW_BYTES))
        self._allowed.check(model)
        return _response(self._fetched("/api/show", body))

    def embed(self) -> Response:
        """Return the embeddings of texts."""
        return self._called("/api/embed", requests.read_embed)

    def embeddings(self) -> Response:
        """Return the embedding of a text, in the older way."""
        return self._called("/api/embeddings", requests.read_embeddings)

    def refuse(self, digest: str = "") -> Response:
        """Refuse to change which models there are."""
        del digest
        raise Forbidden("this gateway neither brings nor changes nor removes models; do that where Ollama runs")

    def _read_chat(self, given: Members) -> Asked:
        chat, is_streamed = requests.read_chat(given, self._model_name, named_session(given))
        return Asked(chat, is_streamed, _wire(Frames(chat_frame, chat.model)))

    def _read_generate(self, given: Members) -> Asked:
        chat, is_streamed = requests.read_generate(given, self._model_name, named_session(given))
        return Asked(chat, is_streamed, _wire(Frames(generate_frame, chat.model)))

    def _listed(self, path: str) -> Response:
        return _response(only_allowed(self._fetched(path), self._allowed))

    def _fetched(self, path: str, body: bytes | None = None) -> bytes:
        """Return a short document of Ollama's.

        Errors: those of the call; a refusal by Ollama, or by what is there in its place.
        """
        status, document = self._passing.fetch(path, body)
        if status != 200:
            raise refusal_of(self._endpoint, status, {}, document).error
        return document

    def _called(self, path: str, read: Callable[[Members], tuple[str, bytes]]) -> Response:
        model, body = read(self._given())
        self._allowed.check(model)
        return _response(self._passing.call(path, body, model))

    def _given(self, route_bytes: int | None = None) -> Members:
        _check_there_is_a_body()
        return read_object(request, self._max_body_bytes, self._clients, route_bytes)


def running() -> Response:
    """Say that Ollama's API is here, in Ollama's words: its clients ask before they begin."""
    return Response("Ollama is running", mimetype="text/plain")


def _wire(frames: Frames) -> WireFormat:
    return WireFormat(MIMETYPE, STREAM_HEADERS, frames.stream, frames.whole, holds_head=True)


def _response(document: bytes) -> Response:
    return Response(document, mimetype=JSON)


def _check_there_is_a_body() -> None:
    """Check that a request has a body, in Ollama's words.

    Errors: BadRequest.
    """
    if request.content_length == 0:
        raise BadRequest("missing request body")
