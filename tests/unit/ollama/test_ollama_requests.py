"""The exact requests to Ollama, and the meaning of its answers; there is no socket, so reads block."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from socket import gaierror
from typing import Any

import pytest
import requests
import responses
from requests import PreparedRequest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, ProtocolError

from clawgate.config import StreamConfig
from clawgate.errors import (
    ClawgateError,
    ModelNotFound,
    UpstreamError,
    UpstreamFailure,
    UpstreamRefused,
    UpstreamUnreachable,
)
from clawgate.ollama import exchange
from clawgate.ollama.client import OllamaClient, can_continue
from clawgate.ollama.exchange import Exchange
from clawgate.ollama.failures import CannotContinue
from clawgate.ollama.ndjson import FrameReader
from clawgate.relay import frames
from clawgate.relay.events import Ended, Event, Text, Thinking
from clawgate.relay.prompt import Prompt
from clawgate.relay.pump import Pump
from clawgate.relay.reader import Reader
from clawgate.relay.recorder import Recorder
from clawgate.relay.run import Run
from clawgate.relay.stats import Stats
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message

ENDPOINT = "http://127.0.0.1:11434"
CHAT = f"{ENDPOINT}/api/chat"
REQUEST = {"model": "qwen3:32b", "messages": [{"role": "user", "content": "春光"}], "stream": True}
ANSWER = '{"message":{"content":"","thinking":"嗯"}}\n{"message":{"content":"春"}}\n{"message":{"content":"光"}}\n'
DONE = '{"done":true,"done_reason":"stop","eval_count":3}\n'


STRANGER = "what answers at model.endpoint"
LOOK = "look at host, port and path in model.endpoint"
HOST = HTTPConnection("refused.example")


def caused_by(error: HTTPError, cause: OSError) -> requests.ConnectionError:
    """An error as requests raises it: around urllib3's, which comes from the system's."""
    error.__cause__ = cause
    return requests.ConnectionError(error)


@pytest.fixture
def ollama() -> Iterator[responses.RequestsMock]:
    """An Ollama that is only what a test adds; every answer that is added must be asked for."""
    with responses.RequestsMock() as mock:
        yield mock


def opened(request: dict[str, Any] = REQUEST, **options: Any) -> Exchange:
    """An exchange that is open or has failed."""
    exchange = OllamaClient(ENDPOINT).chat(request, **options)
    start(exchange)
    return exchange


def start(exchange: Exchange) -> None:
    """Start an exchange, and wait for the thread that opens it, where there is one."""
    exchange.start(lambda: None)
    for thread in threading.enumerate():
        if thread.name == "open-upstream":
            thread.join(10)


def sent(mock: responses.RequestsMock, number: int = 0) -> PreparedRequest:
    """A request that was sent."""
    found = mock.calls[number].request
    assert isinstance(found, PreparedRequest)
    return found


def test_a_chat_is_exactly_this_request(ollama: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:1")
    ollama.post(CHAT, body=ANSWER)
    exchange = opened()
    assert (exchange.is_open, exchange.failure) == (True, None)
    assert sent(ollama).method == "POST"
    assert sent(ollama).url == CHAT
    assert dict(sent(ollama).headers) == {
        "User-Agent": "clawgate",
        "Accept": "application/x-ndjson",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "Connection": "close",
        "Content-Length": str(len(sent(ollama).body or b"")),
    }
    body = sent(ollama).body
    assert isinstance(body, bytes)
    assert json.loads(body) == REQUEST
    assert "春光".encode() in body
    kwargs = sent(ollama).req_kwargs  # type: ignore[attr-defined]
    assert (kwargs["stream"], kwargs["proxies"], kwargs["timeout"]) == (True, {}, (5.0, None))
    exchange.release()


def test_the_endpoints_path_is_kept(ollama: responses.RequestsMock) -> None:
    ollama.post("https://gpu.example.org/ollama/api/chat", body=ANSWER)
    exchange = OllamaClient("https://gpu.example.org/ollama").chat(REQUEST)
    start(exchange)
    assert exchange.is_open
    exchange.release()


def test_nothing_is_sent_before_an_exchange_is_opened_or_after_it_was_closed(ollama: responses.RequestsMock) -> None:
    exchange = OllamaClient(ENDPOINT).chat(REQUEST)
    exchange.close()
    start(exchange)
    assert (exchange.is_open, exchange.failure) == (False, None)
    assert len(ollama.calls) == 0
    exchange.release()


def test_without_a_socket_reads_block_and_the_end_is_seen(ollama: responses.RequestsMock) -> None:
    ollama.post(CHAT, body=ANSWER + DONE)
    exchange = opened()
    assert exchange.fileno() is None
    assert not exchange.is_whole
    read = b""
    while not exchange.is_at_end:
        read += exchange.read()
    assert read.decode() == ANSWER + DONE
    assert exchange.is_whole
    exchange.release()


@pytest.mark.parametrize(
    ("status", "body", "kind", "words", "is_retryable"),
    [
        (
            404,
            '{"error":"model \'x\' not found"}',
            ModelNotFound,
            "model 'x' not found",
            False,
        ),
        (
            404,
            "404 page not found",
            UpstreamError,
            "what answers at model.endpoint is not Ollama (status 404: 404 page not found): "
            "look at host, port and path in model.endpoint",
            False,
        ),
        (400, '{"error":"bad options"}', UpstreamRefused, "Ollama refused this request: bad options", False),
        (
            403,
            "",
            UpstreamError,
            "Ollama refuses the Host of model.endpoint (403): "
            "use 127.0.0.1 or localhost there, or set OLLAMA_HOST on its machine",
            False,
        ),
        (500, "", UpstreamError, "Ollama answered with status 500", False),
        (500, b"\xff" * 600, UpstreamError, "Ollama answered with status 500: " + "\ufffd" * 500, False),
        (500, "[]", UpstreamError, "Ollama answered with status 500: []", False),
        (502, "<html>", UpstreamError, "Ollama answered with status 502: <html>", True),
        (503, '{"error":"server busy"}', UpstreamError, "Ollama answered with status 503: server busy", True),
        (
            301,
            "",
            UpstreamError,
            "what answers at model.endpoint redirects to another address: model.endpoint must be the final address",
            False,
        ),
        (
            204,
            "",
            UpstreamError,
            "what answers at model.endpoint is not Ollama (status 204): look at host, port and path in model.endpoint",
            False,
        ),
    ],
)
def test_a_refusal_is_told_in_ollamas_own_words(
    ollama: responses.RequestsMock,
    status: int,
    body: str | bytes,
    kind: type[ClawgateError],
    words: str,
    is_retryable: bool,
) -> None:
    ollama.post(CHAT, status=status, body=body, headers={"Location": "http://elsewhere.invalid/"})
    failure = opened().failure
    assert failure is not None
    assert type(failure.error) is kind
    assert (failure.error.message, failure.is_retryable) == (words, is_retryable)
    assert len(ollama.calls) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectTimeout("x"), "Ollama did not accept the connection within 5 s"),
        (requests.ReadTimeout("x"), "Ollama did not answer in time"),
        (caused_by(NewConnectionError(HOST, "x"), ConnectionRefusedError(111, "x")), "Ollama refused the connection"),
        (
            caused_by(NameResolutionError("refused", HOST, gaierror()), gaierror()),
            "Ollama has a name that cannot be resolved: look at the host in model.endpoint",
        ),
        (
            caused_by(NewConnectionError(HOST, "x"), OSError(113, "No route to host")),
            "Ollama is on a host that cannot be reached from here",
        ),
        (requests.ConnectionError("RemoteDisconnected <object at 0x7f>"), "Ollama dropped the connection"),
        (ConnectionResetError(104, "reset"), "Ollama dropped the connection"),
        (
            caused_by(NewConnectionError(HOST, "x"), OSError(24, "Too many open files")),
            "Ollama cannot be asked: the gateway has no file descriptor left",
        ),
    ],
)
def test_a_connection_that_fails_is_told_in_few_words_and_may_be_tried_again(
    ollama: responses.RequestsMock, error: Exception, words: str
) -> None:
    ollama.post(CHAT, body=error)
    failure = opened().failure
    assert failure is not None
    assert isinstance(failure.error, UpstreamUnreachable)
    assert (failure.error.message, failure.is_retryable) == (words, True)


def test_going_on_asks_for_the_template_first(ollama: responses.RequestsMock) -> None:
    show = ollama.post(f"{ENDPOINT}/api/show", json={"template": "{{ range .Messages }}{{ .Content }}{{ end }}"})
    failure = opened(is_going_on=True).failure
    assert isinstance(failure, CannotContinue)
    body = sent(ollama).body
    assert isinstance(body, bytes)
    assert json.loads(body) == {"model": "qwen3:32b"}
    assert show.call_count == 1


@pytest.mark.parametrize(
    "shown", [{"json": {"template": "{{ .Prompt }}"}}, {"json": []}, {"json": {}}, {"status": 500}]
)
def test_going_on_is_tried_where_nothing_speaks_against_it(
    ollama: responses.RequestsMock, shown: dict[str, Any]
) -> None:
    ollama.post(f"{ENDPOINT}/api/show", **shown)
    ollama.post(CHAT, body=ANSWER)
    exchange = opened(is_going_on=True)
    assert exchange.is_open
    exchange.release()


@pytest.mark.parametrize(
    ("template", "can"),
    [
        ("", True),
        ("{{ .System }}{{ .Prompt }}{{ .Response }}", True),
        ("{{ range .Messages }}<|{{ .Role }}|>{{ .Content }}<|end|>{{ end }}", False),
        ("{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}{{ end }}", True),
        ("{{ range .Messages }}{{ .Content }}{{ end }} the length of silence", False),
    ],
)
def test_a_template_that_closes_every_turn_cannot_continue(template: str, can: bool) -> None:
    assert can_continue(template) is can


def test_a_question_is_a_small_get_or_post(ollama: responses.RequestsMock) -> None:
    ollama.get(f"{ENDPOINT}/api/version", json={"version": "0.24"})
    ollama.post(f"{ENDPOINT}/api/show", json=["ü"])
    asks = OllamaClient(ENDPOINT)
    assert asks.ask("/api/version", 1.5) == {"version": "0.24"}
    assert asks.ask("/api/show", 1.5, json={"model": "m"}) == ["ü"]
    for number in (0, 1):
        assert "Origin" not in sent(ollama, number).headers
        assert sent(ollama, number).headers["User-Agent"] == "clawgate"
        assert sent(ollama, number).req_kwargs["timeout"] == 1.5  # type: ignore[attr-defined]
    assert sent(ollama, 1).body == b'{"model":"m"}'


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"status": 500, "body": "x"}, UpstreamError, "Ollama answers with an error (status 500): look at its log"),
        (
            {"status": 301, "headers": {"Location": f"{ENDPOINT}/x"}},
            UpstreamError,
            f"{STRANGER} redirects to another address: model.endpoint must be the final address",
        ),
        ({"body": "<html>"}, UpstreamError, f"{STRANGER} is not Ollama but a web page (status 200): {LOOK}"),
        ({"body": b'"\xff"'}, UpstreamError, f'{STRANGER} is not Ollama (status 200: "\ufffd"): {LOOK}'),
        (
            {"body": "", "headers": {"Content-Length": "0"}},
            UpstreamError,
            f"{STRANGER} is not Ollama (status 200): {LOOK}",
        ),
        (
            {"body": b" " * 17_000_000},
            UpstreamError,
            f"{STRANGER} is not Ollama (more than 16777216 bytes): {LOOK}",
        ),
        (
            {"body": caused_by(NewConnectionError(HOST, "x"), ConnectionRefusedError(111, "x"))},
            UpstreamUnreachable,
            "Ollama refused the connection",
        ),
        ({"body": requests.ReadTimeout()}, UpstreamUnreachable, "Ollama did not answer in time"),
    ],
)
def test_a_question_that_fails_says_why(
    ollama: responses.RequestsMock, answer: dict[str, Any], kind: type[UpstreamFailure], words: str
) -> None:
    ollama.get(f"{ENDPOINT}/api/version", **answer)
    with pytest.raises(kind) as caught:
        OllamaClient(ENDPOINT).ask("/api/version", 1)
    assert caught.value.message == words
    assert len(ollama.calls) == 1


def test_a_question_that_is_asked_once_more_has_the_time_that_is_left(ollama: responses.RequestsMock) -> None:
    aborted = ProtocolError("Connection aborted.", ConnectionResetError(104, "Connection reset by peer"))
    ollama.get(f"{ENDPOINT}/api/version", body=requests.ConnectionError(aborted))
    ollama.get(f"{ENDPOINT}/api/version", json={"version": "0.24"})
    assert OllamaClient(ENDPOINT).ask("/api/version", 1.5) == {"version": "0.24"}
    timeouts = [sent(ollama, number).req_kwargs["timeout"] for number in (0, 1)]  # type: ignore[attr-defined]
    assert timeouts[0] == 1.5
    assert 0 < timeouts[1] < 1.5


def pumped(**settings: Any) -> tuple[Run, list[Event]]:
    """A run that was pumped to its end."""
    run = Run("s", "r", Prompt(model="m", messages=(Message(role="user", content="q"),)), lambda *_: True, WakeEvent())
    limits = StreamConfig(retry_seconds=0, **settings)
    pump = Pump(run, lambda: OllamaClient(ENDPOINT), limits, Recorder(run, (), now=0))
    told = list(Reader(run, pump, heartbeat_s=5).events())
    run.release()
    return run, told


@pytest.mark.parametrize("smoothing_ms", [0, 1])
@pytest.mark.parametrize("read_bytes", [1, 7, 1 << 16])
def test_a_pump_without_a_socket_reads_the_whole_answer(
    ollama: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch, smoothing_ms: int, read_bytes: int
) -> None:
    monkeypatch.setattr(exchange, "RECV_BYTES", read_bytes)
    ollama.post(CHAT, body=ANSWER + DONE)
    run, told = pumped(smoothing_ms=smoothing_ms)
    assert "".join(event.text for event in told if isinstance(event, Thinking)) == "嗯"
    assert "".join(event.text for event in told if isinstance(event, Text)) == run.text == "春光"
    assert told[-1] == Ended("s", "r", "stop", Stats(eval_count=3))


@pytest.mark.parametrize(
    ("body", "reason", "code"),
    [
        (ANSWER, "truncated", None),
        (ANSWER + DONE.replace("stop", "length"), "length", None),
        (ANSWER + DONE[:-1], "stop", None),
        (ANSWER + '{"error":"out of memory"}\n', "error", "upstream_error"),
        (ANSWER + "x\n" * 3 + DONE, "error", "upstream_bad_frames"),
        (ANSWER + "x\n" * 2 + DONE, "stop", None),
        ("", "error", "upstream_unreachable"),
    ],
)
def test_a_pump_without_a_socket_tells_every_end(
    ollama: responses.RequestsMock, body: str, reason: str, code: str | None
) -> None:
    ollama.post(CHAT, body=body)
    run, told = pumped(smoothing_ms=0)
    ended = told[-1]
    assert isinstance(ended, Ended)
    assert (ended.done_reason, ended.error.code if ended.error else None) == (reason, code)
    assert run.text == ("春光" if body else "")


def test_no_cookie_is_kept(ollama: responses.RequestsMock) -> None:
    ollama.get(f"{ENDPOINT}/api/version", json={}, headers={"Set-Cookie": "a=b; Path=/"})
    asks = OllamaClient(ENDPOINT)
    for number in (0, 1):
        asks.ask("/api/version", 1)
        assert "Cookie" not in sent(ollama, number).headers


@pytest.mark.parametrize(("depth", "calls"), [(90, 1), (101, 0), (900, 0)])
def test_tool_calls_that_are_nested_too_deeply_are_a_bad_frame(depth: int, calls: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    reader = FrameReader(3)
    frames = reader.feed(b'{"message":{"tool_calls":[%b]}}\n{"message":{"content":"a"}}\n' % nested)
    assert (len(frames), reader.bad) == (1 + calls, 1 - calls)


def test_an_answer_without_end_is_ended(ollama: responses.RequestsMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_ANSWER_BYTES", 1000)
    monkeypatch.setattr(exchange, "RECV_BYTES", 500)
    ollama.post(CHAT, body=ANSWER * 100)
    _, events = pumped()
    assert isinstance(events[-1], Ended)
    assert events[-1].done_reason == "length"
