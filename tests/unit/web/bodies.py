"""Request bodies of the unit tests of web/, and the reading of a chat's body."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from flask import Request
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from clawgate.errors import BadRequest, RequestError
from clawgate.relay.prompt import ChatRequest
from clawgate.web.door.chat_body import read_chat
from clawgate.web.door.reading import read_object

MODEL = "qwen3:32b"
QUESTION = {"role": "user", "content": "春光"}
MESSAGE = 'an object like {"role": "user", "content": "…"}'
PICTURE = "a picture (PNG, JPEG, WebP, …) as base64"
ROLE = '"system", "user", "assistant" or "tool"'
ID = "1 to 128 letters, digits, _ or -"
LONG = "春🙂" * 4000

texts = st.text('a:{}[]",\\/ é春\0\u2028🙂\n', max_size=6)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
"""Strategies: texts that a reader of JSON may stumble over, values without members, and any value."""


def request_of(body: Any, content_type: str | None = "application/json", stream: Any = None) -> Request:
    """Return a POST as Flask sees it: JSON of an object, or the very bytes; with a stream, chunked."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    environ = EnvironBuilder(method="POST", data=data, content_type=content_type).get_environ()
    if stream is not None:
        environ.pop("CONTENT_LENGTH", None)
        environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "wsgi.input": stream}
    return Request(environ)


def chat_of(body: Any, max_bytes: int = 1 << 20) -> ChatRequest:
    """Return the request for the desk that a chat's body makes."""
    return read_chat(read_object(request_of(body), max_bytes), MODEL)[0]


def plain(value: Any) -> Any:
    """Return a value as the JSON that is passed on, whether it was decoded or is still bytes."""
    return json.loads(msgspec.json.encode(value))


def mistake_in(body: Any) -> str:
    """Return the message for a chat's body that is refused."""
    with pytest.raises(BadRequest) as caught:
        chat_of(body)
    assert "\n" not in caught.value.message
    return caught.value.message


def chat_or_refusal(data: bytes) -> ChatRequest | RequestError:
    """Return the chat of a body, or its refusal; any other error fails the test."""
    try:
        return read_chat(read_object(request_of(data), 16 << 20), MODEL)[0]
    except RequestError as refusal:
        return refusal
