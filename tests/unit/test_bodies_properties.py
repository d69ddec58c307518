"""Whatever a body says: an order, or a clear refusal that names the field."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from flask import Request
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.test import EnvironBuilder

from clawgate.config import ModelConfig
from clawgate.errors import BadRequest, ModelNotAllowed, RequestError
from clawgate.relay.desk import Order
from clawgate.sessions import Message
from clawgate.web import bodies
from clawgate.web.bodies import (
    CHAT_FIELDS,
    MAX_CONTAINERS,
    MAX_DEPTH,
    MESSAGE_FIELDS,
    PASSED_ON,
    read_chat,
    read_interrupt,
    read_object,
)
from tests.support.tries import PATIENT, tried

pytestmark = PATIENT
MODELS = ModelConfig(model_name="qwen3:32b", allowed_models=("llama3.2:1b",))
TWICE = "body: expected each name once in an object, got one twice"

texts = st.text('a:{}[]",\\/ é春\0\u2028🙂\n', max_size=6)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
ids = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
    optional={"content": texts | st.none(), "thinking": texts, "images": st.lists(texts, max_size=2), "extra": leaves},
)
right: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(messages, min_size=1, max_size=3),
    "message": texts | messages,
    "continue": st.just(True),
    "session_id": ids,
    "stream": st.booleans(),
    "model": st.sampled_from(["qwen3:32b", "llama3.2:1b"]),
    "on_busy": st.sampled_from(["interrupt", "reject"]),
    "think": st.booleans() | texts,
    "options": st.dictionaries(texts, anything, max_size=3),
    "format": texts | st.dictionaries(texts, anything, max_size=3),
    "tools": st.lists(st.dictionaries(texts, anything, max_size=2), max_size=2),
    "keep_alive": texts | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
}
near = st.fixed_dictionaries({}, optional={name: kind | anything for name, kind in right.items()} | {"other": anything})


def request_of(data: bytes) -> Request:
    """A POST of these bytes."""
    builder = EnvironBuilder(method="POST", data=data, content_type="application/json")
    return Request(builder.get_environ())


def order_or_refusal(data: bytes) -> Order | RequestError:
    """What becomes of a chat's body; anything else that is raised fails the test."""
    try:
        return read_chat(read_object(request_of(data), 16 << 20), MODELS)[0]
    except RequestError as refusal:
        return refusal


def assert_names_a_field(refusal: RequestError) -> None:
    """Assert that the words are for people: one line that begins with the field and says what was expected."""
    assert isinstance(refusal, BadRequest | ModelNotAllowed)
    assert 400 <= refusal.status < 500
    assert "\n" not in refusal.message
    assert "expected" in refusal.message
    field = refusal.message.partition(":")[0].partition(".")[0].partition("[")[0]
    assert field in {*CHAT_FIELDS, "body"} or refusal.message.startswith("expected exactly one of"), refusal.message


@given(near)
@tried(200)
def test_a_body_near_the_mark_is_taken_or_its_field_named(body: dict[str, Any]) -> None:
    done = order_or_refusal(json.dumps(body).encode())
    if isinstance(done, RequestError):
        assert_names_a_field(done)
        return
    assert done.extras == {name: body[name] for name in PASSED_ON if body.get(name) is not None}
    assert done.model in ("qwen3:32b", "llama3.2:1b")
    assert done.session_id == body.get("session_id")
    for given_message, message in zip(body.get("messages") or (), done.messages or (), strict=True):
        kept = {name: value for name, value in given_message.items() if name in MESSAGE_FIELDS and value is not None}
        assert message == Message(**{**kept, "images": tuple(kept.get("images", ()))})


@given(anything)
@tried(100)
def test_any_json_is_an_order_or_refused(value: object) -> None:
    done = order_or_refusal(json.dumps(value, ensure_ascii=False).encode())
    if isinstance(done, RequestError):
        assert_names_a_field(done)


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0aEe+-. \n', max_size=40).map(str.encode))
@example(b'{"message": "a\\"')
@example(b'{"\xff": 1}')
@tried(200)
def test_any_bytes_are_an_order_or_refused(data: bytes) -> None:
    done = order_or_refusal(data)
    if isinstance(done, RequestError):
        assert_names_a_field(done)


@given(near, st.data())
@tried(100)
def test_a_body_cut_or_altered_at_any_byte_is_an_order_or_refused(body: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps(body).encode()
    place = data.draw(st.integers(0, len(whole) - 1))
    for altered in (whole[:place], whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + 1 :]):
        done = order_or_refusal(altered)
        if isinstance(done, RequestError):
            assert_names_a_field(done)


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
    """Say so by looking at every object."""
    if isinstance(value, Pairs):
        return len(dict(value)) < len(value) or any(has_a_name_twice(each) for _, each in value)
    return isinstance(value, list) and any(map(has_a_name_twice, value))


@given(st.lists(st.tuples(texts, pairs), max_size=4).map(Pairs), st.booleans(), st.integers(1, 8))
@example(Pairs([("a:b", "c:d"), ("é", 1), ("é", 2)]), True, 8)
@example(Pairs([("a:b", 'c":d'), ("é", 1)]), True, 8)
@tried(300)
def test_a_name_that_comes_twice_in_an_object_is_refused_and_nothing_else_is(
    body: Pairs, spell: bool, piece_bytes: int
) -> None:
    request = request_of(written(body, spell).encode())
    with patch.object(bodies, "READ_BYTES", piece_bytes):
        if has_a_name_twice(body):
            with pytest.raises(BadRequest, match=TWICE):
                read_object(request, 1 << 20)
        else:
            assert read_object(request, 1 << 20) == json.loads(written(body, spell))


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


def test_objects_and_lists_are_counted_before_they_are_made() -> None:
    wanted = f"body: expected at most {MAX_CONTAINERS} objects and lists, got more"
    for open_, close in ((b"{", b"}"), (b"[", b"]")):
        for count, is_taken in ((MAX_CONTAINERS - 2, True), (MAX_CONTAINERS - 1, False)):
            inner = b",".join([open_ + close] * count)
            request = request_of(b'{"other":[' + inner + b'],"message":"a"}')
            if is_taken:
                assert len(read_object(request, 1 << 20)["other"]) == count
            else:
                with pytest.raises(BadRequest, match=wanted):
                    read_object(request, 1 << 20)


def test_brackets_in_a_text_are_no_objects() -> None:
    text = '{"a\\"[' * (MAX_CONTAINERS // 2 + 1)
    assert read_object(request_of(json.dumps({"message": text}).encode()), 1 << 21) == {"message": text}


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
    """Each takes some milliseconds; what would look for the end of a text from each quote anew would take hours."""
    assert isinstance(order_or_refusal(data), BadRequest)


@given(st.integers(1, 2 * MAX_DEPTH), st.integers(0, 3))
@tried(20)
def test_depth_is_refused_exactly_above_the_limit(depth: int, width: int) -> None:
    inner = "[" * depth + "]" * depth
    body = '{"message":"a","options":{' + ",".join(f'"{number}":{inner}' for number in range(width + 1)) + "}}"
    done = order_or_refusal(body.encode())
    assert isinstance(done, Order) == (depth + 2 <= MAX_DEPTH), done


@given(st.fixed_dictionaries({}, optional={"session_id": ids | anything, "run_id": ids | anything, "x": anything}))
@tried(100)
def test_any_interrupt_is_taken_or_its_field_named(body: dict[str, Any]) -> None:
    try:
        taken = read_interrupt(read_object(request_of(json.dumps(body).encode()), 1 << 20))
    except RequestError as refusal:
        words = refusal.message
    else:
        words = "session_id: expected"
        assert (taken.session_id, taken.run_id) == (body.get("session_id"), body.get("run_id"))
    assert re.match("(session_id|run_id): expected", words)
