"""ScriptedOllama: an Ollama on a real loopback socket that does what a test tells it to, byte by byte.

Tests get a started one from the fixture `ollama`. It records what it was asked and when its clients closed.

    ollama.script(text("春"), wait(event), text("光"), done())
    request = ollama.next_request()
    assert request.closed.wait(DEADLINE_S)
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from types import TracebackType

from tests.support import ollama_routes
from tests.support.answer import Answer
from tests.support.connection import Connection, ConnectionOverError
from tests.support.model import ContinuingModel
from tests.support.record import Request, read_request
from tests.support.script import (
    DEFAULT_MODEL,
    DEFAULT_STATS,
    Act,
    Frames,
    Step,
    batch,
    call,
    chunk,
    done,
    drop,
    end,
    error_line,
    every,
    frame,
    hang,
    headers,
    keep,
    line,
    notify,
    raw,
    reset,
    silence,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_STATS",
    "Act",
    "Answer",
    "ContinuingModel",
    "Frames",
    "Request",
    "ScriptedOllama",
    "Step",
    "batch",
    "call",
    "chunk",
    "done",
    "drop",
    "end",
    "error_line",
    "every",
    "frame",
    "hang",
    "headers",
    "keep",
    "line",
    "notify",
    "raw",
    "reset",
    "silence",
    "status",
    "text",
    "texts",
    "thinking",
    "tool_calls",
    "wait",
]

CHAT = "/api/chat"


class ScriptedOllama:
    """A scripted Ollama. A context manager: started inside, stopped and its port let go at the end.

    Its port is known, and refuses, before `start` and after `stop`; `start` after `stop` is Ollama coming back.

    Shape: for each request the first of these that applies: 403 for a foreign Host or any Origin; a script queued for
    its path; and for a chat: 404 for a model not in `models` (while `checks_model`), load or unload when it has no
    messages (before the script is looked at), the default.
    Threads: a test's own; `_lock` guards the queues and records.
    Errors: what goes wrong on the harness's threads is in `problems`; the fixture fails the test with it.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1") -> None:
        self.models: list[str] = [DEFAULT_MODEL]
        self.loaded: list[str] = []
        """The models that /api/ps lists: a chat adds its model, an unload takes it away."""
        self.is_loading = False
        """True where the listed models are still being loaded: `expires_at` moves on until a first answer has ended."""
        self.load_s = 0.0
        """The time until a chat that has arrived has its runner; one that is cut earlier is `leaked`."""
        self.context_length: int | None = None
        """The context size that /api/ps gives the listed models; None for an Ollama that gives none."""
        self.checks_model = True
        self.requests: list[Request] = []
        """Every request, of any path, in the order in which their bodies were whole."""
        self._server = SocketServer(self._serve, host=host, port=port)
        self._scripts: dict[str, deque[Sequence[Step]]] = {}
        self._default: Sequence[Step] = (texts("Hel", "lo."), done())
        self._seen: dict[str, int] = {}
        self._lock = threading.Lock()
        self._has_arrived = threading.Condition(self._lock)

    def __enter__(self) -> ScriptedOllama:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()

    @property
    def port(self) -> int:
        """The port, the same for its whole life."""
        return self._server.port

    @property
    def base_url(self) -> str:
        """The value for `model.endpoint`."""
        return f"http://{self._server.host}:{self._server.port}"

    @property
    def problems(self) -> list[str]:
        """The failures on the harness's own threads: deadlines, scripts without an end, altered partial texts."""
        return self._server.problems

    @property
    def open_connections(self) -> int:
        """Connections that neither side has ended (a half-close ends one)."""
        return self._server.open_count

    @property
    def max_open_connections(self) -> int:
        """The most there were at one time."""
        return self._server.max_open

    @property
    def asked(self) -> list[Request]:
        """The requests but those for what models can do: a status that was wanted before has them come at any time."""
        return [request for request in list(self.requests) if request.path != "/api/show"]

    @property
    def chats(self) -> list[Request]:
        """The requests to /api/chat."""
        return [request for request in list(self.requests) if request.path == CHAT]

    @property
    def leaked(self) -> list[Request]:
        """The chats whose client closed before they had a runner: a real Ollama never closes its side of those.

        Source: measured with Ollama 0.24; server/sched.go, GetRunner.
        """
        cut = [(chat, chat.closed_at) for chat in self.chats if not chat.sent]
        return [chat for chat, at in cut if at is not None and at - chat.received_at < self.load_s]

    def start(self) -> None:
        """Listen; after `stop` on the same port again."""
        self._server.start()

    def stop(self, *, reset: bool = False) -> None:
        """Go down as if killed: refuse new connections, end all others with FIN or reset; scripts stop playing."""
        self._server.stop(reset=reset)

    def script(self, *steps: Step, path: str = CHAT) -> None:
        """Queue the answer to the next request of a path."""
        with self._lock:
            self._scripts.setdefault(path, deque()).append(steps)

    def default(self, *steps: Step) -> None:
        """Answer every chat with these steps where nothing is queued."""
        self._default = steps

    def answer(
        self,
        words: str,
        *,
        token_size: int = 4,
        drop_after: Sequence[int] = (),
        thinking: str = "",
        interval_s: float = 0.0,
        reset: bool = False,
    ) -> ContinuingModel:
        """Be a deterministic model where nothing is queued; see `ContinuingModel` for how it continues and drops."""
        model = ContinuingModel(words, thinking, token_size, interval_s, drop_after, reset, self.problems)
        self.default(model)
        return model

    def next_request(self, timeout: float = DEADLINE_S, *, path: str = CHAT) -> Request:
        """Wait for the next request of a path that this method has not returned yet.

        Errors: AssertionError when none comes.
        """
        with self._has_arrived:
            index = self._seen.get(path, 0)
            if not self._has_arrived.wait_for(lambda: len(self._of(path)) > index, timeout):
                raise AssertionError(f"no request {index + 1} to {path} within {timeout:g} s; came: {self.requests}")
            self._seen[path] = index + 1
            return self._of(path)[index]

    def _of(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]

    def _serve(self, connection: Connection) -> None:
        while (request := read_request(connection)) is not None:
            self._server.watch(connection)
            with self._has_arrived:
                self.requests.append(request)
                steps = self._steps_for(request)
                self._has_arrived.notify_all()
            answer = Answer(connection, request)
            try:
                self._play(answer, steps)
            except ConnectionOverError:
                return
            finally:
                request.finished.set()
            if not answer.is_kept:
                return
            self._server.unwatch(connection)

    def _play(self, answer: Answer, steps: Sequence[Step]) -> None:
        for step in steps:
            step.play(answer)
        if not answer.is_ended:
            self.problems.append(f"the script has no end (done, end, drop, reset, hang, keep): {steps}")

    def _steps_for(self, request: Request) -> Sequence[Step]:
        if ollama_routes.is_foreign(request):
            return (status(403),)
        if request.path == CHAT and request.method == "POST":
            return self._chat(request)
        queue = self._scripts.get(request.path)
        if queue:
            return queue.popleft()
        if ollama_routes.is_unload(request):
            self._unload(request)
        more = {} if self.context_length is None else {"context_length": self.context_length}
        return (ollama_routes.unscripted(request, self.models, self.loaded, more, is_loading=self.is_loading),)

    def _chat(self, request: Request) -> Sequence[Step]:
        if not isinstance(request.json, dict):
            return (status(400, {"error": "missing request body"}),)
        if ollama_routes.has_bad_image(request):
            return (status(400, {"error": "illegal base64 data at input byte 4"}),)
        name = request.json.get("model", "")
        if self.checks_model and name not in self.models:
            return (ollama_routes.model_not_found(name),)
        if not request.json.get("messages"):
            self._unload(request)
            return (ollama_routes.loaded_or_unloaded(request),)
        if name not in self.loaded:
            self.loaded.append(name)
        queue = self._scripts.get(CHAT)
        return queue.popleft() if queue else self._default

    def _unload(self, request: Request) -> None:
        name = request.json.get("model")
        if ollama_routes.is_unload(request) and name in self.loaded:
            self.loaded.remove(name)
