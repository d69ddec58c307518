"""What models can is asked in the background, one round at a time, and seldom."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from clawgate.errors import UpstreamFailure
from clawgate.ollama.abilities import (
    APART_S,
    KEPT_S,
    MAX_ASKING,
    MAX_MODELS,
    UNKNOWN,
    UNKNOWN_S,
    Abilities,
    KnownAbilities,
    abilities_in,
)
from clawgate.ollama.finding import Finding, Unreached, Unusable
from tests.support.tools import DEADLINE_S, wait_for

SEES = {"capabilities": ["completion", "vision"]}
THINKS = {"capabilities": ["completion", "thinking"]}
NOT_THERE = Unusable(Finding("unwell", "status 404"))
AWAY = Unreached(Finding("refused"))


class Ollama:
    """A client that answers `/api/show` from a dict, by the model's name."""

    endpoint = "http://127.0.0.1:1"

    def __init__(self, **answers: object) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    def ask(self, path: str, timeout_s: float, json: Any) -> Any:
        assert (path, timeout_s) == ("/api/show", 2.0)
        self.asked.append(json["model"])
        assert self.may_answer.wait(DEADLINE_S)
        answer = self.answers[json["model"]]
        if isinstance(answer, UpstreamFailure):
            raise answer
        return answer


def known(ollama: Ollama, *models: str) -> KnownAbilities:
    return KnownAbilities(ollama, models or tuple(ollama.answers), ollama.clock)  # type: ignore[arg-type]


def settle(abilities: KnownAbilities) -> dict[str, Abilities]:
    """Begin a round where one is due, and return what is known once it is over."""
    abilities.all()
    wait_for(lambda: not abilities._is_asking, "the round is over")
    return abilities.all()


@pytest.mark.parametrize(
    ("shown", "can"),
    [
        (SEES, Abilities(thinking=False, vision=True)),
        (THINKS, Abilities(thinking=True, vision=False)),
        ({"capabilities": []}, Abilities(thinking=False, vision=False)),
        ({}, UNKNOWN),
        ({"capabilities": "vision"}, UNKNOWN),
        ({"capabilities": None}, UNKNOWN),
        ([], UNKNOWN),
    ],
)
def test_a_description_is_read(shown: object, can: Abilities) -> None:
    assert abilities_in(shown) == can


def test_nobody_waits_and_one_round_is_on_its_way() -> None:
    ollama = Ollama(a=SEES, b=THINKS)
    ollama.may_answer.clear()
    abilities = known(ollama, "a", "b", "a")
    for _ in range(9):
        assert abilities.all() == {"a": UNKNOWN, "b": UNKNOWN}
    ollama.now += KEPT_S
    assert abilities.of("a") == abilities.of("a stranger") == UNKNOWN
    ollama.may_answer.set()
    wait_for(lambda: ollama.asked == ["a", "b"] and not abilities._is_asking, "both were asked once")
    assert abilities.all() == {"a": Abilities(thinking=False, vision=True), "b": Abilities(thinking=True, vision=False)}


def test_what_is_known_lasts_a_minute_and_what_is_not_ten_seconds() -> None:
    ollama = Ollama(a=SEES, b=NOT_THERE)
    abilities = known(ollama)
    assert settle(abilities)["b"] == UNKNOWN
    ollama.now += UNKNOWN_S - 0.1
    settle(abilities)
    assert ollama.asked == ["a", "b"]
    ollama.answers["b"] = THINKS
    ollama.now += 0.1
    assert settle(abilities)["b"] == Abilities(thinking=True, vision=False)
    assert ollama.asked == ["a", "b", "b"]
    ollama.answers["a"] = THINKS
    ollama.now += KEPT_S - UNKNOWN_S
    assert settle(abilities)["a"] == Abilities(thinking=True, vision=False)


def test_an_ollama_that_is_away_ends_the_round_and_takes_nothing_back() -> None:
    ollama = Ollama(a=SEES, b=AWAY, c=THINKS)
    abilities = known(ollama)
    assert settle(abilities) == {"a": Abilities(thinking=False, vision=True), "b": UNKNOWN, "c": UNKNOWN}
    ollama.now += APART_S - 0.1
    settle(abilities)
    assert ollama.asked == ["a", "b"]
    ollama.now += 0.1
    assert settle(abilities)["c"] == Abilities(thinking=True, vision=False), "one that gets no answer holds up no other"
    ollama.answers["a"] = AWAY
    ollama.now += KEPT_S
    assert settle(abilities)["a"] == Abilities(thinking=False, vision=True)


def test_who_has_to_know_waits_for_what_is_not_known_or_old() -> None:
    ollama = Ollama(**{"a": SEES, "b:latest": THINKS, "c": NOT_THERE, "d": AWAY})
    abilities = known(ollama)
    for _ in range(2):
        assert abilities.asked("a") == abilities.asked("a:latest") == Abilities(thinking=False, vision=True)
        assert abilities.asked("b") == abilities.asked("B") == Abilities(thinking=True, vision=False)
        assert abilities.asked("c") == abilities.asked("d") == abilities.asked("another") == UNKNOWN
    assert ollama.asked == ["a", "b:latest", "c", "d"]
    ollama.answers["a"], ollama.now = THINKS, KEPT_S
    assert abilities.asked("a").thinking is True
    ollama.answers["a"], ollama.now = AWAY, 2 * KEPT_S
    assert abilities.asked("a").thinking is True, "what is known stays while Ollama is away"


def test_few_wait_for_an_ollama_that_says_nothing() -> None:
    ollama = Ollama(a=THINKS)
    ollama.may_answer.clear()
    abilities = known(ollama)
    waiting = [threading.Thread(target=abilities.asked, args=("a",)) for _ in range(MAX_ASKING)]
    for thread in waiting:
        thread.start()
    wait_for(lambda: len(ollama.asked) == MAX_ASKING, "as many ask as may")
    assert abilities.asked("a") == UNKNOWN, "the next one goes on at once"
    ollama.may_answer.set()
    for thread in waiting:
        thread.join(DEADLINE_S)
    assert abilities.asked("a").thinking is True


def test_a_bounded_number_of_models_is_asked_for() -> None:
    ollama = Ollama(**{f"m{number}": SEES for number in range(MAX_MODELS + 1)})
    told = settle(known(ollama))
    assert len(ollama.asked) == MAX_MODELS
    assert told[f"m{MAX_MODELS}"] == UNKNOWN
