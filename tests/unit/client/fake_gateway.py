"""A gateway on a real socket that does what a test tells it to, for the client's tests."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from tests.support.answer import Answer
from tests.support.connection import Connection, ConnectionOverError
from tests.support.record import Request, read_request
from tests.support.server import SocketServer
from tests.support.tools import DEADLINE_S

Step = Callable[[Answer], None]
RUN = "run_1"
SESSION = "sess_1"


class FakeGateway:
    """Plays one script for each request; a context manager that fails the test with what went wrong on its threads."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._scripts: deque[tuple[Step, ...]] = deque()
        self._server = SocketServer(self._serve, host="127.0.0.1", port=0)
        self._server.start()

    def __enter__(self) -> FakeGateway:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        assert kind is not None or not self._server.problems, "\n".join(self._server.problems)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def asked(self) -> list[str]:
        """Each request so far: its method and path."""
        return [f"{request.method} {request.path}" for request in self.requests]

    def script(self, *steps: Step) -> None:
        """Queue what the next request gets."""
        self._scripts.append(steps)

    def stop(self) -> None:
        """End every connection, and refuse new ones."""
        self._server.stop(reset=False)

    def start(self) -> None:
        """Listen again."""
        self._server.start()

    def _serve(self, connection: Connection) -> None:
        while (request := read_request(connection)) is not None:
            self._server.watch(connection)
            self.requests.append(request)
            answer = Answer(connection, request)
            try:
                for step in self._scripts.popleft():
                    step(answer)
            except ConnectionOverError:
                return
            if not answer.is_kept:
                return
            self._server.unwatch(connection)


def sse(*data: dict[str, Any] | str, first: int = 1) -> Step:
    """Events of an answer, numbered from `first` on; a text is short for its event, "ping" is a ping."""

    def play(answer: Answer) -> None:
        if not answer.is_started:
            answer.start(extra={"Content-Type": "text/event-stream; charset=utf-8"})
        number = first
        for each in data:
            if each == "ping":
                answer.write(b'data: {"ping":"keepalive"}\n\n')
                continue
            payload = {"message": each} if isinstance(each, str) else each
            answer.write(f"id: {RUN}:{number}\ndata: {json.dumps(payload, ensure_ascii=False)}\n\n".encode())
            number += 1

    return play


def reply(status: int, body: object = None, content_type: str = "application/json") -> Step:
    """A whole response."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return lambda answer: answer.whole(status, data, content_type)


def failed(status: int, code: str, message: str = "words") -> Step:
    """An error of the gateway's."""
    return reply(status, {"error": {"code": code, "message": message}})


def head(status: int, fields: str) -> Step:
    """A head alone, and the close."""

    def play(answer: Answer) -> None:
        answer.write_raw(f"HTTP/1.1 {status} X\r\n{fields}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        answer.drop()

    return play


def drop(answer: Answer) -> None:
    """Close the connection in the middle."""
    answer.drop()


def end(answer: Answer) -> None:
    """End the body properly."""
    answer.end()


def hang(answer: Answer) -> None:
    """Say nothing more until the client leaves."""
    answer.hang()


def wait(event: threading.Event) -> Step:
    """Wait for a test's event, until the client leaves."""
    return lambda answer: answer.wait(event)


def begun(run_id: str = RUN) -> dict[str, Any]:
    """The data of a start event."""
    return {"session_id": SESSION, "run_id": run_id, "model": "qwen3:32b", "message": ""}


def ended(reason: str = "stop") -> dict[str, Any]:
    """The data of an end event."""
    return {"done": True, "done_reason": reason, "session_id": SESSION, "run_id": RUN, "stats": {}, "message": ""}


def wait_until(event: threading.Event) -> None:
    """Wait for an event that has to come."""
    assert event.wait(DEADLINE_S)
