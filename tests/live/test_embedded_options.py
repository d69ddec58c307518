"""The embedded server obeys the options of a request, with the real small model behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.client import get, post
from tests.support.embedded import Embedded

GREEDY = {"temperature": 0, "num_predict": 12}
QUESTION = [{"role": "user", "content": "Name three sights in Beijing."}]
SMALL = 256


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """One process for all."""
    with Embedded() as started:
        yield started


def text_of(frames: list[dict[str, Any]]) -> str:
    """The text of an answer."""
    return "".join(frame["message"]["content"] for frame in frames[:-1])


def context_of(embedded: Embedded) -> Any:
    """The size of the context with which the model is loaded."""
    return get(embedded.base_url, "/api/ps").json["models"][0]["context_length"]


def test_stop_words_end_an_answer_and_are_not_sent(embedded: Embedded) -> None:
    pieces = embedded.answer(QUESTION, GREEDY)
    at = next(index for index in range(3, len(pieces)) if len(pieces[index]) > 2 and len(pieces[index + 1]) > 2)
    stop = pieces[at][-2:] + pieces[at + 1][:2]  # across two tokens
    whole = "".join(pieces)
    frames = embedded.frames(QUESTION, {**GREEDY, "stop": ["never said", stop]})
    assert (text_of(frames), frames[-1]["done_reason"]) == (whole[: whole.index(stop)], "stop")


def test_penalties_may_look_at_the_whole_context(embedded: Embedded) -> None:
    for asked in (-1, 2_000_000_000):  # as a number of tokens that would be 8 GB
        assert len(embedded.frames(QUESTION, {"num_predict": 1, "repeat_last_n": asked})) == 2


def test_the_same_seed_makes_the_same_answer(embedded: Embedded) -> None:
    def ask(seed: int) -> str:
        embedded.answer([{"role": "user", "content": "Hi"}], {"num_predict": 1})  # something else in between
        return "".join(embedded.answer(QUESTION, {"temperature": 1.5, "seed": seed, "num_predict": 12}))

    assert ask(7) == ask(7)
    assert len({ask(seed) for seed in (7, 8, 9)}) > 1


def test_another_context_loads_the_model_anew(embedded: Embedded) -> None:
    for asked, size in ((SMALL, SMALL), (1000, 1024), (100_000, 8192), (None, 4096)):
        frames = embedded.frames(QUESTION, {"num_predict": 1, "num_ctx": asked})
        assert (context_of(embedded), len(frames)) == (size, 2)
    options = {"num_ctx": SMALL}
    assert post(embedded.base_url, "/api/generate", {"model": embedded.model, "options": options}).status == 200
    assert context_of(embedded) == SMALL, "a request to load it has options too"


def test_a_conversation_that_is_too_long_is_cut(embedded: Embedded) -> None:
    talk = [{"role": "user", "content": f"Remember the number {number}, please."} for number in range(300)]
    for number in range(1, 300, 2):
        talk[number]["role"] = "assistant"
    system = {"role": "system", "content": "Be brief."}
    options = {**GREEDY, "num_ctx": SMALL}
    end = embedded.frames([system, *talk, QUESTION[0]], options)[-1]
    assert SMALL - 20 < end["prompt_eval_count"] < SMALL
    huge = {"role": "user", "content": "天地玄黄，宇宙洪荒。😀 " * 20_000 + "What is 2+2?"}
    end = embedded.frames([system, huge], options)[-1]
    assert SMALL / 2 - 8 < end["prompt_eval_count"] <= SMALL / 2 + 2
    refused = post(
        embedded.base_url,
        "/api/chat",
        {"model": embedded.model, "messages": talk, "options": options, "truncate": False},
    )
    assert (refused.status, "context of 256 tokens" in refused.json["error"]) == (400, True)


def test_an_answer_that_fills_the_context_shifts_it_or_ends(embedded: Embedded) -> None:
    story = [{"role": "user", "content": "Go on with this story: " + "the fox ran and ran, " * 32}]
    options = {"temperature": 0, "num_predict": 40, "num_ctx": SMALL, "repeat_penalty": 1.5}
    shifted = embedded.frames(story, options)[-1]
    assert SMALL - 40 < shifted["prompt_eval_count"] < SMALL - 4
    assert shifted["eval_count"] == 40
    assert shifted["prompt_eval_count"] + shifted["eval_count"] > SMALL
    ended = embedded.frames(story, options, shift=False)[-1]
    assert ended["done_reason"] == "length"
    assert ended["prompt_eval_count"] + ended["eval_count"] == SMALL - 1
