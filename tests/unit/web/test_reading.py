"""A body is read where its type, its length and its depth are right and it is a JSON object."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from clawgate.errors import TooLarge, UnsupportedMediaType
from clawgate.web.door.chat_body import read_chat
from clawgate.web.door.reading import read_object
from tests.unit.web.bodies import MODEL, chat_of, mistake_in, request_of


class Pieces(io.RawIOBase):
    """A body that comes in pieces, and notes how much was taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.taken = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next piece."""
        piece = next(self._pieces, b"")
        assert len(piece) <= len(buffer)
        buffer[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "body: expected JSON in UTF-8, got something else"),
        (b"message=a", "body: expected JSON in UTF-8, got something else"),
        (b'{"message":"a"', "body: expected JSON in UTF-8, got something else"),
        (b'{"message":"a"}x', "body: expected JSON in UTF-8, got something else"),
        (b'{"message":"\xff"}', "body: expected JSON in UTF-8, got something else"),
        (b'{"message":"\\ud800"}', "body: expected JSON in UTF-8, got something else"),
        (b'{"message":NaN}', "body: expected JSON in UTF-8, got something else"),
        (b"[]", "body: expected a JSON object"),
        (b'"message"', "body: expected a JSON object"),
        (b"null", "body: expected a JSON object"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, words: str) -> None:
    assert mistake_in(body).startswith(words)


@pytest.mark.parametrize("depth", [101, 500, 975, 980, 985, 1000, 100_000])
def test_a_body_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    words = "body: expected JSON, got one that is nested too deeply"
    assert mistake_in(b'{"message":"a","options":{"x":' + nested + b"}}") == words
    assert mistake_in(b'{"message":{"role":"user","tool_calls":[{"x":' + nested + b"}]}}") == words
    assert mistake_in(b'{"x":' * depth + b"1" + b"}" * depth) == words


def test_a_body_that_is_nested_as_schemas_are_is_taken() -> None:
    nested: dict[str, Any] = {}
    for _ in range(90):
        nested = {"properties": nested}
    assert chat_of({"message": "a", "format": nested}).extras == {"format": nested}


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"^Content-Type: expected application/json$"):
        read_chat(read_object(request_of({"message": "a"}, content_type), 1 << 20), MODEL)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken_however_its_type_is_written(content_type: str) -> None:
    assert read_chat(read_object(request_of({"message": "a"}, content_type), 1 << 20), MODEL)[1]


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_refused() -> None:
    body = json.dumps({"message": "a" * 1000}).encode()
    assert chat_of(body, max_bytes=len(body)).message
    too_large = f"^body: expected at most {len(body) - 1} bytes \\(server.max_body_bytes\\)$"
    with pytest.raises(TooLarge, match=too_large):
        chat_of(body, max_bytes=len(body) - 1)


def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    body = Pieces(iter([b"x" * 1000]))
    request = request_of(b"x" * 1000)
    request.environ["wsgi.input"] = body
    with pytest.raises(TooLarge):
        read_chat(read_object(request, 999), MODEL)
    assert body.taken == 0


def test_a_chunked_body_is_counted_and_no_more_is_read_than_the_limit() -> None:
    body = json.dumps({"message": "a" * 1000}).encode()
    for limit, is_taken in ((len(body), True), (len(body) - 1, False)):
        stream = io.BytesIO(body)
        request = request_of(b"", stream=stream)
        if is_taken:
            assert read_chat(read_object(request, limit), MODEL)[0].message
        else:
            with pytest.raises(TooLarge):
                read_chat(read_object(request, limit), MODEL)
    endless = Pieces(iter(lambda: b"x" * 1000, b""))
    with pytest.raises(TooLarge):
        read_chat(read_object(request_of(b"", stream=io.BufferedReader(endless, 1000)), 5000), MODEL)
    assert endless.taken <= 7000
