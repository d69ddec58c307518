"""The head of an HTTP response out of raw bytes: the same at every cut, and nothing else passes for one."""

from __future__ import annotations

import pytest

from clawgate.ollama.body import Body, ChunkedBody, OpenBody, SizedBody
from clawgate.ollama.head import MAX_HEAD_BYTES, MalformedHead, read_head

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_head_is_read_when_it_is_whole_and_not_before() -> None:
    for cut in range(len(CHUNKED)):
        assert read_head(CHUNKED[:cut]) is None, f"cut at byte {cut}"
    head = read_head(CHUNKED + b"5\r\nab")
    assert head is not None
    assert (head.status, type(head.framing), head.rest) == (200, ChunkedBody, b"5\r\nab")


@pytest.mark.parametrize(
    ("data", "status", "framing"),
    [
        (b"HTTP/1.1 200\r\ncontent-length: 7\r\n\r\n", 200, SizedBody),
        (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", 502, OpenBody),
        (b"HTTP/1.1 404 Not Found\nContent-Length:7\nX: y\n\n", 404, SizedBody),
        (b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: gzip, Chunked\r\nContent-Length: 7\r\n\r\n", 200, ChunkedBody),
        (b"HTTP/1.1 200 OK\r\nX-Content-Length: 7\r\n\r\n", 200, OpenBody),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 19 + b"\r\n\r\n", 200, OpenBody),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 200, OpenBody),
        (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 2000 + b"HTTP/1.1 500 X\r\n\r\n", 500, OpenBody),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 200, SizedBody),
    ],
)
def test_a_head_tells_the_status_and_how_the_body_is_framed(data: bytes, status: int, framing: type[Body]) -> None:
    head = read_head(data + b"rest")
    assert head is not None
    assert (head.status, type(head.framing), head.rest) == (status, framing, b"rest")


def test_a_response_without_a_body_is_whole_at_once() -> None:
    head = read_head(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert head is not None
    assert head.framing.is_whole


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n",
        b"HTTP/2 200\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 200OK\r\n",
        b"x" * (MAX_HEAD_BYTES + 1),
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (MAX_HEAD_BYTES // 6),
        b"HTTP/1.1 100 Continue\r\n\r\nSSH-2.0\r\n",
    ],
)
def test_what_is_no_head_is_refused_as_soon_as_that_is_clear(data: bytes) -> None:
    with pytest.raises(MalformedHead):
        read_head(data)
