"""The fields of a request: each mistake is named with its field and what was expected."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.errors import ClawgateError
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.api.requests import InterruptBody, read_interrupt
from clawgate.web.door.chat_body import read_chat
from clawgate.web.door.reading import read_object
from tests.unit.web.bodies import ID, MESSAGE, MODEL, PICTURE, QUESTION, ROLE, chat_of, mistake_in, plain, request_of


def test_a_message_makes_a_chat_with_every_default() -> None:
    request = request_of({"message": "春光"})
    chat, is_streamed = read_chat(read_object(request, 1 << 20), MODEL)
    assert chat == ChatRequest(model="qwen3:32b", message=Message(role="user", content="春光"))
    assert is_streamed


def test_every_field_reaches_the_chat() -> None:
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
    chat, is_streamed = read_chat(read_object(request_of(body), 1 << 20), MODEL)
    assert chat == ChatRequest(
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
    assert chat_of({"message": "a", "think": False, "keep_alive": 0, "options": {}}).extras == {
        "think": False,
        "options": {},
        "keep_alive": 0,
    }
    nulls = dict.fromkeys(["messages", "continue", "session_id", "model", "think", "options", "format", "tools"])
    assert chat_of({"message": "a", **nulls}) == chat_of({"message": "a"})


def test_null_members_of_messages_are_absent_as_in_openai_histories() -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    given = {"role": "assistant", "content": None, "tool_calls": [call], "images": None}
    assert plain(chat_of({"messages": [given]}).messages) == plain((Message(role="assistant", tool_calls=(call,)),))
    assert chat_of({"message": {"role": "user", "content": None}}).message == Message(role="user")


def test_a_message_may_be_an_object_of_any_role() -> None:
    message = {"role": "tool", "content": "5", "tool_name": "f", "tool_call_id": "1"}
    assert chat_of({"message": message}).message == Message(role="tool", content="5", tool_name="f", tool_call_id="1")


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
        ({"messages": [{"role": "user", "images": [5]}]}, f"messages[0].images[0]: expected {PICTURE}, got int"),
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


@pytest.mark.parametrize("session_id", ["a", "A-z_0", "-", "a" * 128])
def test_a_session_id_of_the_allowed_letters_is_taken(session_id: str) -> None:
    assert chat_of({"message": "a", "session_id": session_id}).session_id == session_id


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
    assert chat_of({"continue": True, "session_id": "s"}).is_continue
    assert mistake_in({"continue": True}) == (
        "session_id: expected the session whose answer is to be continued, got none"
    )


def test_unknown_fields_are_named_once_and_cut_short() -> None:
    body = {"mesage": "x", "message": {**QUESTION, "nmae": 1}, "role": 1, "is_continue": True}
    assert chat_of(body).ignored == ("mesage", "role", "is_continue", "message.nmae")
    messages = [{**QUESTION, "created_at": "now", "x": 1}, {**QUESTION, "created_at": "now"}]
    assert chat_of({"messages": messages}).ignored == ("messages[].created_at", "messages[].x")
    many = chat_of({"message": "a", **{f"{number:03}" + "x" * 100: 1 for number in range(50)}}).ignored
    assert len(many) == 20
    assert all(len(name) == 64 for name in many)


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
