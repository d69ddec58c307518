"""The one way to an answer: a run is released once, whatever its wire format and the end of its request."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Generator, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from flask import Blueprint, Flask, g
from werkzeug.test import TestResponse

from clawgate.app import Gateway, entrance_of, guard
from clawgate.config import Config, ModelConfig, ServerConfig
from clawgate.errors import Busy, ClawgateError, UpstreamStalled
from clawgate.relay.desk import Desk
from clawgate.relay.events import PING, Ended, Event, Started, Text, Thinking, Waiting
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.run import Run
from clawgate.sockets import SEND_BUFFER_BYTES, Clients
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.answering import Answering, Asked, WireFormat, from_first_words
from clawgate.web.door.reading import Members
from clawgate.web.door.responses import shape_errors

RUN = cast("Run", SimpleNamespace(session_id="s", run_id="run_1"))


class Admitting:
    """A desk with one run that counts the releases."""

    def __init__(self, error: Exception | None = None, events: Iterable[Event] = (Text("a"), Text("b"))) -> None:
        self._events = events
        self.asked: list[ChatRequest] = []
        self.released = 0
        self.slots = 1
        self.reader_socket: object = None
        self._error = error

    def admit(self, asked: ChatRequest) -> Run:
        self.asked.append(asked)
        return RUN

    def pump(self, run: Run, reader_socket: object) -> Iterator[Event]:
        assert run is RUN
        self.reader_socket = reader_socket
        if self._error is not None:
            raise self._error
        return iter(self._events)

    def has_slot(self, run_id: str) -> bool:
        assert run_id == RUN.run_id
        return bool(self.slots)

    def release(self, run: Run) -> None:
        assert run is RUN
        self.released += 1


def reading(wire: WireFormat) -> Callable[[Members], Asked]:
    """Return the reader of a wire format's requests."""

    def read(given: Members) -> Asked:
        if "busy" in given:
            raise Busy("later")
        chat = ChatRequest(model=msgspec.json.decode(given.get("model", b'"m"')), is_kept="unkept" not in given)
        return Asked(chat, "stream" in given, wire)

    return read


def stream(run_id: str, events: Iterable[Event], _place: int | None = None) -> Iterator[bytes]:
    yield run_id.encode()
    yield from (event.text.encode() for event in events if isinstance(event, Text))


def whole(run_id: str, events: Iterable[Event]) -> bytes:
    return b"+".join(stream(run_id, events))


def failing_whole(_run_id: str, _events: Iterable[Event]) -> bytes:
    raise UpstreamStalled("silence")


def failure(error: ClawgateError) -> tuple[int, bytes]:
    return error.status, f"<{error.code}>".encode()


LINES = WireFormat("text/plain", {"X-Format": "lines"}, stream, whole)
MODEL = ModelConfig(model_name="m", allowed_models=("n",))
TOKEN = {"Authorization": "Bearer the-token"}


def answer(
    desk: Admitting, body: dict[str, Any], wire: WireFormat = LINES, headers: dict[str, str] = TOKEN
) -> TestResponse:
    """Answer a request in a wire format of the test's own, behind every check."""
    config = Config(model=MODEL, server=ServerConfig(auth_token="the-token"))
    answering = Answering(1000, config.model, cast("Desk", desk), Clients())
    routes = Blueprint("lines", __name__)
    routes.add_url_rule("/v1/lines", "chat", lambda: answering.answer(reading(wire)), methods=["POST"])
    shape_errors(app := Flask("other"), lambda _: failure)
    guard(Gateway(config), entrance_of(config.server, is_own_port=True), app)
    app.register_blueprint(routes)
    return app.test_client().post("/v1/lines", json=body, headers=headers)


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
        g.request_id = "r"
        context.request.environ["gunicorn.socket"] = ours
        response = Answering(1000, MODEL, cast("Desk", desk), clients).answer(reading(LINES))
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
    answering, app = Answering(1000, MODEL, cast("Desk", Admitting()), Clients()), Flask("other")
    for _ in range(2):
        with app.test_request_context(method="POST", json={}, multithread=has_threads):
            g.request_id = "r"
            answering.answer(reading(LINES))
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


def test_a_failed_whole_answer_names_its_run_in_the_error_shape_of_its_wire_format() -> None:
    desk = Admitting()
    response = answer(desk, {}, LINES._replace(whole=failing_whole))
    assert (response.status_code, response.data, desk.released) == (504, b"<upstream_stalled>", 1)
    assert (response.headers["X-Session-Id"], response.headers["X-Run-Id"]) == ("s", "run_1")


def test_a_refused_request_has_the_error_shape_of_its_wire_format() -> None:
    desk = Admitting()
    response = answer(desk, {"busy": 1})
    assert (response.status_code, response.headers["Retry-After"], response.data) == (503, "1", b"<busy>")
    assert desk.released == 0


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthorized"),
        ({"Host": "evil.example"}, 400, "untrusted_host"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "forbidden"),
    ],
)
def test_the_guard_refuses_in_the_error_shape_of_the_wire_format(
    headers: dict[str, str], status: int, code: str
) -> None:
    desk = Admitting()
    response = answer(desk, {}, headers=headers)
    assert (response.status_code, response.text, desk.asked) == (status, f"<{code}>", [])


def test_no_wire_format_asks_another_model_than_the_allowed() -> None:
    desk = Admitting()
    assert answer(desk, {"model": "n"}).status_code == 200
    response = answer(desk, {"model": "other"})
    assert (response.status_code, response.text) == (403, "<model_not_allowed>")
    assert [asked.model for asked in desk.asked] == ["n"]


def test_the_id_of_a_request_goes_along_whatever_its_wire_format() -> None:
    desk = Admitting()
    response = answer(desk, {})
    assert [asked.request_id for asked in desk.asked] == [response.headers["X-Request-Id"]]


@pytest.mark.parametrize("body", [{}, {"stream": 1}])
def test_a_run_is_released_where_answering_fails(body: dict[str, Any]) -> None:
    desk = Admitting(RuntimeError())
    assert (answer(desk, body).text, desk.released) == ("<internal>", 1)


def test_an_answer_without_a_session_names_only_its_run() -> None:
    response = answer(Admitting(), {"stream": 1, "unkept": 1})
    assert "X-Session-Id" not in response.headers
    assert response.headers["X-Run-Id"] == "run_1"
    response.close()


STARTED, WAITING = Started("s", "run_1", "m"), Waiting("upstream_unreachable", 2)
FAILED = Ended("s", "run_1", "error", error=UpstreamStalled("silence"))


def held(events: list[Event]) -> tuple[list[Event], list[Event]]:
    """Return the events that a held head waits for, and all that its stream tells."""
    taken: list[Event] = []

    def source() -> Iterator[Event]:
        for event in events:
            taken.append(event)
            yield event

    told = from_first_words(source())
    return list(taken), list(told)


def iter_to_the_end(events: list[Event]) -> Generator[Event]:
    """Yield events, as a reader of a run does."""
    yield from events


@pytest.mark.parametrize("first", [Text("a"), Thinking("a"), PING, Ended("s", "run_1", "interrupted")])
def test_a_held_head_waits_for_the_first_words_a_heartbeat_or_an_end(first: Event) -> None:
    events = [STARTED, WAITING, first, Text("b")]
    assert held(events) == (events[:3], events)


def test_an_error_before_the_first_words_is_raised_and_one_behind_them_is_told() -> None:
    reader = iter_to_the_end([STARTED, FAILED])
    with pytest.raises(UpstreamStalled, match="silence"):
        from_first_words(reader)
    assert inspect.getgeneratorstate(reader) == inspect.GEN_CLOSED, "a reader that is closed before its end hangs up"
    events = [STARTED, Text("a"), FAILED]
    assert held(events) == (events[:2], events)


def test_a_run_is_released_where_its_held_head_becomes_an_error() -> None:
    desk = Admitting(events=[STARTED, FAILED])
    response = answer(desk, {"stream": 1}, LINES._replace(holds_head=True))
    assert (response.status_code, response.text, desk.released) == (504, "<upstream_stalled>", 1)


@pytest.mark.parametrize(
    ("configured", "asked", "is_allowed"),
    [
        ("m", "m:latest", True),
        ("m:latest", "m", True),
        ("host/m", "host/m:latest", True),
        ("m:8b", "m", False),
        ("m", "m:8b", False),
        ("m:8b", "M:8B", True),
        ("Host/M:Latest", "host/m", True),
    ],
)
def test_a_name_is_compared_as_ollama_compares_names(configured: str, asked: str, is_allowed: bool) -> None:
    assert AllowedModels(ModelConfig(model_name=configured)).has(asked) is is_allowed
