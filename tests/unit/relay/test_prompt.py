"""The requests to the model, the first and those that go on: the text so far goes back exactly as it came."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.relay.prompt import Prompt
from clawgate.sessions import Message

USER = Message(role="user", content="Name the sights")
OPTIONS = {"num_predict": 100, "temperature": 0, "stop": ["x"]}


def said(content: str, **fields: Any) -> Message:
    """An answer."""
    return Message(role="assistant", content=content, **fields)


def ask(*messages: Message, **extras: Any) -> Prompt:
    """A prompt with some messages, or with one of the user's."""
    return Prompt(model="m", messages=messages or (USER,), extras=extras)


def test_a_request_streams_and_carries_the_extras_as_they_came() -> None:
    extras = {"think": "high", "options": OPTIONS, "tools": [{"type": "function"}], "format": {}, "keep_alive": "5m"}
    assert ask(**extras).request() == {"model": "m", "messages": [USER], "stream": True, **extras}
    assert ask().request() == {"model": "m", "messages": [USER], "stream": True}


def test_without_text_the_question_is_asked_again() -> None:
    base = said("The")
    for thinking in ("", "hmm"):
        assert ask(think=True).request_from("", thinking, 7) == ask(think=True).request()
        assert ask(USER, base).request_from("", thinking, 7) == ask(USER, base).request()


@pytest.mark.parametrize("text", ["故宫", "The Palace ", "a\n", "\n", " ", "a\r\n\u2028"])
def test_the_partial_text_goes_back_exactly(text: str) -> None:
    request = ask(think=True).request_from(text, "", 1)
    assert request["messages"] == [USER, said(text)]
    assert {**request, "messages": [USER]} == ask(think=True).request()


def test_thinking_goes_back_with_the_text() -> None:
    request = ask().request_from("a", " hmm\n", 1)
    assert request["messages"][1:] == [said("a", thinking=" hmm\n")]


def test_a_trailing_assistant_message_is_lengthened() -> None:
    base = said("The Palace ", thinking="hmm", interrupted=True)
    asked = ask(USER, base)
    request = asked.request_from("Museum ", "", 1)
    assert request["messages"] == [USER, said("The Palace Museum ", thinking="hmm")]
    assert asked.messages == (USER, base)


def test_an_earlier_assistant_message_is_left_alone() -> None:
    assert ask(said("Hi"), USER).request_from("a", "", 1)["messages"] == [said("Hi"), USER, said("a")]


@pytest.mark.parametrize(("tokens", "left"), [(0, 100), (1, 99), (99, 1), (100, 1), (500, 1)])
def test_num_predict_bounds_the_whole_answer(tokens: int, left: int) -> None:
    asked = ask(options=OPTIONS)
    assert asked.request_from("a", "", tokens)["options"] == {**OPTIONS, "num_predict": left}
    assert asked.request()["options"] == OPTIONS == {"num_predict": 100, "temperature": 0, "stop": ["x"]}


@pytest.mark.parametrize("options", [{}, {"num_predict": -1}, {"num_predict": -2}, {"num_predict": "9"}, {"seed": 1}])
def test_other_options_are_left_alone(options: dict[str, Any]) -> None:
    assert ask(options=options).request_from("a", "", 5)["options"] == options


def test_frames_are_held_back_with_tools_or_a_format() -> None:
    assert not ask(tools=[], format="", think=True).holds_frames_back
    assert ask(tools=[{}]).holds_frames_back
    assert ask(format="json").holds_frames_back
    assert ask(format={"type": "object"}).has_format
    assert not ask(tools=[{}]).has_format


def generating(**fields: Any) -> Prompt:
    """A prompt of /api/generate."""
    return Prompt(model="m", messages=(USER,), generate=fields, extras={"options": OPTIONS})


def test_a_generated_answer_is_asked_for_as_it_came() -> None:
    fields = {"prompt": "Name the sights", "suffix": ".", "raw": True}
    asked = generating(**fields)
    assert asked.path == "/api/generate"
    assert asked.request() == {"model": "m", **fields, "stream": True, "options": OPTIONS}
    assert asked.request_from("", "hmm", 3) == asked.request()
    assert ask().path == "/api/chat"


def test_a_cut_generated_answer_goes_on_as_a_chat() -> None:
    request = generating(prompt="Name the sights").request_from("The Palace ", "", 40)
    assert request["messages"] == [USER, said("The Palace ")]
    assert request.keys() == {"model", "messages", "stream", "options"}
    assert request["options"]["num_predict"] == 60


@pytest.mark.parametrize("field", [{"raw": True}, {"suffix": "x"}, {"template": "x"}, {"context": [1]}])
def test_a_prompt_that_is_no_conversation_cannot_go_on(field: dict[str, Any]) -> None:
    assert generating(prompt="a").can_go_on
    assert not generating(prompt="a", **field).can_go_on
