"""Any body is a chat, or gets a clear refusal that names the field."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from clawgate.errors import BadRequest, RequestError
from clawgate.web.api.requests import read_interrupt
from clawgate.web.door.chat_body import CHAT, PASSED_ON
from clawgate.web.door.messages import MESSAGE
from clawgate.web.door.reading import read_object
from tests.support.pictures import TINY_GIF
from tests.support.tries import PATIENT, tried
from tests.unit.web.bodies import anything, chat_or_refusal, leaves, request_of, texts

pytestmark = PATIENT

ids = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
pictures = st.lists(st.just(TINY_GIF) | texts, max_size=2)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool"])},
    optional={"content": texts | st.none(), "thinking": texts, "images": pictures, "extra": leaves},
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


def assert_names_a_field(refusal: RequestError) -> None:
    """Assert that the words are for people: one line that begins with the field and says what was expected."""
    assert isinstance(refusal, BadRequest)
    assert 400 <= refusal.status < 500
    assert "\n" not in refusal.message
    assert "expected" in refusal.message
    field = refusal.message.partition(":")[0].partition(".")[0].partition("[")[0]
    assert field in {*CHAT.names, "body"} or refusal.message.startswith("expected exactly one of"), refusal.message


@given(near)
@tried(200)
def test_a_body_near_the_mark_is_taken_or_its_field_named(body: dict[str, Any]) -> None:
    done = chat_or_refusal(json.dumps(body).encode())
    if isinstance(done, RequestError):
        assert_names_a_field(done)
        return
    assert done.extras == {name: body[name] for name in PASSED_ON if body.get(name) is not None}
    assert done.model == (body.get("model") if body.get("model") is not None else "qwen3:32b")
    assert done.session_id == body.get("session_id")
    for given_message, message in zip(body.get("messages") or (), done.messages or (), strict=True):
        kept = {name: value for name, value in given_message.items() if name in MESSAGE.names and value}
        assert json.loads(msgspec.json.encode(message)) == {"content": "", **kept}


@given(anything)
@tried(100)
def test_any_json_is_a_chat_or_refused(value: object) -> None:
    done = chat_or_refusal(json.dumps(value, ensure_ascii=False).encode())
    if isinstance(done, RequestError):
        assert_names_a_field(done)


@given(st.binary(max_size=60) | st.text('{}[]":,\\u0aEe+-. \n', max_size=40).map(str.encode))
@example(b'{"message": "a\\"')
@example(b'{"\xff": 1}')
@tried(200)
def test_any_bytes_are_a_chat_or_refused(data: bytes) -> None:
    done = chat_or_refusal(data)
    if isinstance(done, RequestError):
        assert_names_a_field(done)


@given(near, st.data())
@tried(100)
def test_a_body_cut_or_altered_at_any_byte_is_a_chat_or_refused(body: dict[str, Any], data: st.DataObject) -> None:
    whole = json.dumps(body).encode()
    place = data.draw(st.integers(0, len(whole) - 1))
    for altered in (whole[:place], whole[:place] + data.draw(st.binary(max_size=3)) + whole[place + 1 :]):
        done = chat_or_refusal(altered)
        if isinstance(done, RequestError):
            assert_names_a_field(done)


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
