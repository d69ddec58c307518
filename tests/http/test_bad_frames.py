"""Frames that cannot be read, errors in the middle of an answer, and broken framing."""

from __future__ import annotations

import threading
import time

import pytest

from tests.http.asking import ask, assert_closed, configured, finish, opening, reason, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    Answer,
    ScriptedOllama,
    Step,
    call,
    chunk,
    done,
    end,
    error_line,
    hang,
    headers,
    line,
    raw,
    text,
    wait,
)
from tests.support.sse import end_of, text_of

pytestmark = configured(stream={"smoothing_ms": 0})

OPENING = opening("s-bad")
BAD = [
    b"{oops\n",
    b"[]\n",
    b"null\n",
    b'"text"\n',
    b'{"message":{"role":"assistant","content":5},"done":false}\n',
    b'{"message":"text","done":false}\n',
    b'{"message":{"content":"\xff\xfe"}}\n',
    b'{"message":{"content":"\\ud800"}}\n',
    b"[" * 100_000 + b"\n",
    b'{"x":' * 100_000 + b"\n",
    b"\x00\n",
]


def pause(answer: Answer) -> None:
    """Wait, so that the next bytes are likely read apart; the outcome never depends on it."""
    answer.pause_until(time.monotonic() + 0.03)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad[:30]))
def test_one_bad_frame_between_good_ones_is_dropped(gate: Gateway, upstream: ScriptedOllama, bad: bytes) -> None:
    upstream.script(text("a"), chunk(bad), text("b"), chunk(bad + line(text("c")) + bad), text("d"), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("abcd", "stop")


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: repr(bad[:30]))
def test_three_in_a_row_end_the_stream_and_close_upstream(gate: Gateway, upstream: ScriptedOllama, bad: bytes) -> None:
    upstream.script(text("a"), chunk(bad * 3), hang())
    events = ask(gate, OPENING)
    assert (text_of(events), reason(events)) == ("a", "upstream_bad_frames")
    assert_closed(upstream.chats[0])
    assert session(gate, "s-bad")["messages"][-1] == {"role": "assistant", "content": "a", "interrupted": True}


def test_three_in_a_row_count_over_reads(gate: Gateway, upstream: ScriptedOllama) -> None:
    turns = [threading.Event() for _ in range(2)]
    steps: list[Step] = [text("a"), chunk(b"x\n"), wait(turns[0]), chunk(b"y\n"), wait(turns[1]), chunk(b"z\n"), hang()]
    upstream.script(*steps)
    with gate.stream("hi") as stream:
        stream.read_text("a")
        turns[0].set()
        assert not upstream.chats[0].closed.is_set()
        turns[1].set()
        assert reason(finish(stream)) == "upstream_bad_frames"
    assert_closed(upstream.chats[0])


def test_a_good_frame_begins_the_count_anew(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(*[chunk(b"x\ny\n" + line(text(f"{index}"))) for index in range(5)], done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("01234", "stop")


def test_a_good_frame_in_a_read_of_its_own_begins_the_count_anew(gate: Gateway, upstream: ScriptedOllama) -> None:
    turns = [threading.Event() for _ in range(5)]
    steps: list[Step] = []
    for index, turn in enumerate(turns):
        steps += [chunk(b"x\n"), call(pause), text(f"{index}"), wait(turn)]
    upstream.script(*steps, done())
    with gate.stream("hi") as stream:
        for index, turn in enumerate(turns):
            stream.read_text(f"{index}")
            turn.set()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("01234", "stop")


def test_good_frames_before_the_third_bad_one_are_passed_on(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(chunk(line(text("a")) + b"x\n" + line(text("b")) + b"x\n" * 3 + line(text("c"))), hang())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("ab", "upstream_bad_frames")


def test_blank_lines_are_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(chunk(b"\n\n\r\n  \n\n\n"), text("a"), chunk(b"\n" * 10 + line(text("b"))), done())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("ab", "stop")


def test_a_line_without_an_end_ends_the_stream(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), *[chunk(b"x" * (1 << 20))] * 12, hang())
    events = ask(gate, "hi")
    assert reason(events) == "upstream_bad_frames"
    assert_closed(upstream.chats[0])


@pytest.mark.parametrize("before", ["", "一半"])
def test_an_error_line_ends_the_stream_with_ollamas_words(gate: Gateway, upstream: ScriptedOllama, before: str) -> None:
    words = 'llama runner process has terminated: "CUDA error" 内存'
    upstream.script(text(before), error_line(words))
    events = ask(gate, OPENING)
    ended = end_of(events)
    assert text_of(events) == before
    assert ended["error"]["code"] == "upstream_error"
    assert words in ended["error"]["message"]
    assert (events[-1].event, ended["done_reason"], ended["message"]) == ("error", "error", "")
    assert len(upstream.chats) == 1, "it is not asked again"


def test_an_error_line_ends_an_answer_that_upstream_leaves_open(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(chunk(line(text("a")) + b'{"error":"out of memory"}\n'), hang())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "upstream_error")
    assert_closed(upstream.chats[0])


@pytest.mark.parametrize(
    "broken",
    [b"zz\r\n", b"-5\r\n", b"\r\n\r\n", b"5\r\nhelloworld\r\n", b"10000000000000000f\r\n", b"1" * 10_000],
    ids=lambda broken: repr(broken[:12]),
)
def test_broken_chunk_framing_ends_the_stream(gate: Gateway, upstream: ScriptedOllama, broken: bytes) -> None:
    upstream.script(text("before"), raw(broken), hang())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("before", "upstream_bad_frames")
    assert_closed(upstream.chats[0])


def test_text_before_broken_framing_is_not_lost(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The good frame and the broken border come in one packet."""
    frame = line(text("good"))
    upstream.script(headers(), raw(b"%x\r\n%b\r\nzz\r\n" % (len(frame), frame)), hang())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("good", "upstream_bad_frames")


@pytest.mark.parametrize("body", [b"<html>proxy error</html>\n", b"", b"\n"], ids=repr)
def test_an_answer_that_is_no_stream_of_frames_is_no_success(
    gate: Gateway, upstream: ScriptedOllama, body: bytes
) -> None:
    upstream.script(chunk(body), end())
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("", "truncated")
