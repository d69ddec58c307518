"""The payload of an HTTP body out of raw bytes: the same at every cut, and strict."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.ollama.body import Body, ChunkedBody, MalformedBody, OpenBody, SizedBody

LINES = [b'{"a":"\xe6\x98\xa5"}\n', b"x" * 26 + b"\n", b"\r\n", b"5\r\nab\r\n", b"0\r\n\r\n", b"\n"]
CHUNKED = b"".join(b"%x\r\n%b\r\n" % (len(line), line) for line in LINES) + b"0\r\n\r\n"


def payload_of(body: Body, *feeds: bytes) -> bytes:
    """Everything that the body gives for some reads."""
    return b"".join(body.feed(data) for data in feeds)


def payload_before_fault(*feeds: bytes) -> bytes:
    """The payload of a chunked body up to the fault that there must be."""
    body, payload = ChunkedBody(), b""
    try:
        for data in feeds:
            payload += body.feed(data)
    except MalformedBody as fault:
        return payload + fault.payload
    pytest.fail(f"not refused: {feeds}")


def test_chunks_are_the_same_at_every_cut() -> None:
    for cut in range(len(CHUNKED) + 1):
        body = ChunkedBody()
        assert payload_of(body, CHUNKED[:cut], CHUNKED[cut:]) == b"".join(LINES), f"cut at byte {cut}"
        assert body.is_whole


def test_chunks_are_the_same_byte_by_byte_and_end_with_the_last() -> None:
    body = ChunkedBody()
    whole_after = []
    payload = b""
    for byte in CHUNKED:
        payload += body.feed(bytes([byte]))
        whole_after.append(body.is_whole)
    assert payload == b"".join(LINES)
    assert whole_after == [False] * (len(CHUNKED) - 1) + [True]


@given(st.data(), st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.sampled_from([b"%x", b"%X", b"00%x"]))
@settings(max_examples=50, deadline=None)
def test_any_split_of_any_chunks_gives_the_same_payload(data: st.DataObject, lines: list[bytes], size: bytes) -> None:
    stream = b"".join(size % len(line) + b"\r\n" + line + b"\r\n" for line in lines) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    body = ChunkedBody()
    feeds = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]
    assert payload_of(body, *feeds) == b"".join(lines)
    assert body.is_whole


@pytest.mark.parametrize(
    ("stream", "payload"),
    [
        (b"1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
        (b"1A\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n", b"x" * 26),
        (b"0003\r\nabc\r\n000\r\n\r\n", b"abc"),
        (b"3;name=value\r\nabc\r\n0;x\r\n\r\n", b"abc"),
        (b'3 ; name="1\t2"\r\nabc\r\n0\r\n\r\n', b"abc"),
        (b"3\nabc\r\n0\n\n", b"abc"),
        (b"3  \r\nabc\r\n0\t\r\n\r\n", b"abc"),
        (b"3\r\nabc\r\n0\r\nX-Trailer: 5\r\nX: y\r\n\r\n", b"abc"),
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n3\r\ndef\r\n", b"abc"),
    ],
)
def test_chunk_extensions_and_trailers_are_skipped_at_every_cut(stream: bytes, payload: bytes) -> None:
    for cut in range(len(stream) + 1):
        body = ChunkedBody()
        assert payload_of(body, stream[:cut], stream[cut:]) == payload
        assert body.is_whole


@pytest.mark.parametrize("end", [b"", b"0\r\n", b"3\r\nab", b"3\r\nabc", b"3\r\nabc\r\n", b"0\r\nX: y\r\n", b"0\r\n\r"])
def test_a_body_that_was_cut_is_not_whole(end: bytes) -> None:
    for stream in (end, b"1\r\nx\r\n" + end):
        for body in (ChunkedBody(), ChunkedBody()):
            payload_of(body, stream[:2], stream[2:])
            assert not body.is_whole


@pytest.mark.parametrize(
    "bad",
    [
        b"x\r\n",
        b"\r\n",
        b"-3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"1_0\r\n" + b"x" * 16 + b"\r\n",
        b"3 abc\r\nabc\r\n",
        b"1" * 17 + b"\r\n",
        b"\xd9\xa3\r\nabc\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n\n",
        b"3\r\nabc\rx",
        b"3\r\nab\r\n3\r\n",
        b'{"error":"no chunk"}\n',
    ],
)
def test_what_is_no_chunk_is_refused_at_every_cut(bad: bytes) -> None:
    for before in (b"", b"1\r\nx\r\n"):
        stream = before + bad
        kept = {payload_before_fault(stream[:cut], stream[cut:]) for cut in range(len(stream) + 1)}
        assert len(kept) == 1, "what came whole before the fault is told, however it came"
        assert kept.pop()[: len(before)].startswith(b"x" if before else b"")


@pytest.mark.parametrize("head", [b"1;" + b"x" * 5000 + b"\r\n", b"0\r\nX: " + b"x" * 5000 + b"\r\n"])
def test_a_line_that_is_too_long_is_refused_however_it_comes(head: bytes) -> None:
    for feeds in ([head], [head[:4000], head[4000:]], [head[:5000], head[5000:]]):
        with pytest.raises(MalformedBody, match="no end"):
            payload_of(ChunkedBody(), *feeds)


def test_a_line_of_allowed_length_is_taken() -> None:
    head = b"1;" + b"x" * 4000 + b"\r\n"
    assert payload_of(ChunkedBody(), head + b"y\r\n") == b"y"
    assert payload_of(ChunkedBody(), head[:4001], head[4001:] + b"y\r\n") == b"y"


def test_a_sized_body_ends_after_its_bytes_at_every_cut() -> None:
    for cut in range(6):
        body = SizedBody(3)
        assert body.feed(b"abcde"[:cut]) == b"abc"[:cut]
        assert body.is_whole == (cut >= 3)
        assert body.feed(b"abcde"[cut:]) == b"abc"[cut:]
        assert body.is_whole
    assert SizedBody(0).is_whole
    assert SizedBody(0).feed(b"x") == b""


def test_an_open_body_is_all_payload_and_never_whole() -> None:
    body = OpenBody()
    assert payload_of(body, b"a", b"", b"b") == b"ab"
    assert not body.is_whole
    assert body.has_begun


def test_an_open_body_without_a_byte_has_not_begun() -> None:
    body = OpenBody()
    assert body.feed(b"") == b""
    assert not body.has_begun
