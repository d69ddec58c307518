"""The one way to an answer: a run is released once, whatever its wire format and the end of its request."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask, Response

from clawgate.errors import Busy, ClawgateError, UpstreamStalled
from clawgate.relay.desk import Desk
from clawgate.relay.events import Event, Text
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.run import Run
from clawgate.sockets import SEND_BUFFER_BYTES, Clients
from clawgate.web.door.answering import Answering, WireFormat
from clawgate.web.door.reading import Members
from clawgate.web.door.responses import error_response

RUN = cast("Run", SimpleNamespace(session_id="s", run_id="run_1"))


class Admitting:
    """A desk with one run that counts the releases."""

    def __init__(self, error: Exception | None = None) -> None:
        self.released = 0
        self.slots = 1
        self.reader_socket: object = None
        self._error = error

    def admit(self, asked: ChatRequest) -> Run:
        assert asked.model == "m"
        return RUN

    def pump(self, run: Run, reader_socket: object) -> Iterator[Event]:
        assert run is RUN
        self.reader_socket = reader_socket
        if self._error is not None:
            raise self._error
        return iter([Text("a"), Text("b")])

    def has_slot(self, run: Run) -> bool:
        assert run is RUN
        return bool(self.slots)

    def release(self, run: Run) -> None:
        assert run is RUN
        self.released += 1


def read(given: Members) -> tuple[ChatRequest, bool]:
    if "busy" in given:
        raise Busy("later")
    return ChatRequest(model="m"), "stream" in given


def stream(run_id: str, events: Iterable[Event]) -> Iterator[bytes]:
    yield run_id.encode()
    yield from (event.text.encode() for event in events if isinstance(event, Text))


def whole(events: Iterable[Event]) -> bytes:
    return b"+".join(stream("run_1", events))


def failing_whole(_events: Iterable[Event]) -> bytes:
    raise UpstreamStalled("silence")


def failure(error: ClawgateError) -> bytes:
    return f"<{error.code}>".encode()


LINES = WireFormat(read, "text/plain", {"X-Format": "lines"}, stream, whole, failure)


def answer(desk: Admitting, body: dict[str, Any], wire: WireFormat = LINES) -> Response:
    """Answer a request in a wire format of the test's own."""
    app = Flask("other")
    answering = Answering(1000, cast("Desk", desk), Clients())
    with app.test_request_context(method="POST", json=body):
        try:
            return answering.answer(wire)
        except ClawgateError as error:
            return error_response(error)


def test_a_wire_format_says_how_a_stream_looks() -> None:
    desk = Admitting()
    response = answer(desk, {"stream": 1})
    assert response.content_type == "text/plain; charset=utf-8"
    assert (response.headers["X-Format"], response.headers["X-Run-Id"]) == ("lines", "run_1")
    assert (list(response.response), desk.released) == ([b"run_1", b"a", b"b"], 0)
    response.close()
    assert desk.released == 1


def test_a_clients_socket_is_bounded_and_left_alone_while_its_answer_is_in_flight() -> None:
    desk, clients, app = Admitting(), Clients(), Flask("other")
    ours, theirs = socket.socketpair()
    with ours, theirs, app.test_request_context(method="POST", json={"stream": 1}) as context:
        ours.setblocking(False)
        while True:
            try:
                ours.send(bytes(1 << 16))  # a reader that reads nothing: its thread could not go on
            except BlockingIOError:
                break
        clients.enter(ours)
        context.request.environ["gunicorn.socket"] = ours
        response = Answering(1000, cast("Desk", desk), clients).answer(LINES)
        assert desk.reader_socket is ours
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * SEND_BUFFER_BYTES
        assert clients.shed(1) == 0
        desk.slots = 0
        assert clients.shed(1) == 1
        response.close()


@pytest.mark.parametrize(("has_threads", "warnings"), [(True, 0), (False, 1)])
def test_a_server_without_threads_is_warned_of_once(
    has_threads: bool, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    answering, app = Answering(1000, cast("Desk", Admitting()), Clients()), Flask("other")
    for _ in range(2):
        with app.test_request_context(method="POST", json={}, multithread=has_threads):
            answering.answer(LINES)
    assert len(caplog.records) == warnings


def test_a_run_is_released_once_though_its_stream_never_began_and_is_closed_twice() -> None:
    desk = Admitting()
    response = answer(desk, {"stream": 1})
    assert desk.released == 0
    for _ in range(2):
        response.close()
        assert desk.released == 1


def test_a_run_is_released_before_its_whole_answer_is_sent() -> None:
    desk = Admitting()
    response = answer(desk, {})
    assert (response.data, response.headers["X-Run-Id"], desk.released) == (b"run_1+a+b", "run_1", 1)
    response.close()
    assert desk.released == 1


def test_a_failed_whole_answer_has_the_error_shape_of_its_wire_format() -> None:
    desk = Admitting()
    response = answer(desk, {}, LINES._replace(whole=failing_whole))
    assert (response.status_code, response.data, desk.released) == (504, b"<upstream_stalled>", 1)


def test_a_refused_request_has_the_error_shape_of_its_wire_format() -> None:
    desk = Admitting()
    response = answer(desk, {"busy": 1})
    assert (response.status_code, response.headers["Retry-After"], response.data) == (503, "1", b"<busy>")
    assert desk.released == 0


@pytest.mark.parametrize("body", [{}, {"stream": 1}])
def test_a_run_is_released_where_answering_fails(body: dict[str, Any]) -> None:
    desk = Admitting(RuntimeError())
    with pytest.raises(RuntimeError):
        answer(desk, body)
    assert desk.released == 1
