"""From a path and a body to an answer: Ollama's routes, over an engine and its weights.

server.py calls it once a request, on the request's own thread. It knows HTTP's statuses but no sockets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from clawgate.embedded import frames
from clawgate.embedded.api import ChatRequest, EmbedRequest, GenerateRequest, Refused, ShowRequest, job_of, read_body
from clawgate.embedded.engine import Engine
from clawgate.embedded.job import EngineFailed, Outcome
from clawgate.embedded.weights import Weights
from clawgate.embedded.wire import JSON, TEXT


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    body: bytes = b""
    kind: str = JSON
    extra: dict[str, str] = field(default_factory=dict)


class Frames(Protocol):
    """The receiver of a streamed answer."""

    has_begun: bool

    def send(self, frame: bytes) -> None:
        """Send one frame."""

    def end(self) -> None:
        """End the answer properly."""


class Caller(Protocol):
    """The client of one request."""

    def stream(self) -> Frames:
        """Begin a streamed answer; nothing is sent yet."""

    def is_gone(self) -> bool:
        """Say whether the client has left."""


Said = Callable[[str], dict[str, Any]]
"""Puts the text of a frame as the endpoint has it: `frames.message` or `frames.response`."""


class Routes:
    """Ollama's API over one model. Threads: any; it holds no state of its own."""

    def __init__(self, engine: Engine, weights: Weights) -> None:
        self._engine = engine
        self._weights = weights
        running = self._running
        self._table: dict[str, dict[str, Callable[[bytes, Caller], Reply | None]]] = {
            "/": {"GET": running, "HEAD": running},
            "/api/version": {"GET": self._version, "HEAD": self._version},
            "/api/tags": {"GET": self._tags, "HEAD": self._tags},
            "/api/ps": {"GET": self._ps},
            "/api/show": {"POST": self._show},
            "/api/chat": {"POST": self._chat},
            "/api/generate": {"POST": self._generate},
            "/api/embed": {"POST": self._embed},
            "/api/embeddings": {"POST": self._embed},
        }

    def answer(self, method: str, path: str, body: bytes, caller: Caller) -> Reply | None:
        """Answer one request: a Reply, or None when the answer was streamed to the caller.

        Errors: ConnectionError or TimeoutError where the client is gone.
        """
        methods = self._table.get(path)
        if methods is None:
            return Reply(404, b"404 page not found", "text/plain")
        if method not in methods:
            return Reply(405, b"405 method not allowed", "text/plain", {"Allow": ", ".join(methods)})
        try:
            return methods[method](body, caller)
        except (Refused, EngineFailed) as error:
            return _json(frames.error(str(error)), error.status)

    def _running(self, _body: bytes, _caller: Caller) -> Reply:
        return Reply(200, b"Ollama is running", TEXT)

    def _version(self, _body: bytes, _caller: Caller) -> Reply:
        return _json({"version": frames.VERSION})

    def _tags(self, _body: bytes, _caller: Caller) -> Reply:
        return _json(frames.tags(self._weights))

    def _ps(self, _body: bytes, _caller: Caller) -> Reply:
        return _json(frames.ps(self._weights, self._engine.context))

    def _show(self, body: bytes, _caller: Caller) -> Reply:
        request = read_body(body, ShowRequest)
        self._check_model(request.model or request.name)
        return _json(frames.show(self._weights))

    def _chat(self, body: bytes, caller: Caller) -> Reply | None:
        return self._answer_to(read_body(body, ChatRequest), frames.message, caller)

    def _generate(self, body: bytes, caller: Caller) -> Reply | None:
        request = read_body(body, GenerateRequest)
        self._check_model(request.model)
        return self._answer_to(request.as_chat(), frames.response, caller)

    def _embed(self, body: bytes, _caller: Caller) -> Reply:
        """Refuse: the weights are a chat's. An unknown address would look as if this were not Ollama's API."""
        self._check_model(read_body(body, EmbedRequest).model)
        raise Refused("this model does not support embeddings", 501)

    def _answer_to(self, request: ChatRequest, said: Said, caller: Caller) -> Reply | None:
        model = self._check_model(request.model)
        if not request.messages:
            return self._load_or_unload(model, request, said)
        self._check_abilities(model, request)
        try:
            return _Answer(self._engine, request, model, said).run(caller)
        finally:
            if request.frees_the_model:
                self._engine.unload()

    def _load_or_unload(self, model: str, request: ChatRequest, said: Said) -> Reply:
        if request.frees_the_model:
            self._engine.unload()
            return _json(frames.load_frame(model, said(""), "unload"))
        self._engine.load(job_of(request).context)
        return _json(frames.load_frame(model, said(""), "load"))

    def _check_model(self, model: str | None) -> str:
        if not model:
            raise Refused("model is required")
        if not self._weights.answers_to(model):
            raise Refused(f"model '{model}' not found", 404)
        return model

    def _check_abilities(self, model: str, request: ChatRequest) -> None:
        if request.think:
            raise Refused(f'"{model}" does not support thinking')
        if request.tools:
            raise Refused(f"registry.ollama.ai/library/{self._weights.name} does not support tools")
        if request.has_images:  # some models of a real Ollama ignore it: the answer is about nothing then
            raise Refused(f"registry.ollama.ai/library/{self._weights.name} does not support vision")


class _Answer:
    """One answer of the model, streamed or whole."""

    def __init__(self, engine: Engine, request: ChatRequest, model: str, said: Said) -> None:
        self._engine = engine
        self._model = model
        self._said = said
        self._is_streaming = request.is_streaming
        self._job = job_of(request)
        self._began_ns = time.monotonic_ns()

    def run(self, caller: Caller) -> Reply | None:
        """Answer; None when the answer was streamed. Errors: Refused and EngineFailed before the first frame."""
        if self._is_streaming:
            self._run_streamed(caller)
            return None
        pieces: list[str] = []
        outcome = self._engine.answer(self._job, pieces.append, caller.is_gone)
        _check_presence(outcome)
        return _json(self._last(outcome, "".join(pieces)))

    def _run_streamed(self, caller: Caller) -> None:
        stream = caller.stream()
        try:
            outcome = self._engine.answer(
                self._job,
                lambda text: stream.send(frames.encode(frames.text_frame(self._model, self._said(text)))),
                caller.is_gone,
            )
        except EngineFailed as error:
            if not stream.has_begun:
                raise
            stream.send(frames.encode(frames.error(str(error))))
            stream.end()
            return
        _check_presence(outcome)
        stream.send(frames.encode(self._last(outcome)))
        stream.end()

    def _last(self, outcome: Outcome, content: str = "") -> dict[str, object]:
        return frames.last_frame(self._model, outcome, time.monotonic_ns() - self._began_ns, self._said(content))


def _check_presence(outcome: Outcome) -> None:
    if outcome.reason == "gone":
        raise ConnectionAbortedError("the client left, or the process ends")


def _json(value: object, status: int = 200) -> Reply:
    return Reply(status, frames.encode(value))
