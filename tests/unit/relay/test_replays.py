"""The logs that are kept for readers that come late: which, how many, how long."""

from __future__ import annotations

from clawgate.relay.events import Ended, Started, Text
from clawgate.relay.log import Log
from clawgate.relay.replays import Keeping, Replays


def log_of(session_id: str, run_id: str, text: str = "a") -> Log:
    log = Log(Started(session_id, run_id, "m"), 1 << 20)
    log.append(Text(text))
    log.append(Ended(session_id, run_id, "stop"))
    return log


def test_a_sessions_last_log_is_kept_and_found_by_both_ids() -> None:
    replays = Replays(Keeping(), lambda _: True)
    first, second = log_of("s", "r1"), log_of("s", "r2")
    replays.keep(first)
    assert (replays.of_session("s"), replays.of_run("r1")) == (first, first)
    replays.keep(second)
    assert (replays.of_session("s"), replays.of_run("r1"), replays.of_run("r2")) == (second, None, second)
    replays.drop("s")
    replays.drop("s")
    assert (replays.of_session("s"), replays.of_run("r2")) == (None, None)


def test_there_are_no_more_than_sessions() -> None:
    replays = Replays(Keeping(3, 1 << 20), lambda _: True)
    for number in range(10):
        replays.keep(log_of(f"s{number}", f"r{number}"))
    assert [number for number in range(10) if replays.of_session(f"s{number}")] == [7, 8, 9]
    assert [number for number in range(10) if replays.of_run(f"r{number}")] == [7, 8, 9]


def test_those_of_forgotten_sessions_make_room_for_the_others() -> None:
    """The session whose answer is the oldest may be in use all the time."""
    known = {f"s{number}" for number in range(10)}
    replays = Replays(Keeping(3, 1 << 20), known.__contains__)
    for number in range(4):
        replays.keep(log_of(f"s{number}", f"r{number}"))
        known.discard("s2")
    assert [number for number in range(4) if replays.of_session(f"s{number}")] == [0, 1, 3]
    assert replays.of_run("r2") is None


def test_together_they_take_no_more_than_all_may() -> None:
    replays = Replays(Keeping(10, 1000), lambda _: True)
    for number in range(10):
        replays.keep(log_of(f"s{number}", f"r{number}", "x" * 2000))
    assert [number for number in range(10) if replays.of_session(f"s{number}")] == [6, 7, 8, 9]
    replays.keep(log_of("s", "r", "x" * 100_000))
    assert replays.of_session("s") is not None, "the last is always kept"
    assert replays.of_session("s9") is None


def test_other_bounds_count_from_the_next_end_on() -> None:
    replays = Replays(Keeping(3, 1 << 20), lambda _: True)
    for number in range(3):
        replays.keep(log_of(f"s{number}", f"r{number}"))
    replays.reconfigure(Keeping(1, 1 << 20))
    replays.keep(log_of("s", "r"))
    assert [replays.of_session(name) is not None for name in ("s0", "s1", "s2", "s")] == [False, False, False, True]


def test_those_of_forgotten_sessions_go_with_the_next_ends() -> None:
    known = {f"s{number}" for number in range(20)}
    replays = Replays(Keeping(), known.__contains__)
    for number in range(10):
        replays.keep(log_of(f"s{number}", f"r{number}"))
    known -= {f"s{number}" for number in range(10)}
    for number in range(10, 15):
        replays.keep(log_of(f"s{number}", f"r{number}"))
    assert [number for number in range(20) if replays.of_session(f"s{number}")] == [10, 11, 12, 13, 14]
