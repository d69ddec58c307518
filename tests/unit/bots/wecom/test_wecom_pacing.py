"""The frames of a chat: never more than WeCom allows, and ends of answers before updates."""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left

import pytest

from clawgate.bots.wecom.pacing import MAX_CHATS, NONE_FROM, SLOW_FROM, Pacing


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


def updates(pacing: Pacing, clock: Clock, seconds: float, chat: str = "c") -> list[float]:
    """Send each update as soon as it may come; return when."""
    sent, ends_at = [], clock.now + seconds
    while clock.now < ends_at:
        due_s = pacing.due_s(chat)
        if due_s is None:
            break
        if due_s:
            clock.now += due_s + 1e-6
        elif pacing.claim_update(chat):
            sent.append(clock.now)
    return sent


def most_within(times: list[float], window_s: float) -> int:
    """The most of them in any window."""
    return max(index - bisect_left(times, at - window_s) + 1 for index, at in enumerate(times))


def test_the_first_one_may_come_at_once(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    assert pacing.due_s("c") == 0.0
    assert pacing.claim_update("c")
    assert pacing.due_s("c") == pytest.approx(2.1)
    assert not pacing.claim_update("c")


def test_the_answers_of_a_chat_take_turns(clock: Clock) -> None:
    """Whichever of them is the quickest to ask."""
    pacing = Pacing(2.1, clock)
    shown: list[str] = []
    for _ in range(600):
        for answer in "abc" if clock.now < 1030 else "ab":
            if pacing.due_s("c", answer) == 0.0 and pacing.claim_update("c", answer):
                shown.append(answer)
        clock.now += 0.1
    assert "".join(shown[:12]) == "abc" * 4
    assert "".join(shown[-8:]) in ("ab" * 4, "ba" * 4), "one that does not come any more is not waited for"


def test_everybody_in_a_chat_shares_its_pace_and_no_other_chat_does(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    assert pacing.claim_update("c")
    assert not pacing.claim_update("c")
    assert pacing.claim_update("d")


@pytest.mark.parametrize("update_s", [0.5, 2.1, 5.0])
def test_no_minute_has_more_than_it_may(clock: Clock, update_s: float) -> None:
    sent = updates(Pacing(update_s, clock), clock, 300)
    assert most_within(sent, 60.0) <= 28
    pauses = [after - before for before, after in itertools.pairwise(sent)]
    assert min(pauses) >= update_s
    assert max(pauses) < max(6.0, update_s + 0.01), "a minute's rest is spread, and does not stop at once"


def test_an_hour_is_never_used_up_by_updates(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    sent = updates(pacing, clock, 3600)
    assert SLOW_FROM < len(sent) <= NONE_FROM
    pauses = [after - before for before, after in itertools.pairwise(sent)]
    assert max(pauses[:SLOW_FROM]) < 3
    assert pauses[-1] > 10


def test_updates_end_where_only_ends_may_still_come(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    for _ in range(NONE_FROM):
        clock.now += 2.1
        assert pacing.claim_last("c") == 0.0
    assert pacing.due_s("c") is None
    assert not pacing.claim_update("c")
    clock.now += 2.1
    assert pacing.claim_last("c") == 0.0
    clock.now += 3600 - 100 * 2.1
    assert pacing.due_s("c") == 0.0, "an hour later"


def test_the_end_of_an_answer_goes_before_updates(clock: Clock) -> None:
    pacing = Pacing(0.5, clock)
    assert pacing.claim_last("c") == 0.0
    wait_s = pacing.claim_last("c")
    assert 0 < wait_s <= 0.5
    clock.now += wait_s + 0.01
    assert not pacing.claim_update("c"), "an end waits, though an update would be due, too"
    assert pacing.claim_last("c") == 0.0
    clock.now += 0.51
    assert pacing.claim_update("c")


def test_ends_and_updates_together_keep_to_the_limits(clock: Clock) -> None:
    """A group of many people, for three hours."""
    pacing, chance, sent = Pacing(2.1, clock), random.Random(1), []
    while clock.now < 1000 + 3 * 3600:
        if chance.random() < 0.2:
            while wait_s := pacing.claim_last("c"):
                clock.now += wait_s
            sent.append(clock.now)
        elif pacing.claim_update("c"):
            sent.append(clock.now)
        clock.now += chance.uniform(0, 2)
    assert most_within(sent, 60.0) <= 30
    assert most_within(sent, 3600.0) <= 1000


def test_a_hold_stops_updates_alone(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    pacing.hold("c", 30)
    assert pacing.due_s("c") == 30
    assert pacing.claim_last("c") == 0.0


def test_an_end_that_is_too_much_holds_the_ends_of_its_chat_for_a_while(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    pacing.hold_ends("c")
    assert pacing.claim_last("c") == pytest.approx(4.2)
    assert pacing.claim_last("other") == 0.0
    clock.now += 4.3
    assert pacing.claim_last("c") == 0.0


def test_chats_are_bounded_and_the_latest_ones_are_kept(clock: Clock) -> None:
    pacing = Pacing(2.1, clock)
    assert pacing.claim_update("first")
    for number in range(MAX_CHATS):
        assert pacing.claim_update(f"chat {number}")
        assert not pacing.claim_update("first")
    assert len(pacing._chats) == MAX_CHATS
