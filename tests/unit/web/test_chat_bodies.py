"""What a request may say: each mistake is named with its field and what was expected."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from clawgate.config import ModelConfig
from clawgate.errors import BadRequest, ClawgateError, ModelNotAllowed, TooLarge, UnsupportedMediaType
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.api.requests import InterruptBody, read_chat, read_interrupt
from clawgate.web.door.reading import read_object

MODELS = ModelConfig(model_name="qwen3:32b", allowed_models=("llama3.2:1b",))
QUESTION = {"role": "user", "content": "春光"}


class Pieces(io.RawIOBase):
    """A body that comes in pieces, and notes how much was taken."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.taken = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Give the next piece."""
        piece = next(self._pieces, b"")
        assert len(piece) <= len(buffer)
        buffer[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)


def request_of(body: Any, content_type: str | None = "application/json", stream: Any = None) -> Request:
    """A POST as Flask sees it: JSON of an object, or the very bytes; with a stream, chunked."""
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    environ = EnvironBuilder(method="POST", data=data, content_type=content_type).get_environ()
    if stream is not None:
        environ.pop("CONTENT_LENGTH", None)
        environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "wsgi.input": stream}
    return Request(environ)


def order_of(body: Any, max_bytes: int = 1 << 20) -> ChatRequest:
    """The order that a chat's body makes."""
    return read_chat(read_object(request_of(body), max_bytes), MODELS)[0]


def plain(value: Any) -> Any:
    """A value as the JSON that goes on, whether it was decoded or is still the bytes that came."""
    return json.loads(msgspec.json.encode(value))


def mistake_in(body: Any) -> str:
    """The words for a chat's body that is refused."""
    with pytest.raises(BadRequest) as caught:
        order_of(body)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_a_message_makes_an_order_with_every_default() -> None:
    request = request_of({"message": "春光"})
    order, is_streamed = read_chat(read_object(request, 1 << 20), MODELS)
    assert order == ChatRequest(model="qwen3:32b", message=Message(role="user", content="春光"))
    assert is_streamed


def test_every_field_reaches_the_order() -> None:
    extras = {
        "think": "high",
        "options": {"temperature": 0},
        "format": {"type": "object"},
        "tools": [{"type": "function"}],
        "keep_alive": -1,
    }
    body = {
        "messages": [{"role": "system", "content": "s"}, QUESTION, {"role": "assistant", "content": "a", "images": []}],
        "session_id": "s-1_A",
        "model": "llama3.2:1b",
        "on_busy": "reject",
        "stream": False,
        **extras,
    }
    order, is_streamed = read_chat(read_object(request_of(body), 1 << 20), MODELS)
    assert order == ChatRequest(
        model="llama3.2:1b",
        session_id="s-1_A",
        messages=(
            Message(role="system", content="s"),
            Message(role="user", content="春光"),
            Message(role="assistant", content="a"),
        ),
        extras=extras,
        on_busy="reject",
    )
    assert not is_streamed


def test_falsy_values_are_passed_on_and_nulls_are_absent() -> None:
    assert order_of({"message": "a", "think": False, "keep_alive": 0, "options": {}}).extras == {
        "think": False,
        "options": {},
        "keep_alive": 0,
    }
    nulls = dict.fromkeys(["messages", "continue", "session_id", "model", "think", "options", "format", "tools"])
    assert order_of({"message": "a", **nulls}) == order_of({"message": "a"})


def test_null_members_of_messages_are_absent_as_in_openai_histories() -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    given = {"role": "assistant", "content": None, "tool_calls": [call], "images": None}
    assert plain(order_of({"messages": [given]}).messages) == plain((Message(role="assistant", tool_calls=(call,)),))
    assert order_of({"message": {"role": "user", "content": None}}).message == Message(role="user")


def test_a_message_may_be_an_object_of_any_role() -> None:
    message = {"role": "tool", "content": "5", "tool_name": "f", "tool_call_id": "1"}
    assert order_of({"message": message}).message == Message(role="tool", content="5", tool_name="f", tool_call_id="1")


MESSAGE = 'an object like {"role": "user", "content": "…"}'
ROLE = '"system", "user", "assistant" or "tool"'
ID = "1 to 128 letters, digits, _ or -"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": "a"}, "messages: expected a list of at least one message, got str"),
        ({"messages": {}}, "messages: expected a list of at least one message, got object"),
        ({"messages": []}, "messages: expected a list of at least one message"),
        ({"messages": ["a"]}, f"messages[0]: expected {MESSAGE}, got str"),
        ({"messages": [QUESTION, {"content": "a"}]}, f"messages[1].role: expected {ROLE}"),
        ({"messages": [{"role": "bot"}]}, f"messages[0].role: expected {ROLE}"),
        ({"messages": [{"role": 1}]}, f"messages[0].role: expected {ROLE}, got int"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content: expected a text, got int"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content: expected a text, got array"),
        ({"messages": [{"role": "user", "images": [5]}]}, "messages[0].images[0]: expected `str`, got `int`"),
        ({"message": 5}, f"message: expected a text, or one {MESSAGE[3:]}, got int"),
        ({"message": []}, f"message: expected a text, or one {MESSAGE[3:]}, got array"),
        ({"message": {"content": "a"}}, f"message.role: expected {ROLE}"),
        ({"continue": False}, "continue: expected true"),
        ({"continue": 1}, "continue: expected true, got int"),
        ({"continue": "true"}, "continue: expected true, got str"),
        ({"session_id": 5}, f"session_id: expected {ID}, got int"),
        ({"session_id": ""}, f"session_id: expected {ID}"),
        ({"session_id": "a" * 129}, f"session_id: expected {ID}"),
        ({"session_id": "a\n"}, f"session_id: expected {ID}"),
        ({"session_id": "a b"}, f"session_id: expected {ID}"),
        ({"session_id": "a/../b"}, f"session_id: expected {ID}"),
        ({"session_id": "é"}, f"session_id: expected {ID}"),
        ({"session_id": "٣"}, f"session_id: expected {ID}"),
        ({"stream": "true"}, "stream: expected true or false, got str"),
        ({"stream": None}, "stream: expected true or false, got null"),
        ({"model": 5}, "model: expected a text, got int"),
        ({"on_busy": "wait"}, 'on_busy: expected "interrupt" or "reject"'),
        ({"on_busy": True}, 'on_busy: expected "interrupt" or "reject", got bool'),
        ({"think": 1}, "think: expected true, false or a level, got int"),
        ({"options": []}, "options: expected an object, got array"),
        ({"format": 1}, 'format: expected "json" or a JSON schema, got int'),
        ({"tools": {}}, "tools: expected a list of objects, got object"),
        ({"tools": ["f"]}, "tools[0]: expected `object`, got `str`"),
        ({"keep_alive": []}, 'keep_alive: expected a duration like "5m", or seconds, got array'),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(fields: dict[str, Any], words: str) -> None:
    ways = {"messages", "message", "continue"}
    assert mistake_in(fields if ways & set(fields) else {"message": "a", **fields}) == words


LISTED = "a list of at most 64"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"temperature": "hot"}, "temperature: expected a number, got str"),
        ({"temperature": True}, "temperature: expected a number, got bool"),
        ({"num_ctx": "4096"}, "num_ctx: expected an integer, got str"),
        ({"num_ctx": 4096.5}, "num_ctx: expected an integer, got float"),
        ({"seed": [1]}, "seed: expected an integer, got array"),
        ({"use_mmap": 1}, "use_mmap: expected true or false, got int"),
        ({"stop": "x"}, f"stop: expected {LISTED} texts, got str"),
        ({"stop": [1]}, f"stop: expected {LISTED} texts, got array"),
        ({"stop": ["x"] * 65}, f"stop: expected {LISTED} texts, got array"),
        ({"new": {}}, f"new: expected a number, a text, true, false or {LISTED} of them, got object"),
        ({"new": [[]]}, f"new: expected a number, a text, true, false or {LISTED} of them, got array"),
        ({"new": [0] * 65}, f"new: expected a number, a text, true, false or {LISTED} of them, got array"),
        ({"new": "x" * 5000}, "new: expected at most 4096 bytes, got 5002"),
        ({"a\nb" * 50: {}}, None),
    ],
)
def test_a_wrong_option_is_named(option: dict[str, Any], words: str | None) -> None:
    mistake = mistake_in({"message": "a", "options": {"num_predict": 5, **option}})
    assert mistake.startswith("options.a\\nb") if words is None else mistake == f"options.{words}"


def test_options_are_few() -> None:
    options = {f"new_{number}": number for number in range(64)}
    assert order_of({"message": "a", "options": options}).extras == {"options": options}
    assert mistake_in({"message": "a", "options": {**options, "seed": 1}}) == (
        "options: expected at most 64 options, got 65"
    )


def test_right_options_and_unknown_ones_pass() -> None:
    options = {
        "temperature": 0,
        "top_p": 0.5,
        "num_ctx": 4096.0,
        "num_gpu": None,
        "stop": ["</s>", "\n"],
        "numa": False,
        "new": [1, "a", None, True],
        "newer": "x",
    }
    passed = order_of({"message": "a", "options": options}).extras["options"]
    assert passed == options
    assert isinstance(passed["num_ctx"], int), "Ollama takes it for one"


LONG = "春🙂" * 4000


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_calls": [{"a": [{}] * 4000}]},
        {"tool_calls": [{"a": [[]] * 4000}]},
        {"tool_calls": [{}] * 4000},
        {"images": ["ab"] * 2000},
        {"content": "a" * 10_000, "thinking": "🙂" + "a" * 1000},
    ],
)
@pytest.mark.parametrize("way", ["message", "messages"])
def test_a_message_takes_the_memory_that_the_store_counts(way: str, fields: dict[str, Any]) -> None:
    message = {"role": "user", **fields}
    body = json.dumps({way: message if way == "message" else [message]}, separators=(",", ":")).encode()
    order_of(body)
    tracemalloc.start()
    try:
        orders = [order_of(body) for _ in range(10)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = [message for order in orders for message in (order.message, *(order.messages or ())) if message]
    assert held < 1.5 * sum(message.memory_bytes() for message in kept) < 3 * held


def test_what_is_long_stays_the_bytes_that_it_was() -> None:
    call = {"function": {"name": "f", "arguments": {"text": LONG}}}
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": LONG, "interrupted": True},
        {"role": "assistant", "content": None, "thinking": LONG, "tool_calls": [call], "extra": 1},
        {"role": "tool", "content": "", "tool_name": LONG, "tool_call_id": LONG},
        {"role": "user", "content": "a", "images": [LONG, ""]},
        {"role": "user", "images": [], "tool_calls": []},
    ]
    passed_on = {"format": {"title": LONG}, "tools": [{"title": LONG}]}
    order = order_of({"messages": messages, **passed_on})
    expected = [{"content": "", **{name: value for name, value in each.items() if value}} for each in messages]
    del expected[1]["extra"]
    assert plain(order.messages) == expected
    assert plain(order.extras) == passed_on
    assert order.ignored == ("messages[].extra",)
    assert order.messages is not None
    assert not any(isinstance(value, str) for value in (order.messages[0].content, order.extras["format"]))
    assert order.messages[0].text == LONG
    for body in ({"message": LONG}, {"message": {"role": "user", "content": LONG}}):
        assert plain(order_of(body).message) == {"role": "user", "content": LONG}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": [QUESTION, {"role": LONG}]}, f"messages[1].role: expected {ROLE}, got 28002 bytes"),
        ({"messages": [{"role": "user", "content": [LONG]}]}, "messages[0].content: expected a text, got array"),
        ({"messages": [{"role": "user", "images": LONG}]}, "messages[0].images: expected a list of texts, got str"),
        ({"messages": [{"role": "user", "images": [LONG, 1]}]}, "messages[0].images[1]: expected `str`, got `int`"),
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


@pytest.mark.parametrize("session_id", ["a", "A-z_0", "-", "a" * 128])
def test_a_session_id_of_the_allowed_letters_is_taken(session_id: str) -> None:
    assert order_of({"message": "a", "session_id": session_id}).session_id == session_id


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({}, "none of them"),
        ({"message": None}, "none of them"),
        ({"message": "a", "messages": [QUESTION]}, "messages and message"),
        ({"message": "", "continue": True, "session_id": "s"}, "message and continue"),
        ({"messages": [QUESTION], "message": "a", "continue": True}, "messages and message and continue"),
    ],
)
def test_exactly_one_way_to_ask_is_wanted(body: dict[str, Any], found: str) -> None:
    assert mistake_in(body) == f"expected exactly one of `messages`, `message` and `continue`, got {found}"


def test_continuing_wants_a_session() -> None:
    assert order_of({"continue": True, "session_id": "s"}).is_continue
    assert mistake_in({"continue": True}) == (
        "session_id: expected the session whose answer is to be continued, got none"
    )


def test_another_model_than_the_allowed_is_refused() -> None:
    for name in ("", "qwen3", "QWEN3:32B"):
        with pytest.raises(ModelNotAllowed, match=r"^model: expected one of qwen3:32b, llama3\.2:1b$"):
            order_of({"message": "a", "model": name})


def test_unknown_fields_are_named_once_and_cut_short() -> None:
    body = {"mesage": "x", "message": {**QUESTION, "nmae": 1}, "role": 1, "is_continue": True}
    assert order_of(body).ignored == ("mesage", "role", "is_continue", "message.nmae")
    messages = [{**QUESTION, "created_at": "now", "x": 1}, {**QUESTION, "created_at": "now"}]
    assert order_of({"messages": messages}).ignored == ("messages[].created_at", "messages[].x")
    many = order_of({"message": "a", **{f"{number:03}" + "x" * 100: 1 for number in range(50)}}).ignored
    assert len(many) == 20
    assert all(len(name) == 64 for name in many)


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
    assert order_of({"message": "a", "format": nested}).extras == {"format": nested}


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"]
)
def test_another_content_type_is_refused(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaType, match=r"^Content-Type: expected application/json$"):
        read_chat(read_object(request_of({"message": "a"}, content_type), 1 << 20), MODELS)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_is_taken_however_its_type_is_written(content_type: str) -> None:
    assert read_chat(read_object(request_of({"message": "a"}, content_type), 1 << 20), MODELS)[1]


def test_a_body_at_the_limit_is_taken_and_one_byte_more_is_refused() -> None:
    body = json.dumps({"message": "a" * 1000}).encode()
    assert order_of(body, max_bytes=len(body)).message
    too_large = f"^body: expected at most {len(body) - 1} bytes \\(server.max_body_bytes\\)$"
    with pytest.raises(TooLarge, match=too_large):
        order_of(body, max_bytes=len(body) - 1)


def test_a_body_that_announces_too_much_is_refused_unread() -> None:
    body = Pieces(iter([b"x" * 1000]))
    request = request_of(b"x" * 1000)
    request.environ["wsgi.input"] = body
    with pytest.raises(TooLarge):
        read_chat(read_object(request, 999), MODELS)
    assert body.taken == 0


def test_a_chunked_body_is_counted_and_no_more_is_read_than_the_limit() -> None:
    body = json.dumps({"message": "a" * 1000}).encode()
    for limit, is_taken in ((len(body), True), (len(body) - 1, False)):
        stream = io.BytesIO(body)
        request = request_of(b"", stream=stream)
        if is_taken:
            assert read_chat(read_object(request, limit), MODELS)[0].message
        else:
            with pytest.raises(TooLarge):
                read_chat(read_object(request, limit), MODELS)
    endless = Pieces(iter(lambda: b"x" * 1000, b""))
    with pytest.raises(TooLarge):
        read_chat(read_object(request_of(b"", stream=io.BufferedReader(endless, 1000)), 5000), MODELS)
    assert endless.taken <= 7000


def test_an_interrupt_names_a_session_or_a_run() -> None:
    assert read_interrupt(read_object(request_of({"session_id": "s"}), 100)) == InterruptBody(session_id="s")
    assert read_interrupt(read_object(request_of({"run_id": "run_1", "x": 1}), 100)) == InterruptBody(run_id="run_1")
    for body, words in (
        ({}, "session_id: expected the session to interrupt (or a run_id), got neither"),
        ({"session_id": None}, "session_id: expected the session to interrupt (or a run_id), got neither"),
        ({"session_id": "a\n"}, f"session_id: expected {ID}"),
        ({"session_id": "s", "run_id": 5}, f"run_id: expected {ID}, got int"),
    ):
        with pytest.raises(ClawgateError) as caught:
            read_interrupt(read_object(request_of(body), 100))
        assert caught.value.message == words
