"""The reader of event streams: right at every cut, and strict."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.sse import PING, SseReader, end_of, parse, text_of, thinking_of


def event(data: dict[str, Any], number: int = 0, kind: str = "") -> bytes:
    """One event as the gateway writes it."""
    head = f"event: {kind}\n" if kind else ""
    encoded = json.dumps(data, ensure_ascii=False).replace("\u2028", r"\u2028")
    return f"id: r.{number}\n{head}data: {encoded}\n\n".encode()


START = event({"session_id": "s", "run_id": "r", "message": ""}, 0)
THOUGHT = event({"thinking": "嗯", "message": ""}, 1)
TEXTS = event({"message": "春\u2028"}, 2) + PING + event({"message": "光"}, 3)
END = event({"done": True, "done_reason": "stop", "message": ""}, 4)
ERROR = event({"error": {"code": "internal", "message": "x"}, "done": True, "message": ""}, 4, "error")
STREAM = START + THOUGHT + TEXTS + END


def test_events_are_the_same_at_every_cut() -> None:
    whole = parse(STREAM)
    assert text_of(whole) == "春\u2028光"
    assert thinking_of(whole) == "嗯"
    assert end_of(whole)["done_reason"] == "stop"
    assert [item.is_ping for item in whole] == [False, False, False, True, False, False]
    for cut in range(len(STREAM) + 1):
        reader = SseReader()
        assert reader.feed(STREAM[:cut]) + reader.feed(STREAM[cut:]) == whole
        assert reader.rest == b""


def test_events_are_the_same_byte_by_byte() -> None:
    reader = SseReader()
    assert [item for byte in STREAM for item in reader.feed(bytes([byte]))] == parse(STREAM)


def test_error_is_the_end() -> None:
    events = parse(START + ERROR)
    assert events[-1].event == "error"
    assert end_of(events)["error"]["code"] == "internal"


def test_text_starts_anew_at_a_reset_and_thinking_at_a_restart() -> None:
    reset = event({"status": "reset", "text": "ab", "message": ""}, 9)
    restarted = event({"status": "restarted", "message": ""}, 8)
    events = parse(TEXTS + THOUGHT + restarted + reset, is_whole=False)
    assert (text_of(events), thinking_of(events)) == ("ab", "")


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        STREAM[:-1],
        START + TEXTS,
        STREAM + event({"message": "late"}, 5),
        STREAM + PING,
        STREAM + event({"done": True, "message": ""}, 5),
        START + START + END,
        STREAM.replace(b"\n\n", b"\r\n\r\n"),
        STREAM.replace(b'{"ping":"keepalive"}', b'{"ping": "keepalive"}'),
        STREAM.replace(PING, b"id: 7\n" + PING),
        STREAM.replace(PING, b": ping\n\n"),
        STREAM.replace(b"id: r.2\n", b""),
        STREAM.replace(b"id: r.2\n", b"id: r.2\nid: r.2\n"),
        STREAM.replace(b"id: r.2\n", b"id: r.2\nevent: text\n"),
        STREAM.replace(b"id: r.2\n", b"id: r.2\nretry: 1\n"),
        STREAM.replace(b"id: r.2\n", b"\nid: r.2\n"),
        STREAM.replace(b"id: r.2\n", b"id: r.2\ndata: {}\n"),
        STREAM.replace("光".encode(), b"\\u5149"),
        STREAM.replace(b"\\u2028", "\u2028".encode()),
        STREAM.replace(b'{"message": "', b'{"massage": "'),
        START + ERROR.replace(b"event: error\n", b""),
        START + ERROR.replace(b'"done": true, ', b""),
        START + b"data: [1]\n\n" + END,
    ],
)
def test_stream_is_refused_when_the_contract_does_not_allow_it(stream: bytes) -> None:
    with pytest.raises(AssertionError):
        parse(stream)


def test_stream_may_lack_its_end_when_it_was_left_early() -> None:
    assert len(parse(START + TEXTS, is_whole=False)) == 4
    with pytest.raises(AssertionError):
        parse(STREAM[:-1], is_whole=False)
