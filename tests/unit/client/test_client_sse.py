"""The client's parser of server-sent events: at every cut, as the standard says, and within its bound."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawgate.client.sse import Message, Parser, TooLong

STREAM = (
    "\ufeff: a comment\r\n"
    "retry: 1000\n\n"
    'id: run_a:1\ndata: {"message":"春光 🎋"}\n\n'
    'data: {"ping":"keepalive"}\r\n\r\n'
    "event: error\rid: run_a:2\rdata: one\rdata:two\rdata\r\r"
    "id: with a \0 in it\nunknown: field\nevent: void\n\n"
    "data:  two blanks\n\n"
    "id\ndata: no id any more\n\n"
    "data: never dispatched"
).encode()
MESSAGES = [
    Message("", '{"message":"春光 🎋"}', "run_a:1"),
    Message("", '{"ping":"keepalive"}', "run_a:1"),
    Message("error", "one\ntwo\n", "run_a:2"),
    Message("", " two blanks", "run_a:2"),
    Message("", "no id any more", ""),
]


def parsed(pieces: Iterable[bytes]) -> list[Message]:
    """Feed the pieces to a parser and return all events."""
    parser = Parser()
    return [message for piece in pieces for message in parser.feed(piece)]


def test_the_stream_is_read_the_same_at_every_cut() -> None:
    for cut in range(len(STREAM) + 1):
        assert parsed([STREAM[:cut], STREAM[cut:]]) == MESSAGES, cut
    assert parsed(STREAM[at : at + 1] for at in range(len(STREAM))) == MESSAGES
    assert parsed([b"", STREAM, b""]) == MESSAGES


LINES = st.text(st.sampled_from("ab:春 \n\r\0\ufeff"), max_size=12)


@given(st.lists(LINES, max_size=8), st.lists(st.integers(0, 60), max_size=6))
def test_cuts_change_nothing(lines: list[str], cuts: list[int]) -> None:
    data = "".join(f"data: {line}\n\nid:{line}\r" for line in lines).encode()
    places = [0, *sorted(cuts), len(data)]
    assert parsed(data[a:b] for a, b in pairwise(places)) == parsed([data])


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert parsed([b"data: \xff\xe6\x98\n\n"]) == [Message("", "\ufffd\ufffd", "")]


@pytest.mark.parametrize("data", [b"data: " + b"x" * 30, b"data: xx\n" * 8, b": " + b"x" * 30, b"id: x\n" * 10])
def test_an_event_without_end_is_refused(data: bytes) -> None:
    parser = Parser(max_bytes=24)
    assert len(list(parser.feed(b"data: 0123456789\n\n" * 5))) == 5
    with pytest.raises(TooLong):
        list(parser.feed(data))
