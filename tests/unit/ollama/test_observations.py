"""The figures of each model: the time that a request stays open, and prompts that were given up."""

from __future__ import annotations

import pytest

from clawgate.ollama.client import OllamaClient
from clawgate.ollama.observations import EVALUATED_S, KEPT, MARGIN, MAX_FLOOR_S, MAX_MODELS, READ_S, Observations


@pytest.mark.parametrize(
    ("loads_s", "expected"),
    [
        ([], MAX_FLOOR_S),
        ([0.033], MARGIN * 0.033 + READ_S),
        ([0.094, 0.033, 0.05], MARGIN * 0.094 + READ_S),
        ([20.0], MAX_FLOOR_S),
        ([20.0, 0.033], MARGIN * 0.033 + READ_S),
        ([0.033, 20.0, 600.0], MARGIN * 0.033 + READ_S),
        ([0.45], MAX_FLOOR_S),
        ([-1.0, float("nan")], MAX_FLOOR_S),
        ([0.3, *[0.01] * KEPT], MARGIN * 0.01 + READ_S),
    ],
    ids=["none", "one", "longest", "just loaded", "then warm", "loaded anew", "slow", "no figure", "long ago"],
)
def test_a_request_stays_open_a_little_longer_than_the_models_own_time(loads_s: list[float], expected: float) -> None:
    observations = Observations()
    for load_s in loads_s:
        observations.note_load("m", load_s)
    assert observations.floor_s("m") == pytest.approx(expected)
    assert observations.floor_s("another") == MAX_FLOOR_S


def test_the_time_is_taken_from_the_figures_of_an_answer() -> None:
    client = OllamaClient("http://127.0.0.1:9")
    client.note_load("m", None)
    assert client.chat({"model": "m", "messages": []})._floor_s == MAX_FLOOR_S
    client.note_load("m", 94_000_000)
    assert client.chat({"model": "m", "messages": []})._floor_s == pytest.approx(0.151)


def test_a_prompt_is_given_up_until_the_model_says_something() -> None:
    observations = Observations()
    assert not observations.has_given_up("m", 0.5)
    observations.note_frame("m", 1.0)
    observations.note_given_up("m", 2.0)
    assert observations.has_given_up("m", 2.1)
    assert not observations.has_given_up("another", 2.1)
    observations.note_frame("m", 2.5)
    assert not observations.has_given_up("m", 2.6)
    assert (observations.has_answered_since("m", 2.5), observations.has_answered_since("m", 2.6)) == (True, False)


def test_a_prompt_that_was_given_up_long_ago_is_evaluated_by_now() -> None:
    """Another client of Ollama's may have had its answer since, and nothing tells of that."""
    observations = Observations()
    observations.note_given_up("m", 2.0)
    assert observations.has_given_up("m", 1.9 + EVALUATED_S)
    assert not observations.has_given_up("m", 2.1 + EVALUATED_S)


def test_models_without_number_are_not_remembered() -> None:
    observations = Observations()
    for number in range(3 * MAX_MODELS):
        observations.note_load(f"m{number}", 0.1)
    assert len(observations._models) == MAX_MODELS
    assert observations.floor_s(f"m{3 * MAX_MODELS - 1}") < MAX_FLOOR_S
