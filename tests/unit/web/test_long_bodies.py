"""Long values stay the bytes that they were, and the store counts the memory that they take."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from clawgate.web.door.chat_body import read_chat
from clawgate.web.door.reading import parse_object
from tests.support.pictures import TINY_GIF, photo
from tests.unit.web.bodies import LONG, MESSAGE, MODEL, PICTURE, QUESTION, ROLE, chat_of, mistake_in, plain

PHOTO = photo(30_000)


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_calls": [{"a": [{}] * 4000}]},
        {"tool_calls": [{"a": [[]] * 4000}]},
        {"tool_calls": [{}] * 4000},
        {"images": [TINY_GIF] * 1000},
        {"content": "a" * 10_000, "thinking": "🙂" + "a" * 1000},
    ],
)
@pytest.mark.parametrize("way", ["message", "messages"])
def test_a_message_takes_the_memory_that_the_store_counts(way: str, fields: dict[str, Any]) -> None:
    message = {"role": "user", **fields}
    body = json.dumps({way: message if way == "message" else [message]}, separators=(",", ":")).encode()
    chat_of(body)
    tracemalloc.start()
    try:
        chats = [chat_of(body) for _ in range(10)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = [message for chat in chats for message in (chat.message, *(chat.messages or ())) if message]
    assert held < 1.5 * sum(message.memory_bytes() for message in kept) < 3 * held


def test_what_is_long_stays_the_bytes_that_it_was() -> None:
    call = {"function": {"name": "f", "arguments": {"text": LONG}}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": LONG, "interrupted": True},
        {"role": "assistant", "content": None, "thinking": LONG, "tool_calls": [call], "extra": 1},
        {"role": "tool", "content": "", "tool_name": LONG, "tool_call_id": LONG},
        {"role": "user", "content": "a", "images": [PHOTO, TINY_GIF]},
        {"role": "user", "images": [], "tool_calls": []},
    ]
    passed_on = {"format": {"title": LONG}, "tools": [{"title": LONG}]}
    chat = chat_of({"messages": messages, **passed_on})
    expected = [{"content": "", **{name: value for name, value in each.items() if value}} for each in messages]
    del expected[1]["extra"]
    assert plain(chat.messages) == expected
    assert plain(chat.extras) == passed_on
    assert chat.ignored == ("messages[].extra",)
    assert chat.messages is not None
    assert not any(isinstance(value, str) for value in (chat.messages[0].content, chat.extras["format"]))
    assert chat.messages[0].text == LONG
    for body in ({"message": LONG}, {"message": {"role": "user", "content": LONG}}):
        assert plain(chat_of(body).message) == {"role": "user", "content": LONG}


@pytest.mark.parametrize(
    "fields",
    [
        {"message": LONG},
        {"message": {"role": "user", "content": LONG, "thinking": LONG, "images": [PHOTO]}},
        {"messages": [QUESTION, {"role": "assistant", "tool_calls": [{"title": LONG}]}]},
        {"message": "a", "format": {"title": LONG}, "tools": [{"title": LONG}]},
        {"message": "a", "format": LONG},
    ],
)
def test_a_request_does_not_keep_its_body(fields: dict[str, Any]) -> None:
    """A view of one value would keep all of it; a body that something views cannot be emptied."""
    body = bytearray(json.dumps(fields).encode())
    chat, _ = read_chat(parse_object(body), MODEL)
    body.clear()
    assert chat.messages or chat.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": [QUESTION, {"role": LONG}]}, f"messages[1].role: expected {ROLE}, got 28002 bytes"),
        ({"messages": [{"role": "user", "content": [LONG]}]}, "messages[0].content: expected a text, got array"),
        (
            {"messages": [{"role": "user", "images": LONG}]},
            "messages[0].images: expected a list of at most 1000 pictures, got str",
        ),
        ({"messages": [{"role": "user", "images": [PHOTO, 1]}]}, f"messages[0].images[1]: expected {PICTURE}, got int"),
        ({"messages": [LONG]}, f"messages[0]: expected {MESSAGE}, got str"),
        ({"messages": [QUESTION, {"content": LONG}]}, f"messages[1].role: expected {ROLE}"),
        ({"message": {"role": "tool", "tool_calls": [LONG]}}, "message.tool_calls[0]: expected `object`, got `str`"),
        ({"model": LONG}, "model: expected a text, got 28002 bytes"),
        ({"think": LONG}, "think: expected true, false or a level, got 28002 bytes"),
        ({"tools": [LONG]}, "tools[0]: expected `object`, got `str`"),
        ({"format": [LONG]}, 'format: expected "json" or a JSON schema, got array'),
        ({"options": LONG}, "options: expected an object, got str"),
    ],
)
def test_a_wrong_field_is_named_where_the_body_is_long(fields: dict[str, Any], words: str) -> None:
    assert mistake_in(fields if {"messages", "message"} & set(fields) else {"message": "a", **fields}) == words
