"""The beginning of a request tells how much is to come: a hint for when it gets a thread."""

from __future__ import annotations

import pytest

from clawgate.server.connection import PEEKED_BYTES, outlook

HEAD = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("said", [b"", b"G", HEAD, HEAD + b"\r", HEAD + b"X: \n\n"])
def test_of_half_a_head_more_is_wanted(said: bytes) -> None:
    assert outlook(said) == (len(said) + 1, False)


@pytest.mark.parametrize("name", [b"Content-Length", b"content-length", b"CONTENT-LENGTH"])
@pytest.mark.parametrize("gap", [b"", b" ", b" \t "])
@pytest.mark.parametrize("zeros", [0, 1, 18, 5000])
def test_a_short_body_is_wanted_whole(name: bytes, gap: bytes, zeros: int) -> None:
    said = HEAD + name + b":" + gap + b"0" * zeros + b"41\r\n\r\n"
    for come in (b"", b"{", b"x" * 41, b"x" * 41 + b"GET / HTTP/1.1\r\n"):
        assert outlook(said + come) == (len(said) + 41, True)


@pytest.mark.parametrize("length", [b"0", b"0" * 19])
def test_an_empty_body_is_there_with_the_head(length: bytes) -> None:
    said = HEAD + b"Content-Length: " + length + b"\r\n\r\n"
    assert outlook(said) == (len(said), True)


def test_a_request_without_a_body_is_its_head() -> None:
    said = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: content-length: 9\r\n\r\n"
    assert outlook(said) == (len(said), True)
    assert outlook(said + b"GET /") == (len(said), True)


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: %d" % PEEKED_BYTES,
        b"Content-Length: 999999999999999999",
        b"Content-Length: 1000000000000000000000",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:gzip, chunked\r\nContent-Length: 5",
        b"Expect: 100-continue\r\nContent-Length: 5",
    ],
)
def test_a_body_that_may_be_long_in_coming_is_left_to_a_thread(line: bytes) -> None:
    said = HEAD + line + b"\r\n\r\n"
    assert outlook(said) == (len(said), False)
