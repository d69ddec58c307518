"""The crew: which of several workers leaves a new connection to another."""

from __future__ import annotations

import time

import pytest

from clawgate.server.crew import LEAVING, STALE_S, Crew

OWN, OTHER = 0, 1


@pytest.fixture
def crew() -> Crew:
    """A crew of three, of which the last has not come yet."""
    return Crew(3)


def tell(crew: Crew, own: int, other: int) -> None:
    for place, load in ((OTHER, other), (OWN, own)):
        crew.join(place)
        crew.tell(load)


@pytest.mark.parametrize(
    ("own", "other", "is_outdone"),
    [(0, 0, False), (3, 3, False), (2, 3, False), (3, 2, True), (LEAVING, 9, True), (LEAVING, LEAVING, False)],
)
def test_the_one_with_less_to_do_comes_first(crew: Crew, own: int, other: int, is_outdone: bool) -> None:
    tell(crew, own, other)
    assert crew.is_outdone() is is_outdone


def test_a_worker_that_has_ended_or_hangs_counts_for_nothing(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    tell(crew, 2, 1)
    crew.clear(OTHER)
    assert not crew.is_outdone()
    tell(crew, 2, 1)
    assert crew.is_outdone()
    later = time.monotonic() + STALE_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not crew.is_outdone()
