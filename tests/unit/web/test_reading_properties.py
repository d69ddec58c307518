"""The limits of a body hold as a plain decode would count, and no step of its reading takes long."""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawgate.errors import BadRequest
from clawgate.ollama.ndjson import MAX_DEPTH
from clawgate.relay.prompt import ChatRequest
from clawgate.web.door import reading
from clawgate.web.door.chat_body import read_chat
from clawgate.web.door.reading import MAX_ELEMENTS, MAX_NAME_BYTES, MAX_NAMES, read_object
from tests.support.tries import PATIENT, tried
from tests.unit.web.bodies import MODEL, anything, chat_or_refusal, leaves, request_of, texts

pytestmark = PATIENT
TWICE = "body: expected each name once in an object, got one twice"


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands in the text: its members in order, names as often as they come."""


pairs = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(texts, inner), max_size=4).map(Pairs),
    max_leaves=8,
)


def written(value: Any, spell: bool) -> str:
    """Write a value as JSON, names with escapes where that is asked for."""
    if isinstance(value, Pairs):
        names = [json.dumps(name) if spell else json.dumps(name, ensure_ascii=False) for name, _ in value]
        members = [f"{name} : {written(each, not spell)}" for name, (_, each) in zip(names, value, strict=True)]
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(each, spell) for each in value) + "]"
    return json.dumps(value, ensure_ascii=spell)


def has_a_name_twice(value: Any) -> bool:
    """Look for one in every object."""
    if isinstance(value, Pairs):
        return len(dict(value)) < len(value) or any(has_a_name_twice(each) for _, each in value)
    return isinstance(value, list) and any(map(has_a_name_twice, value))


bodies = st.lists(st.tuples(texts, pairs), max_size=4).map(Pairs)
windows = st.integers(8, 16) | st.just(reading.WINDOW_BYTES)
"""The window of the reader: the least that it can work with, and the real one."""


def taken_apart(data: bytes) -> Any:
    """Read a body and decode its members."""
    return {name: json.loads(bytes(value)) for name, value in read_object(request_of(data), 16 << 20).items()}


@given(bodies, st.booleans(), windows)
@example(Pairs([("a:b", "c:d"), ("é", 1), ("é", 2)]), True, 8)
@example(Pairs([("a:b", 'c":d'), ("é", 1)]), True, 8)
@tried(150)
def test_a_name_that_comes_twice_in_an_object_is_refused_and_nothing_else_is(
    body: Pairs, spell: bool, window_bytes: int
) -> None:
    data = written(body, spell).encode()
    with patch.object(reading, "WINDOW_BYTES", window_bytes):
        if has_a_name_twice(body):
            with pytest.raises(BadRequest, match=TWICE):
                taken_apart(data)
        else:
            assert taken_apart(data) == json.loads(data)


def elements_of(value: Any) -> int:
    """Count the members and items of a value and of all in it; an empty object or list counts as one."""
    if not isinstance(value, dict | list):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return max(1, len(inner)) + sum(map(elements_of, inner))


def depth_of(value: Any) -> int:
    """Count the objects and lists around the innermost value."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(depth_of, value.values() if isinstance(value, dict) else value), default=0)


def most_names(value: Any) -> int:
    """Count the names of the object that has the most."""
    if isinstance(value, dict):
        return max(len(value), *map(most_names, value.values()), 0)
    return max(map(most_names, value), default=0) if isinstance(value, list) else 0


@given(st.dictionaries(texts, anything, max_size=5), st.booleans(), windows, st.integers(1, 8), st.integers(1, 4))
@tried(150)
def test_limits_hold_as_a_plain_decode_counts(
    body: dict[str, Any], is_ascii: bool, window_bytes: int, limit: int, deepest: int
) -> None:
    data = json.dumps(body, ensure_ascii=is_ascii, indent=limit % 3 or None).encode()
    is_within = elements_of(body) <= limit and depth_of(body) <= deepest and most_names(body) <= limit
    with patch.multiple(reading, WINDOW_BYTES=window_bytes, MAX_ELEMENTS=limit, MAX_DEPTH=deepest, MAX_NAMES=limit):
        if is_within:
            assert taken_apart(data) == body
        else:
            with pytest.raises(BadRequest, match=r"^body: expected"):
                taken_apart(data)


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0aEe+-. \n', max_size=40).map(str.encode), windows)
@example(b'{"a": "\xf0\x9f\x99"}', 8)
@example(b'{"aaaaaa": "\xed\xa0\x80"}', 8)
@example(b'{"a":1}}', 8)
@example(b'{"aaaaaaaa\\', 8)
@tried(150)
def test_what_a_plain_decode_does_not_take_is_refused(data: bytes, window_bytes: int) -> None:
    try:
        data.decode()
        expected = msgspec.json.decode(data)
    except (UnicodeDecodeError, msgspec.DecodeError):
        expected = None
    with patch.object(reading, "WINDOW_BYTES", window_bytes):
        try:
            taken = taken_apart(data)
        except BadRequest as refusal:
            taken = refusal.message
    if isinstance(expected, dict) and taken != TWICE:
        assert taken == expected
    else:
        assert isinstance(taken, str)


@pytest.mark.parametrize(
    "body",
    [
        '{"message": "a", "message": "b"}',
        '{"message": "a", "m\\u0065ssage": "b"}',
        '{"message": "a", "session_id": "x", "session_id": "x"}',
        '{"messages": [{"role": "system", "role": "user", "content": "a"}]}',
        '{"message": "a", "options": {"seed": 1, "top": [{"b": 1, "c": {"": 1, "": 2}}]}}',
        '{"message": "12:30", "other": 1, "other": 2}',
    ],
)
def test_duplicate_names_are_refused_wherever_they_are(body: str) -> None:
    with pytest.raises(BadRequest, match=TWICE):
        read_object(request_of(body.encode()), 1 << 20)


@pytest.mark.parametrize(("item", "each"), [("0", 1), ("{}", 2), ("[]", 2), ('{"a":0}', 2), ("[0,1]", 3), ('"a,["', 1)])
def test_members_and_items_are_counted_before_they_are_made(item: str, each: int) -> None:
    wanted = f"body: expected at most {MAX_ELEMENTS} members and items, got more"
    count = (MAX_ELEMENTS - 2) // each
    assert len(taken_apart(f'{{"other":[{",".join([item] * count)}],"message":"a"}}'.encode())["other"]) == count
    with pytest.raises(BadRequest, match=wanted):
        taken_apart(f'{{"other":[{",".join([item] * (count + 1))}],"message":"a"}}'.encode())


def test_signs_in_a_text_are_no_elements() -> None:
    text = '{"a\\"[,:' * (MAX_ELEMENTS // 2 + 1)
    assert taken_apart(json.dumps({"message": text}).encode()) == {"message": text}


def test_names_are_few_and_short() -> None:
    names = {f"{number}": number for number in range(MAX_NAMES)}
    assert taken_apart(json.dumps({"other": names}).encode()) == {"other": names}
    with pytest.raises(BadRequest, match=f"^body: expected at most {MAX_NAMES} names in an object, got more$"):
        taken_apart(json.dumps({"other": {**names, "one more": 0}}).encode())
    for padding in ("", " " * reading.WINDOW_BYTES):
        name = "a" * MAX_NAME_BYTES
        assert taken_apart(json.dumps({name: padding}).encode()) == {name: padding}
        with pytest.raises(BadRequest, match=f"^body: expected names of at most {MAX_NAME_BYTES} bytes, got a longer"):
            taken_apart(json.dumps({name + "a": padding}).encode())


@pytest.mark.deadline(20)
@pytest.mark.parametrize(
    "data",
    [
        b'{"' + b'\\"[' * (1 << 20),
        b'"[":' * (1 << 20),
        b"[" * (4 << 20),
        b'{"a":' * (1 << 20),
        b'"' + b"\\" * (4 << 20),
    ],
    ids=["never closed", "texts", "lists", "objects", "backslashes"],
)
def test_the_worst_body_takes_no_longer_than_its_length(data: bytes) -> None:
    """Each body takes some milliseconds; a search for the end of a text from each quote would take hours."""
    assert isinstance(chat_or_refusal(data), BadRequest)


SIZE = 16 << 20
LARGE = {
    "text": b'{"message":"' + b"a" * SIZE + b'"}',
    "emoji": b'{"message":"' + "🙂".encode() * (SIZE // 4) + b'"}',
    "escapes": b'{"message":"' + b'\\"' * (SIZE // 2) + b'"}',
    "escaped letters": b'{"messages":[{"role":"user","content":"' + b"\\u6625" * (SIZE // 6) + b'"}]}',
    "spaces": b'{"message":"a"' + b" " * SIZE + b"}",
    "digits": b'{"message":"a","other":' + b"1" * SIZE + b"}",
    "members": b'{"message":"a","options":{"x":[0' + b",0" * (SIZE // 2) + b"]}}",
    "texts": b'{"message":"a","other":[""' + b',"a"' * (SIZE // 4) + b"]}",
    "messages": b'{"messages":[{"role":"user"}' + b',{"role":"user"}' * 8_000 + b"]}",
    "brackets": b"[" * SIZE,
}


@pytest.mark.deadline(60)
@pytest.mark.parametrize("name", LARGE)
def test_no_step_keeps_other_threads_waiting(name: str) -> None:
    """No call into C, during which Python switches no thread, takes long in the thread's own CPU time."""
    longest = began = 0.0

    def watch(_: Any, event: str, __: Any) -> None:
        nonlocal longest, began
        if event == "c_call":
            began = time.thread_time()
        elif event in ("c_return", "c_exception"):
            longest = max(longest, time.thread_time() - began)

    request = request_of(LARGE[name])
    sys.setprofile(watch)
    try:
        read_chat(read_object(request, SIZE + 100), MODEL)
    except BadRequest:
        pass
    finally:
        sys.setprofile(None)
    assert 0 < longest < 0.2


@given(st.integers(1, 2 * MAX_DEPTH), st.integers(0, 3))
@tried(20)
def test_depth_is_refused_exactly_above_the_limit(depth: int, width: int) -> None:
    inner = "[" * depth + "]" * depth
    body = '{"message":"a","other":{' + ",".join(f'"{number}":{inner}' for number in range(width + 1)) + "}}"
    done = chat_or_refusal(body.encode())
    assert isinstance(done, ChatRequest) == (depth + 2 <= MAX_DEPTH), done
