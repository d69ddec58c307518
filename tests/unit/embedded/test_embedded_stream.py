"""The embedded model's answers on their way: pieces, limits, swallowed whitespace, frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clawgate.embedded import frames
from clawgate.embedded.engine import Engine, EngineFailed, Job, Outcome, without_oldest
from clawgate.embedded.stream import AnswerStream, split_partial


def feed(stream: AnswerStream, *texts: str, end: str | None = "stop") -> bool:
    """Report pieces of text as the engine does, then the end; true where the stream stopped it."""
    for count, text in enumerate(texts, 1):
        chunk = {"choices": [{"delta": {"content": text}}], "timings": {"predicted_n": count}}
        if stream(chunk):
            return True
    return bool(end and stream({"choices": [{"delta": {}, "finish_reason": end}]}))


def collect(**options: Any) -> tuple[AnswerStream, list[str]]:
    """A stream, and the texts that it hands on."""
    said: list[str] = []
    return AnswerStream(said.append, lambda: False, **options), said


def test_text_is_handed_on_as_it_comes() -> None:
    stream, said = collect()
    assert not feed(stream, "Bon", "jour", end="length")
    assert (said, stream.reason, stream.eval_count) == (["Bon", "jour"], "length", 2)


@pytest.mark.parametrize("again", [("\n", "\n"), ("\n\n",)])
def test_held_whitespace_is_swallowed(again: tuple[str, ...]) -> None:
    stream, said = collect(held="\n\n", limit=2)
    assert feed(stream, *again, "This", " is", " more")
    assert (said, stream.reason, stream.eval_count) == (["This", " is"], "length", 2)


def test_rest_of_a_piece_beyond_the_held_whitespace_is_said() -> None:
    stream, said = collect(held=" ")
    feed(stream, " word")
    assert (said, stream.is_astray) == (["word"], False)


@pytest.mark.parametrize("texts", [("1",), ("\n", " x"), ("\n",), ()])
def test_answer_that_does_not_repeat_the_held_whitespace_is_astray(texts: tuple[str, ...]) -> None:
    stream, said = collect(held="\n\n")
    feed(stream, *texts)
    assert stream.is_astray
    assert said == []


def test_client_that_is_gone_stops_the_engine() -> None:
    stream = AnswerStream(pytest.fail, lambda: True)
    assert feed(stream, "Bon")
    assert stream.reason == "gone"


def test_failure_of_the_receiver_stops_the_engine_and_is_kept() -> None:
    def fail(_: str) -> None:
        raise BrokenPipeError

    stream = AnswerStream(fail, lambda: False)
    assert feed(stream, "Bon")
    assert isinstance(stream.failure, BrokenPipeError)


def test_error_of_the_engine_stops_it_and_is_kept() -> None:
    stream, _ = collect()
    assert stream({"error": {"code": 400, "message": "no"}})
    assert stream.error == {"code": 400, "message": "no"}


@pytest.mark.parametrize(
    ("partial", "parts"), [("a b", ("a b", "")), ("a \n\n", ("a", " \n\n")), ("\n", ("", "\n")), ("", ("", ""))]
)
def test_partial_answer_is_split_before_its_last_whitespace(partial: str, parts: tuple[str, str]) -> None:
    assert split_partial(partial) == parts


def test_oldest_message_goes_first_and_system_and_last_stay() -> None:
    system, old, new = ({"role": role, "content": "…"} for role in ("system", "user", "assistant"))
    assert without_oldest([system, old, new]) == [system, new]
    with pytest.raises(EngineFailed, match="longer than the context"):
        without_oldest([system, new])


class _Narrow(Engine):
    """An engine without a model: each character of a conversation is a token, and its context has 100."""

    def __init__(self) -> None:
        super().__init__(Path("none.gguf"), threads=1)
        self.tried: list[list[str]] = []

    def _ensure_loaded(self) -> None:
        pass

    def _run(self, job: Job, messages: list[dict[str, str]], limit: int | None, stream: AnswerStream) -> None:
        del job, limit
        self.tried.append([message["content"] for message in messages])
        tokens = sum(map(len, self.tried[-1]))
        over = {"type": "exceed_context_size_error", "n_prompt_tokens": tokens, "n_ctx": 100}
        stream({"error": over} if tokens > 100 else {"choices": [{"delta": {}, "finish_reason": "stop"}]})


def conversation(count: int) -> Job:
    """A conversation of that many messages of 10 characters."""
    return Job([{"role": "user", "content": f"{number:010}"} for number in range(count)])


def test_a_long_conversation_is_cut_to_what_fits_in_few_tries() -> None:
    engine = _Narrow()
    assert engine.answer(conversation(800), lambda _: None, lambda: False).reason == "stop"
    assert engine.tried[-1] == [f"{number:010}" for number in range(790, 800)], "no more is left out than must be"
    assert len(engine.tried) < 20


def test_a_client_that_leaves_while_its_conversation_is_cut_frees_the_model() -> None:
    engine = _Narrow()
    assert engine.answer(conversation(800), lambda _: None, lambda: len(engine.tried) > 1).reason == "gone"
    assert len(engine.tried) == 2


def test_frames_escape_what_go_escapes() -> None:
    text = "<a> & \u2028\u2029 é 春"
    encoded = frames.encode({"content": text})
    assert encoded == '{"content":"\\u003ca\\u003e \\u0026 \\u2028\\u2029 é 春"}'.encode()
    assert json.loads(encoded)["content"] == text


def test_last_frame_carries_ollamas_counts() -> None:
    last = frames.last_frame("m", Outcome("stop", 1, 2, 3, 4, 5), 6, frames.message(""))
    assert last["message"] == {"role": "assistant", "content": ""}
    names = ("total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count")
    assert [last[name] for name in names] == [6, 1, 2, 3, 4]
    assert len(last["created_at"]) == len("2025-01-01T00:00:00.123456789Z")
