"""Conversations that are longer than the context, and an engine without a model that loads what is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from clawgate.embedded.engine import Engine
from clawgate.embedded.job import EngineFailed, Job, Message
from clawgate.embedded.runtime import Runtime
from tests.support.tools import DEADLINE_S

CONTEXT = 256
AROUND = 5
"""Tokens of the template around a message here; each character of a text is one token."""


def tokens_of(messages: list[Message]) -> int:
    """The tokens of a conversation's prompt."""
    return sum(len(message["content"]) + AROUND for message in messages)


class _Runtime:
    """A llama.cpp that answers with nothing, and refuses what is too long for its context."""

    def __init__(self, context: int) -> None:
        self.context = context
        self.asked: list[list[Message]] = []
        self.counted = 0
        self.looks = 0

    def chat(self, request: Mapping[str, Any], take: Callable[[Mapping[str, Any]], bool]) -> None:
        self.asked.append(request["messages"])
        is_long = tokens_of(request["messages"]) >= self.context
        error = {"type": "exceed_context_size_error", "message": "too long", "code": 400}
        take({"error": error} if is_long else {"choices": [{"delta": {}, "finish_reason": "stop"}]})

    def count(self, messages: list[Message]) -> int:
        self.counted += len(messages)
        self.looks += 1
        return tokens_of(messages)

    def without_head(self, text: str, tokens: int) -> str:
        return text[tokens:]


class _Engine(Engine):
    """An engine over such runtimes; it keeps all of them."""

    def __init__(self) -> None:
        super().__init__(Path("none.gguf"), 1, own_context=1024)
        self.runtimes: list[_Runtime] = []

    def _load(self, context: int) -> Runtime:
        self.runtimes.append(_Runtime(context))
        return cast("Runtime", self.runtimes[-1])

    def ask(self, messages: list[Message], **job: Any) -> list[Message]:
        """Answer, and return the conversation that the model was given in the end."""
        asked = Job(messages, context=CONTEXT, **job)
        assert self.answer(asked, lambda _: None, lambda: False).reason == "stop"
        return self.runtimes[-1].asked[-1]


def said(role: str, text: str) -> Message:
    """A message."""
    return {"role": role, "content": text}


def conversation(count: int) -> list[Message]:
    """A conversation of that many messages of 15 tokens."""
    return [said("user", f"{number:010}") for number in range(count)]


@pytest.mark.parametrize("count", [1, 16, 17, 18, 40, 800])
def test_no_more_is_left_out_than_must_be(count: int) -> None:
    engine = _Engine()
    assert engine.ask(conversation(count)) == conversation(count)[-17:], "17 of them are 255 tokens"
    assert engine.runtimes[0].counted < 4 * count + 40, "each look takes half of what the one before took"


def test_system_messages_and_the_last_one_stay() -> None:
    system, last = said("system", "Be brief."), said("user", "And?")
    assert _Engine().ask([system, *conversation(20), system, last]) == [system, *conversation(20)[6:], system, last]
    old = said("user", "x" * 300)
    assert _Engine().ask([system, old, last]) == [system, last]


def test_a_last_message_that_is_too_long_loses_its_beginning_and_the_answer_has_room() -> None:
    system, text = said("system", "Be brief."), "".join(chr(0x4E00 + number) for number in range(1000))
    given = _Engine().ask([system, said("user", "old"), said("user", text)])
    assert [given[0], given[-1]["role"]] == [system, "user"]
    assert text.endswith(given[-1]["content"])
    assert tokens_of(given) == CONTEXT - (CONTEXT - 4) // 2
    given = _Engine().ask([said("system", text), said("user", "Well?")])
    assert given[1] == said("user", "Well?"), "it is the system message that is too long here"
    assert tokens_of(given) == CONTEXT - (CONTEXT - 4) // 2


def test_a_text_that_is_far_too_long_is_not_counted() -> None:
    engine = _Engine()
    given = engine.ask([said("user", "y" * 5_000_000), said("user", "é" * 5_000_000)])
    assert set(given[-1]["content"]) == {"é"}
    assert engine.runtimes[0].counted < 10
    assert [len(asked) for asked in engine.runtimes[0].asked] == [1], "not even the first look at it"


@pytest.mark.parametrize("count", [100, 100_000])
def test_a_template_that_is_too_long_is_an_error(count: int) -> None:
    engine = _Engine()
    with pytest.raises(EngineFailed, match="does not take the model's template"):
        engine.ask([said("system", "a b")] * count + [said("user", "")])
    assert engine.runtimes[0].looks < 20
    assert engine.runtimes[0].counted < 2_000, "100,000 messages are too many whatever they say"


def test_many_system_messages_lose_their_texts_in_a_few_looks() -> None:
    engine = _Engine()
    systems = [said("system", f"number {number:02}" + "!" * (number % 3)) for number in range(20)]
    given = engine.ask([*systems, said("user", "And?")])
    assert (tokens_of(given), given[-1]) == (CONTEXT - (CONTEXT - 4) // 2, said("user", "And?"))
    assert engine.runtimes[0].looks < 20


def test_a_prompt_that_must_not_be_cut_is_an_error() -> None:
    for count in (18, 100_000):
        with pytest.raises(EngineFailed, match=f"longer than the context of {CONTEXT} tokens") as failed:
            _Engine().ask(conversation(count), truncates=False)
        assert failed.value.status == 400


def test_a_client_that_leaves_while_its_conversation_is_cut_frees_the_model() -> None:
    engine = _Engine()
    engine.load(CONTEXT)
    runtime = engine.runtimes[0]
    outcome = engine.answer(Job(conversation(200), context=CONTEXT), lambda _: None, lambda: runtime.counted > 0)
    assert (outcome.reason, len(runtime.asked), runtime.counted < 200) == ("gone", 1, True)


def test_the_model_is_loaded_anew_for_another_context_alone() -> None:
    engine = _Engine()
    sizes = []
    for asked in (None, 4096, 256, 200, 1000, 1024, 99_999):
        engine.load(asked)
        sizes.append(engine.context)
    assert sizes == [1024, 1024, 256, 256, 1024, 1024, 1024], "up to its own"
    assert [runtime.context for runtime in engine.runtimes] == [1024, 256, 1024]
    engine.unload()
    assert engine.context is None


def test_the_end_does_not_wait_for_what_cannot_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, begun, ended = _Engine(), threading.Event(), threading.Event()
    engine.load(CONTEXT)

    def busy(*_: object) -> None:
        begun.set()
        ended.wait(DEADLINE_S)

    monkeypatch.setattr(engine.runtimes[0], "chat", busy)
    job = Job(conversation(1), context=CONTEXT)
    asking = threading.Thread(target=engine.answer, args=(job, lambda _: None, lambda: False))
    asking.start()
    assert begun.wait(DEADLINE_S)
    closing = threading.Thread(target=engine.close, args=(0.01,))
    closing.start()
    closing.join(DEADLINE_S)
    is_closed = not closing.is_alive()
    ended.set()
    asking.join(DEADLINE_S)
    assert is_closed
    engine.close()
