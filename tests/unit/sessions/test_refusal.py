"""A refused turn: marked in the view, in no later prompt, asked again without its mark."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest
from msgspec.structs import replace

from clawgate.sessions import Message, digest_of, join_answer, prompt_of, turns_of

REFUSAL = Message(role="assistant", interrupted=True, refused=True)
BLANK = Message(role="assistant", interrupted=True)
CALLS = Message(role="assistant", tool_calls=({"function": {"name": "f"}},))
LETTERS = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}


def talk(words: str) -> tuple[Message, ...]:
    """Messages: a letter for the role and a number; `*` refused, `-` blank, `~` interrupted, `c` the tool calls."""
    return tuple(map(_message, words.split()))


def _message(word: str) -> Message:
    if word in ("-", "c"):
        return BLANK if word == "-" else CALLS
    said = word.rstrip("*~")
    is_cut = word.endswith("~")
    return Message(role=LETTERS[word[0]], content=said, refused=word.endswith("*"), interrupted=is_cut)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("u1", "u1*"),
        ("u1 a1 u2", "u1 a1 u2*"),
        ("u1 - u2", "u1 - u2*"),
        ("u1* u2", "u1* u2*"),
        ("u1 a1~ u2", "u1 a1~ u2*"),
        ("u1 -", "u1*"),
        ("u1 a1 u2 -", "u1 a1 u2*"),
        ("s0 u1", "s0 u1*"),
        ("u1 a1 s2", "u1 a1 s2*"),
        ("u1 c t1", "u1 c t1*"),
        ("u1 c t1 t2", "u1 c t1* t2*"),
        ("u1 u2", "u1 u2*"),
        ("u1 s2 u3", "u1 s2 u3*"),
        ("u1 a1", "u1* a1*"),
        ("a1", "a1*"),
        ("-", "-*"),
    ],
)
def test_a_refusal_marks_what_was_asked_and_appends_nothing(before: str, after: str) -> None:
    wanted = (replace(BLANK, refused=True),) if after == "-*" else talk(after)
    assert join_answer(talk(before), REFUSAL) == wanted


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("u1 - u2* u3", "u1* - u2* u3*"),
        ("u1 u2* u3", "u1* u2* u3*"),
        ("s0 u1 a1 u2 - u3 - u4* u5", "s0 u1 a1 u2* - u3* - u4* u5*"),
    ],
)
def test_a_second_refusal_marks_all_that_was_never_answered(before: str, after: str) -> None:
    """A question that was cut before its answer began may be the one that Ollama refuses."""
    assert join_answer(talk(before), REFUSAL) == talk(after)


def test_a_full_history_that_is_refused_is_asked_again_as_it_was() -> None:
    """It may have a question that was answered with nothing: that one was not refused."""
    for history in ("s0 u1 a1 u2 u3", "u1 u2", "u1 c t1 t2", "s0 s1 u1"):
        assert prompt_of(join_answer(talk(history), REFUSAL)) == talk(history)


def test_a_question_that_the_model_has_thought_about_is_not_to_blame() -> None:
    thought = replace(BLANK, thinking="Hm.")
    before = (*talk("u1"), thought, *talk("u2* u3"))
    assert join_answer(before, REFUSAL) == (*talk("u1"), thought, *talk("u2* u3*"))


@pytest.mark.parametrize(
    ("session", "prompt"),
    [
        ("u1 a1 u2* u3", "u1 a1 u3"),
        ("u1* u2* u3", "u3"),
        ("u1 a1 u2*", "u1 a1 u2"),
        ("u1* u2*", "u2"),
        ("u1 c t1* t2", "u1 c t2"),
        ("u1 c t1* t2*", "u1 c t1 t2"),
        ("s0 u1* a1*", "s0 u1 a1"),
        ("u1* - u2 -", "u2"),
    ],
)
def test_a_prompt_has_no_refused_turn_but_the_one_that_is_asked_again(session: str, prompt: str) -> None:
    assert prompt_of(talk(session)) == talk(prompt)


@pytest.mark.parametrize(
    ("answer", "after"),
    [
        (_message("a2"), "u1* u2 a2"),
        (_message("a2~"), "u1* u2 a2~"),
        (BLANK, "u1* u2*"),
        (REFUSAL, "u1* u2*"),
    ],
)
def test_a_retry_clears_the_mark_once_ollama_has_taken_it(answer: Message, after: str) -> None:
    assert join_answer(talk("u1* u2*"), answer) == talk(after)


def test_thinking_or_an_empty_answer_that_is_whole_says_that_ollama_took_it() -> None:
    thought, nothing = replace(BLANK, thinking="hm"), Message(role="assistant")
    for answer in (thought, nothing):
        assert join_answer(talk("u1*"), answer) == (*talk("u1"), answer)


def test_a_refused_prefill_is_lengthened_by_its_retry() -> None:
    assert join_answer(talk("u1* a1*"), _message("a2")) == (*talk("u1"), Message(role="assistant", content="a1a2"))


def test_a_mark_changes_neither_the_digest_nor_the_turns() -> None:
    for marked, plain in product(["u1 a1 u2*", "u1* a1 u2*"], ["u1 a1 u2"]):
        assert digest_of(talk(marked)) == digest_of(talk(plain))
        assert turns_of(talk(marked)) == turns_of(talk(plain))


def test_ollama_never_sees_a_mark_and_a_view_does() -> None:
    assert msgspec.json.encode(_message("u1*").for_ollama()) == b'{"role":"user","content":"u1"}'
    assert msgspec.json.encode(_message("u1*")) == b'{"role":"user","content":"u1","refused":true}'
    assert all(not message.refused for message in map(Message.for_ollama, talk("u1* t1* a1*")))
