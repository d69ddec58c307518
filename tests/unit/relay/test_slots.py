"""Slots: those of one process, and those that the workers of one master share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clawgate.errors import Busy
from clawgate.relay.roster import Roster
from clawgate.relay.slots import OwnSlots, SharedSlots, Slots
from tests.support.tools import DEADLINE_S, ROOT


@pytest.fixture(params=["own", "shared"])
def slots(request: pytest.FixtureRequest) -> Slots:
    """Four slots of either kind."""
    return OwnSlots(4) if request.param == "own" else SharedSlots(2, 2)


def test_there_are_as_many_as_the_limit_says(slots: Slots) -> None:
    assert (slots.limit, slots.taken) == (4, 0)
    assert [slots.take() for _ in range(5)] == [True, True, True, True, False]
    slots.give_back(2)
    assert slots.taken == 2
    assert [slots.take() for _ in range(3)] == [True, True, False]


def test_one_beyond_the_limit_keeps_others_from_the_one_that_is_freed_for_it(slots: Slots) -> None:
    assert [slots.take() for _ in range(4)] == [True] * 4
    assert slots.take(is_beyond=True)
    assert slots.taken == 5
    slots.give_back()
    assert not slots.take()
    slots.give_back()
    assert slots.take()
    slots.give_back(4)
    assert slots.taken == 0
    assert [slots.take() for _ in range(5)] == [True] * 4 + [False]


def test_the_sum_holds_over_processes_that_take_give_back_and_are_killed() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.slot_workers", "1", "2", "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_count_of_a_worker_that_has_ended_is_cleared() -> None:
    slots = SharedSlots(2, 1)
    slots.join(1)
    assert slots.take()
    slots.clear(0)
    assert slots.taken == 1
    slots.clear(1)
    assert slots.taken == 0


def test_a_roster_is_busy_but_for_a_run_that_takes_another_ones_place(slots: Slots) -> None:
    roster = Roster(slots)
    for number in range(4):
        roster.take_slot(f"run_{number}", None)
    with pytest.raises(Busy, match="all 4 streams are taken"):
        roster.take_slot("run_4", None)
    roster.take_slot("run_4", None, is_beyond=True)
    assert (roster.streams, roster.max_streams) == (5, 4)
    for number in range(5):
        roster.give_slot_back(f"run_{number}")
    assert roster.streams == 0
