"""The embedded model's answers on their way: pieces, limits, swallowed whitespace, frames."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clawgate.embedded import frames
from clawgate.embedded.job import Outcome
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


def test_answer_that_says_one_piece_over_and_over_ends() -> None:
    stream, said = collect()
    assert feed(stream, "a", *["b", " b"] * 50)
    assert (len(said), stream.reason) == (1 + 1 + 31, "length")
    other, _ = collect()
    assert not feed(other, *["a", "b"] * 50)


def test_answer_that_is_not_to_shift_ends_with_the_context() -> None:
    stream, said = collect(window=10)
    stream({"choices": [{"delta": {}}], "timings": {"cache_n": 4, "prompt_n": 2, "predicted_n": 0}})
    for count in range(1, 9):
        timings = {"cache_n": 4, "prompt_n": 2, "predicted_n": count}
        if stream({"choices": [{"delta": {"content": str(count)}}], "timings": timings}):
            break
    assert (said, stream.reason) == (["1", "2", "3"], "length")


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
