"""A session as a value: answers joined, prompts made, histories hashed and trimmed."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.sessions import Message, digest_of, prompt_of, text_of, trimmed, turns_of
from clawgate.sessions.session import join_answer

CALL = {"function": {"name": "f", "arguments": {}}}


def system(content: str) -> Message:
    """A system message."""
    return Message(role="system", content=content)


def user(content: str) -> Message:
    """A user message."""
    return Message(role="user", content=content)


def said(content: str, *, interrupted: bool = False, thinking: str = "") -> Message:
    """An answer."""
    return Message(role="assistant", content=content, thinking=thinking, interrupted=interrupted)


def cut(content: str, thinking: str = "") -> Message:
    """An answer that was not finished."""
    return said(content, interrupted=True, thinking=thinking)


@pytest.mark.parametrize(
    ("before", "answer", "after"),
    [
        ((), said("a"), (said("a"),)),
        ((user("q"),), said("a"), (user("q"), said("a"))),
        ((user("q"),), cut(""), (user("q"), cut(""))),
        ((user("q"), cut("故宫 ")), said("、天坛"), (user("q"), said("故宫 、天坛"))),
        ((user("q"), cut("a")), cut(" b"), (user("q"), cut("a b"))),
        ((user("q"), cut("a")), cut(""), (user("q"), cut("a"))),
        ((user("q"), said("a")), said("b"), (user("q"), said("ab"))),
        ((user("q"), cut("")), said("a"), (user("q"), said("a"))),
        ((user("q"), cut("a", "hm")), said("b"), (user("q"), said("ab", thinking="hm"))),
        ((user("q"), cut("a", "hm ")), said("b", thinking="so"), (user("q"), said("ab", thinking="hm so"))),
        ((user("q"), cut("", "hm")), said("a", thinking="anew"), (user("q"), said("a", thinking="anew"))),
        ((user("q"), cut("", "hm")), cut(""), (user("q"), cut("", "hm"))),
        ((user("q"), cut("a"), user("r")), said("b"), (user("q"), cut("a"), user("r"), said("b"))),
        ((Message(role="tool", content="5"),), said("a"), (Message(role="tool", content="5"), said("a"))),
    ],
)
def test_an_answer_is_appended_or_lengthens_what_it_went_on_from(
    before: tuple[Message, ...], answer: Message, after: tuple[Message, ...]
) -> None:
    assert join_answer(before, answer) == after


def test_tool_calls_of_both_parts_are_kept() -> None:
    base = Message(role="assistant", tool_calls=(CALL,), interrupted=True)
    joined = join_answer([base], Message(role="assistant", tool_calls=({"x": 1},)))
    assert joined == (Message(role="assistant", tool_calls=(CALL, {"x": 1})),)


TEXTS = ["a", "春", '"', "\\\\", "🙂\n"]


def as_sent(text: str) -> str | msgspec.Raw:
    """A text as a client sends it, with every escape that there is."""
    return msgspec.Raw(json.dumps(text).encode()) if text else ""


@pytest.mark.parametrize("more", ["", *TEXTS])
@pytest.mark.parametrize("text", ["", *TEXTS])
def test_texts_are_joined_whether_decoded_or_not(text: str, more: str) -> None:
    for first, second in product((text, as_sent(text)), (more, as_sent(more))):
        base = Message(role="assistant", content=first, thinking=first, interrupted=True)
        joined = join_answer([base], Message(role="assistant", content=second, thinking=second))[-1]
        assert joined.text == text + more
        assert json.loads(msgspec.json.encode(joined))["content"] == text + more
        assert text_of(joined.thinking) == (text + more if text else more)
        assert digest_of([user("q"), joined]) == digest_of([user("q"), said(text + more)])


@pytest.mark.parametrize("first", [(), (CALL,), msgspec.Raw(b'[{"x":1}]')])
@pytest.mark.parametrize("second", [(), (CALL,), msgspec.Raw(b'[{"x":1}]')])
def test_lists_are_joined_whether_decoded_or_not(first: Any, second: Any) -> None:
    before, answer = (Message(role="assistant", content="a", tool_calls=calls) for calls in (first, second))
    joined = json.loads(msgspec.json.encode(join_answer([before], answer)[-1]))
    wanted = [*json.loads(msgspec.json.encode(first)), *json.loads(msgspec.json.encode(second))]
    assert joined.get("tool_calls", []) == wanted


def test_only_what_empty_interrupted_answers_left_is_not_in_the_prompt() -> None:
    kept = (
        user(""),
        said(""),
        cut("a"),
        Message(role="assistant", tool_calls=(CALL,), interrupted=True),
    )
    assert prompt_of((system(""), cut(""), *kept, cut("", "hm"), cut(""))) == (system(""), *kept)


def test_ollama_gets_its_own_fields_and_content_always() -> None:
    assert msgspec.json.encode(cut("").for_ollama()) == b'{"role":"assistant","content":""}'
    whole = Message(role="tool", content="5", tool_name="f", tool_call_id="1", images=("aGk=",), tool_calls=(CALL,))
    assert json.loads(msgspec.json.encode(whole.for_ollama())) == {
        "role": "tool",
        "content": "5",
        "tool_name": "f",
        "tool_call_id": "1",
        "images": ["aGk="],
        "tool_calls": [CALL],
    }


def test_the_view_says_what_was_not_finished() -> None:
    assert json.loads(msgspec.json.encode(cut(""))) == {"role": "assistant", "content": "", "interrupted": True}
    assert json.loads(msgspec.json.encode(said("a"))) == {"role": "assistant", "content": "a"}


def test_a_turn_begins_with_each_user_message() -> None:
    assert turns_of([]) == []
    assert turns_of([system("s"), said("hi"), user("1"), said("a"), Message(role="tool"), user("2")]) == [2, 5]


def size_of(messages: tuple[Message, ...]) -> int:
    """The size of the messages' JSON."""
    return sum(len(msgspec.json.encode(message)) for message in messages)


def test_the_oldest_turns_go_first_and_system_messages_stay() -> None:
    messages = (
        system("s"),
        said("hello"),
        user("1"),
        said("a"),
        system("t"),
        user("2"),
        said("b"),
        user("3"),
        said("c"),
    )
    sizes = {limit: trimmed(messages, limit).messages for limit in (size_of(messages), size_of(messages) - 1, 0)}
    assert list(sizes.values()) == [
        messages,
        (system("s"), system("t"), user("2"), said("b"), user("3"), said("c")),
        (system("s"), system("t"), user("3"), said("c")),
    ]


def test_what_has_no_turn_before_the_last_is_kept() -> None:
    for messages in ((), (system("s"),), (said("a"), said("b")), (user("q" * 100), said("a" * 100))):
        assert trimmed(messages, 0).messages == messages


def test_what_comes_before_the_first_turn_goes_with_it() -> None:
    assert trimmed((said("hello"), system("s"), user("1"), said("a")), 0).messages == (
        system("s"),
        user("1"),
        said("a"),
    )


roles = st.sampled_from(["system", "user", "assistant", "tool"])
histories = st.lists(
    st.builds(lambda role, size: Message(role=role, content="春" * size), roles, st.integers(0, 9)), max_size=14
)


@given(histories, st.integers(0, 900))
@settings(max_examples=50, deadline=None)
def test_what_is_left_fits_or_is_the_least_there_is(messages: list[Message], limit: int) -> None:
    left, size_bytes = trimmed(messages, limit)
    assert size_bytes == size_of(left)
    starts = turns_of(messages)
    last = messages[starts[-1] :] if starts else messages
    systems = [message for message in messages if message.role == "system"]
    assert [message for message in left if message.role == "system"] == systems
    assert list(left[len(left) - len(last) :]) == last
    cuts = [0, *starts[1:]] if len(starts) > 1 else [0, *starts]
    candidates = [
        tuple(m for index, m in enumerate(messages) if index >= start or m.role == "system") for start in cuts
    ]
    assert left == next((each for each in candidates if size_of(each) <= limit), candidates[-1])
