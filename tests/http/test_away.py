"""Ollama is away or refuses: the gateway waits where that can help, and fails at once where it cannot."""

from __future__ import annotations

import socket

import pytest

from tests.http.asking import CLOSE_S, ask, assert_closed, configured, finish, opening, reason, said, session, start
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    done,
    drop,
    hang,
    headers,
    line,
    raw,
    reset,
    status,
    text,
)
from tests.support.sse import Event, end_of, text_of

PATIENCE_S = 1.0
PATIENT = configured(stream={"smoothing_ms": 0, "retry_seconds": 20})
SHORT = configured(stream={"smoothing_ms": 0, "retry_seconds": PATIENCE_S})
NONE = configured(stream={"smoothing_ms": 0, "retry_seconds": 0})


def read_waiting(stream: StreamClient) -> Event:
    return stream.read_until(lambda event: event.data.get("status") == "waiting")[-1]


@PATIENT
def test_a_refusal_is_waited_out(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    upstream.script(text("back"), done())
    with gate.stream("hi") as stream:
        waiting = read_waiting(stream)
        assert waiting.data == {"status": "waiting", "reason": "upstream_unreachable", "attempt": 2, "message": ""}
        assert read_waiting(stream).data["attempt"] == 3
        upstream.start()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("back", "stop")
    assert said(events)[-1] == {"message": "back"}


@PATIENT
def test_ollama_killed_in_the_middle_and_back_again_is_one_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    words = "".join(f"{index} " for index in range(500))
    upstream.answer(words, interval_s=0.005)
    with gate.stream("hi") as stream:
        stream.read_text("20 ")
        upstream.stop(reset=True)
        read_waiting(stream)
        upstream.answer(words)
        upstream.start()
        events = finish(stream)
    assert (text_of(events), reason(events)) == (words, "stop")


@PATIENT
@pytest.mark.parametrize("code", [502, 503])
def test_bad_gateway_and_unavailable_are_waited_out(gate: Gateway, upstream: ScriptedOllama, code: int) -> None:
    upstream.script(status(code, b"<html>bad gateway</html>"))
    upstream.script(status(code, {"error": "server busy, please try again"}))
    upstream.script(text("a"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "stop")
    assert [data["attempt"] for data in said(events) if data.get("status") == "waiting"] == [2, 3]
    assert {data["reason"] for data in said(events) if data.get("status") == "waiting"} == {"upstream_error"}


@PATIENT
@pytest.mark.parametrize(
    ("code", "body", "expected", "words"),
    [
        (400, {"error": "think value is not supported"}, "upstream_refused", "think value is not supported"),
        (403, b"", "upstream_error", "403"),
        (404, {"error": f"model '{DEFAULT_MODEL}' not found"}, "model_not_found", f"'{DEFAULT_MODEL}' not found"),
        (404, b"404 page not found", "upstream_error", "404 page not found"),
        (500, {"error": "llama runner 坏了"}, "upstream_error", "llama runner 坏了"),
        (500, b"\xff\xfe", "upstream_error", "500"),
        (500, b'{"error":' * 5000, "upstream_error", "500"),
        (500, {"error": {"message": "in an object"}}, "upstream_error", "in an object"),
        (429, {"error": "too many"}, "upstream_error", "too many"),
        (301, b"", "upstream_error", "301"),
        (204, b"", "upstream_error", "204"),
    ],
)
def test_other_errors_are_passed_on_at_once(
    gate: Gateway, upstream: ScriptedOllama, code: int, body: dict[str, str] | bytes, expected: str, words: str
) -> None:
    upstream.script(status(code, body))
    events = ask(gate, opening("s-error"))
    ended = end_of(events)
    assert (ended["error"]["code"], said(events)) == (expected, [])
    assert words in ended["error"]["message"]
    assert len(upstream.chats) == 1
    assert session(gate, "s-error")["streaming"] is False


@PATIENT
@pytest.mark.parametrize("head", [b"Content-Length: 99\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n10\r\n"])
def test_an_error_whose_words_have_no_end_is_passed_on_as_it_is(
    gate: Gateway, upstream: ScriptedOllama, head: bytes
) -> None:
    upstream.script(raw(b"HTTP/1.1 500 Internal Server Error\r\n" + head + b"out of memory"), hang())
    error = end_of(ask(gate, opening("s-error")))["error"]
    assert error == {"code": "upstream_error", "message": "Ollama answered with status 500: out of memory"}
    assert_closed(upstream.chats[0])


@PATIENT
def test_a_model_that_ollama_lacks_is_not_found(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.models.clear()
    assert reason(ask(gate, "hi")) == "model_not_found"


@PATIENT
def test_no_connection_is_kept_to_ollama(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(status(500, {"error": "x"}), hang())
    upstream.script(status(404, b"no"), hang())
    upstream.script(status(400), hang())
    upstream.script(text("a"), done(is_terminated=False), raw(b"0\r\n\r\n"), hang())
    for _ in range(4):
        ask(gate, "hi")
    assert all(chat.closed.wait(CLOSE_S) for chat in upstream.chats)
    assert upstream.open_connections == 0


@PATIENT
def test_an_empty_answer_with_a_length_is_truncated(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(content_length=0), hang())
    assert reason(ask(gate, "hi")) == "truncated"
    assert_closed(upstream.chats[0])


@SHORT
def test_patience_ends_in_unreachable(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    events = ask(gate, opening("s-never"))
    assert reason(events) == "upstream_unreachable"
    waited_s = events[-1].at - events[0].at
    assert PATIENCE_S <= waited_s < PATIENCE_S + 10
    attempts = [data["attempt"] for data in said(events)]
    assert attempts == list(range(2, len(attempts) + 2))
    assert 3 <= len(attempts) <= 12, "with backoff"
    assert session(gate, "s-never")["messages"][-1] == {"role": "assistant", "content": "", "interrupted": True}


@SHORT
def test_patience_ends_after_text_too_and_the_text_is_kept(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), drop())
    with gate.stream(opening("s-half")) as stream:
        stream.read_text("half")
        upstream.stop()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("half ", "upstream_unreachable")
    assert session(gate, "s-half")["messages"][-1]["content"] == "half "


@SHORT
def test_an_ollama_that_drops_for_ever_is_given_up(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Headers and empty frames are no progress: the patience counts from the last word."""
    upstream.default(headers(), text(""), drop())
    events = ask(gate, "hi")
    assert reason(events) == "upstream_unreachable"
    assert len(upstream.chats) <= 15


@SHORT
def test_progress_renews_the_patience(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Each attempt says a word, so that the whole answer takes longer than the patience."""
    words = "".join(f"{index} " for index in range(20))
    upstream.answer(words, token_size=1, drop_after=[1] * 20)
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == (words, "stop")
    assert events[-1].at - events[0].at > PATIENCE_S


@NONE
def test_without_patience_a_refusal_fails_at_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    events = ask(gate, "hi")
    assert (reason(events), said(events)) == ("upstream_unreachable", [])


@NONE
@pytest.mark.parametrize("code", [502, 503])
def test_without_patience_a_status_fails_at_once(gate: Gateway, upstream: ScriptedOllama, code: int) -> None:
    upstream.script(status(code, {"error": "busy"}))
    events = ask(gate, "hi")
    assert (reason(events), said(events), len(upstream.chats)) == ("upstream_error", [], 1)


@NONE
def test_without_patience_a_drop_fails_at_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), drop())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events), len(upstream.chats)) == ("a", "upstream_unreachable", 1)


@NONE
def test_an_answer_that_is_not_http_is_an_error(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.stop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", upstream.port))
        listener.listen()
        with gate.stream("hi") as stream:
            start(stream)
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
                connection.shutdown(socket.SHUT_WR)
                assert reason(finish(stream)).startswith("upstream_")


@pytest.mark.parametrize(
    "head", [headers(), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")], ids=["chunked", "sized"]
)
def test_a_reset_right_behind_the_headers_is_waited_out(gate: Gateway, upstream: ScriptedOllama, head: Step) -> None:
    for _ in range(5):
        upstream.script(head, reset())
    upstream.script(text("a"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "stop")
    assert "waiting" in [event.data.get("status") for event in events]


def test_an_absurd_length_reads_as_none(gate: Gateway, upstream: ScriptedOllama) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n"
    upstream.script(raw(head + line(text("a"))), drop())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "truncated")
