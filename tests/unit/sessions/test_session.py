"""A session as a value: answers joined, prompts made, histories hashed and trimmed."""

from __future__ import annotations

import json
import tracemalloc
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.sessions import Dropped, Message, digest_of, prompt_of, text_of, trimmed, turns_of
from clawgate.sessions.message import Role
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
    sizes = (size_of(messages), size_of(messages) - 1, 0)
    assert [(kept.messages, kept.dropped) for kept in (trimmed(messages, limit, 0) for limit in sizes)] == [
        (messages, Dropped()),
        ((system("s"), system("t"), user("2"), said("b"), user("3"), said("c")), Dropped(turns=1)),
        ((system("s"), system("t"), user("3"), said("c")), Dropped(turns=2)),
    ]


def refused(content: str) -> Message:
    """A question that Ollama has refused."""
    return Message(role="user", content=content, refused=True)


def test_refused_turns_go_first() -> None:
    cut = Message(role="assistant", interrupted=True)
    messages = (user("1"), said("a"), refused("2"), cut, refused("3"), user("4"), said("b"))
    limits = (size_of(messages), size_of(messages) - 1, size_of((*messages[:2], *messages[4:])) - 1)
    assert [(kept.messages, kept.dropped) for kept in (trimmed(messages, limit, 0) for limit in limits)] == [
        (messages, Dropped()),
        ((*messages[:2], *messages[4:]), Dropped(turns=1)),
        ((*messages[:2], *messages[5:]), Dropped(turns=2)),
    ]
    assert trimmed(messages, 0, 0).messages == messages[5:]


def test_a_refused_turn_at_the_end_pushes_out_nothing() -> None:
    before = (user("1"), said("a"))
    messages = (*before, refused("q" * 1000))
    assert trimmed(messages, size_of(before), 0).messages == messages
    assert trimmed(messages, size_of(before) - 1, 0).messages == messages[2:]
    assert trimmed((*messages, user("2")), size_of((*before, user("2"))), 0).messages == (*before, user("2"))


def test_refused_pictures_go_first_and_push_out_none_at_the_end() -> None:
    messages = (seen("1", "A" * 8), said("a"), msgspec.structs.replace(seen("2", "B" * 8), refused=True))
    assert trimmed(messages, 1 << 20, messages[0].image_bytes).messages == messages
    kept = trimmed((*messages, user("3")), 1 << 20, messages[0].image_bytes)
    assert kept.messages == (*messages[:2], messages[2].without_images(), user("3"))


def test_what_has_no_turn_before_the_last_is_kept() -> None:
    for messages in ((), (system("s"),), (said("a"), said("b")), (user("q" * 100), said("a" * 100))):
        assert trimmed(messages, 0, 0) == (messages, size_of(messages), 0, Dropped())


def test_what_comes_before_the_first_turn_goes_with_it() -> None:
    kept = trimmed((said("hello"), system("s"), user("1"), said("a")), 0, 0)
    assert kept.messages == (system("s"), user("1"), said("a"))
    assert kept.dropped == Dropped(), "no turn has gone"


def seen(content: str, *images: str, role: Role = "user") -> Message:
    """A message with pictures, as one is kept."""
    return Message(role=role, content=content, images=msgspec.Raw(msgspec.json.encode(images)))


def test_the_oldest_pictures_go_first_and_their_text_stays() -> None:
    messages = (
        seen("s", "S" * 8, role="system"),
        seen("1", "A" * 8, "B" * 8),
        said("a"),
        seen("", "C" * 8),
        seen("t", "D" * 8, role="tool"),
        seen("3", "E" * 8),
        seen("u", "F" * 8, role="tool"),
    )
    sizes = [len(msgspec.json.encode(message.images)) if message.images else 0 for message in messages]
    total = sum(sizes)
    for limit, gone, images in (
        (total, (), 0),
        (total - 1, (1,), 2),
        (total - sizes[1], (1,), 2),
        (total - sizes[1] - 1, (1, 3), 3),
        (total - sizes[1] - sizes[3] - 1, (1, 3, 4), 4),
        (0, (1, 3, 4), 4),
    ):
        kept = trimmed(messages, 1 << 20, limit)
        assert kept.dropped == Dropped(turns=0, images=images)
        assert [message.text for message in kept.messages] == ["s", "1", "a", "", "t", "3", "u"]
        assert [index for index, message in enumerate(kept.messages) if message != messages[index]] == list(gone)
        assert kept.image_bytes == sum(message.image_bytes for message in kept.messages)
        assert kept.size_bytes == size_of(tuple(message.without_images() for message in messages))
    assert trimmed(kept.messages, 1 << 20, 0) == (kept.messages, kept.size_bytes, kept.image_bytes, Dropped())


def test_pictures_push_out_no_text_and_text_takes_its_pictures_along() -> None:
    messages = (seen("1", "A" * 5000), said("a"), user("2"), said("b"))
    text_bytes = size_of(tuple(message.without_images() for message in messages))
    assert trimmed(messages, text_bytes, 1 << 20) == (messages, text_bytes, 5004, Dropped())
    kept = trimmed(messages, text_bytes - 1, 0)
    assert (kept.messages, kept.image_bytes, kept.dropped) == (messages[2:], 0, Dropped(turns=1, images=0))


def test_pictures_are_counted_without_a_copy() -> None:
    """Each follow-up counts the whole session; 16 MiB of pictures to copy would be most of its CPU."""
    picture = "A" * (1 << 20)
    messages = (seen("1", picture), said("a"), seen("2", picture), said("b"))
    tracemalloc.start()
    try:
        kept = trimmed(messages, 1 << 20, 16 << 20)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept.image_bytes == 2 * len(f'["{picture}"]')
    assert peak < 1 << 16


def test_pictures_without_any_question_are_the_last_turn() -> None:
    messages = (seen("", "A" * 8, role="tool"), seen("", "B" * 8, role="tool"))
    assert trimmed(messages, 0, 0).messages == messages


def test_decoded_pictures_are_counted_likewise() -> None:
    decoded = Message(role="user", content="1", images=("AAAA", "BBBB"))
    kept = trimmed((decoded, user("2")), 1 << 20, 0)
    assert kept.messages == (user("1"), user("2"))
    assert kept.dropped == Dropped(images=2)
    assert (decoded.image_bytes, decoded.image_count) == (len('["AAAA","BBBB"]'), 2)


roles = st.sampled_from(["system", "user", "assistant", "tool"])
histories = st.lists(
    st.builds(lambda role, size: Message(role=role, content="春" * size), roles, st.integers(0, 9)), max_size=14
)


@given(histories, st.integers(0, 900))
@settings(max_examples=50, deadline=None)
def test_what_is_left_fits_or_is_the_least_there_is(messages: list[Message], limit: int) -> None:
    left, size_bytes, image_bytes, dropped = trimmed(messages, limit, 0)
    assert (size_bytes, image_bytes) == (size_of(left), 0)
    assert dropped == Dropped(turns=len(turns_of(messages)) - len(turns_of(left)))
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
