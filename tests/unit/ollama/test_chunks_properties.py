"""Any bytes as a chunked body, in any pieces: the same payload and verdict, and only its own fault is raised."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from clawgate.ollama.body import ChunkedBody, MalformedBody, OpenBody, SizedBody
from tests.support.tries import PATIENT, tried

pytestmark = PATIENT
sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"00%X"])
extensions = st.sampled_from([b"", b";a", b";a=b", b' ; a="b c\xff"', b"\t;" + b"x" * 100])
ends = st.sampled_from([b"\r\n", b"\n"])
payloads = st.binary(min_size=1, max_size=30) | st.sampled_from([b"\r\n", b"0\r\n\r\n", b"5\r\n", b'{"a":"\r\n"}\n'])
trailers = st.lists(st.sampled_from([b"X: y\r\n", b"a:\r\n", b"0\r\n", b"x\n"]), max_size=3).map(b"".join)
marks = st.sampled_from([b"0", b"1", b"a", b"\r", b"\n", b"\r\n", b"0\r\n\r\n", b"1\r\nx\r\n", b";", b" ", b"-", b"x"])
cuts_of = st.lists(st.integers(0, 2000), max_size=8)


class Outcome(NamedTuple):
    """The outcome of a body."""

    payload: bytes
    is_whole: bool
    is_malformed: bool


def outcome(stream: bytes, cuts: list[int]) -> Outcome:
    """Feed a body in pieces, nothing after its end or its fault."""
    body, payload = ChunkedBody(), b""
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    try:
        for start, end in pairwise(places):
            payload += body.feed(stream[start:end])
    except MalformedBody as fault:
        return Outcome(payload + fault.payload, is_whole=False, is_malformed=True)
    return Outcome(payload, body.is_whole, is_malformed=False)


chunks = st.lists(st.tuples(sizes, extensions, ends, payloads), max_size=6)


def framed(parts: list[tuple[bytes, bytes, bytes, bytes]], trailer: bytes = b"") -> bytes:
    """The bytes on the wire."""
    wire = [size % len(data) + extension + end + data + b"\r\n" for size, extension, end, data in parts]
    return b"".join(wire) + b"0\r\n" + trailer + b"\r\n"


@given(chunks, trailers, cuts_of, st.binary(max_size=10))
@tried(200)
def test_any_split_with_extensions_and_trailers_gives_the_payload(
    parts: list[tuple[bytes, bytes, bytes, bytes]], trailer: bytes, cuts: list[int], after: bytes
) -> None:
    wire = framed(parts, trailer)
    wanted = Outcome(b"".join(data for *_, data in parts), is_whole=True, is_malformed=False)
    assert outcome(wire, cuts) == wanted
    assert outcome(wire, list(range(len(wire)))) == wanted
    assert outcome(wire + after, cuts) == wanted, "what follows the body is not of it"


@given(chunks, cuts_of, st.integers(0, 2000))
@tried(200)
def test_a_body_that_is_cut_is_neither_whole_nor_malformed(
    parts: list[tuple[bytes, bytes, bytes, bytes]], cuts: list[int], place: int
) -> None:
    wire = framed(parts)
    cut = outcome(wire[: place % len(wire)], cuts)
    assert not cut.is_whole
    assert not cut.is_malformed
    assert b"".join(data for *_, data in parts).startswith(cut.payload)


@given(st.lists(marks, max_size=12).map(b"".join) | st.binary(max_size=60), cuts_of)
@tried(500)
def test_any_split_of_any_bytes_comes_to_the_same(stream: bytes, cuts: list[int]) -> None:
    at_once = outcome(stream, [])
    assert outcome(stream, cuts) == at_once == outcome(stream, list(range(len(stream))))
    assert len(at_once.payload) <= len(stream)
    assert not (at_once.is_whole and at_once.is_malformed)


@given(st.binary(max_size=40), st.integers(0, 50), cuts_of)
@tried(100)
def test_a_sized_and_an_open_body_give_their_bytes_at_any_split(stream: bytes, size: int, cuts: list[int]) -> None:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    sized, open_ = SizedBody(size), OpenBody()
    pieces = [stream[start:end] for start, end in pairwise(places)]
    assert b"".join(map(sized.feed, pieces)) == stream[:size]
    assert sized.is_whole == (len(stream) >= size)
    assert b"".join(map(open_.feed, pieces)) == stream
    assert not open_.is_whole
