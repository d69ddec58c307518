"""Frames that no Ollama should send, and answers in older HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.http.asking import ask, assert_closed, reason, wait_until_steady
from tests.support.answer import Answer
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, call, chunk, done, drop, end, hang, line, raw, text
from tests.support.sse import text_of
from tests.support.tools import require_procfs

QUIET = {"smoothing_ms": 0, "retry_seconds": 0}
MB = 1 << 20


@contextmanager
def memory_bounded(gateway: Gateway, max_growth_bytes: int) -> Iterator[None]:
    """Assert that the worker holds little more memory afterwards."""
    require_procfs()
    before = gateway.resources()["rss_bytes"]
    yield
    after = wait_until_steady(lambda: gateway.resources()["rss_bytes"])
    assert after - before < max_growth_bytes, f"it grew from {before} to {after} bytes"


def in_pieces(payload: bytes) -> Step:
    """Send a line so that no single read has it whole."""

    def play(answer: Answer) -> None:
        for start in range(0, len(payload), MB // 2):
            answer.write(payload[start : start + MB // 2])

    return call(play)


@pytest.mark.parametrize("is_frame", [True, False], ids=["a frame", "garbage"])
def test_a_line_of_10_mb_ends_the_stream_and_is_let_go(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, is_frame: bool
) -> None:
    long = line(text("x" * (10 * MB))) if is_frame else b"x" * (10 * MB) + b"\n"
    started = gateway(stream=QUIET)
    ollama.default(text("a"), in_pieces(long), hang())
    ask(started, "hi")  # what the allocator keeps, it keeps
    with memory_bounded(started, 64 * MB):
        for _ in range(15):
            events = ask(started, "hi")
            assert (text_of(events), reason(events)) == ("a", "upstream_bad_frames")
            assert_closed(ollama.chats[-1])
    ollama.default(text("b"), done())
    assert text_of(ask(started, "hi")) == "b"


def test_a_line_of_7_mb_is_told(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    ollama.script(in_pieces(line(text("x" * (7 * MB)))), done())
    assert len(text_of(ask(gateway(stream=QUIET), "hi"))) == 7 * MB


ODD_TEXTS = {
    "NUL, escaped": (b'"a\\u0000b"', "a\0b"),
    "U+2028 and U+0085": ('"a\u2028b\u2029c\u0085d"'.encode(), "a\u2028b\u2029c\u0085d"),
    "a pair of surrogates, escaped": (b'"\\ud83d\\ude00"', "\U0001f600"),
    "what looks like an event": (b'"\\n\\ndata: {\\"done\\":true}\\n\\n"', '\n\ndata: {"done":true}\n\n'),
    "what looks like a heartbeat": (b'"data: {\\"ping\\":\\"keepalive\\"}"', 'data: {"ping":"keepalive"}'),
    "a carriage return": (b'"a\\rb\\r\\nc"', "a\rb\r\nc"),
    "a byte order mark": ('"\ufeffa"'.encode(), "\ufeffa"),
    "noncharacters": ('"\ufffe\uffff"'.encode(), "\ufffe\uffff"),
    "direction marks": ('"\u202ea\u202c"'.encode(), "\u202ea\u202c"),
}
NO_TEXTS = {
    "NUL, raw": b'"a\0b"',
    "a lone high surrogate": b'"\\ud800"',
    "a lone low surrogate": b'"\\udc00"',
    "surrogates the wrong way round": b'"\\ude00\\ud83d"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "an overlong character": b'"\xc0\xaf"',
    "half a character": b'"\xe6\x98"',
    "a number": b"5",
    "a truth": b"true",
    "a list": b'["a"]',
    "an object": b'{"a":1}',
    "a number beyond all": b"1e999",
}


def frame_of(content: bytes) -> bytes:
    """A frame whose text is exactly these bytes of JSON."""
    return b'{"message":{"role":"assistant","content":%b},"done":false}\n' % content


def test_odd_texts_are_told_as_they_are_and_what_is_no_text_is_dropped(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway(stream=QUIET)
    for name, (content, expected) in ODD_TEXTS.items():
        ollama.script(chunk(frame_of(content)), done())
        events = ask(started, "hi")
        assert (text_of(events), reason(events)) == (expected, "stop"), name
    for name, content in NO_TEXTS.items():
        ollama.script(text("a"), chunk(frame_of(content)), text("b"), done())
        events = ask(started, "hi")
        assert (text_of(events), reason(events)) == ("ab", "stop"), name


OLD_HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n"


@pytest.mark.parametrize("head", [OLD_HEAD, b"HTTP/1.0 200 OK\r\n\r\n", OLD_HEAD.replace(b"1.0", b"1.1")], ids=repr)
def test_an_answer_of_http_1_0_lasts_until_the_close(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, head: bytes
) -> None:
    started = gateway(stream=QUIET)
    ollama.script(raw(head + line(text("a"))), raw(line(text("b")) + line(done())), drop())
    events = ask(started, "hi")
    assert (text_of(events), reason(events)) == ("ab", "stop")
    ollama.script(raw(head + line(text("a"))), drop())
    events = ask(started, "hi")
    assert (text_of(events), reason(events)) == ("a", "truncated"), "nothing tells a cut from a proper end there"


def test_framing_of_two_kinds_at_once_is_chunked(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    body = line(text("a")) + line(done())
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    ollama.script(raw(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)), end())
    events = ask(gateway(stream=QUIET), "hi")
    assert (text_of(events), reason(events)) == ("a", "stop")
