"""Sessions in memory, beside what every store promises: what they take there, and the clocks."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from msgspec import Raw

from clawgate.sessions import Bounds, MemoryStore, Message, trimmed
from tests.support.stores import ANSWER, ASK, known, number_in, talk


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def store_of(max_sessions: int = 100, ttl_s: float = 1e9, max_context_bytes: int = 1 << 20) -> MemoryStore:
    """A store on the real clocks."""
    return MemoryStore(Bounds(max_sessions, ttl_s, max_context_bytes))


def test_a_session_is_forgotten_its_time_after_the_last_use_whatever_the_wall_clock_does() -> None:
    clock, wall = Clock(0.0), Clock(1e9)
    store = MemoryStore(Bounds(100, 60, 1 << 20), clock, wall)
    talk(store, "old")
    clock.now = 30
    talk(store, "used")
    wall.now = 0.0
    clock.now = 59.9
    assert known(store, "used") == {"used"}
    clock.now = 60
    assert known(store, "old") == set()
    wall.now = 1e12
    clock.now = 119.8
    assert number_in(store) == 1
    assert known(store, "used") == {"used"}
    clock.now = 179.8
    assert known(store, "used") == set()
    assert number_in(store) == 0


def test_a_session_with_a_run_in_flight_is_never_forgotten() -> None:
    clock = Clock(0.0)
    store = MemoryStore(Bounds(2, 60, 1 << 20), clock)
    for session_id in "abc":
        store.begin(session_id, session_id, ASK)
    talk(store, "d")
    clock.now = 1e6
    talk(store, "e")
    assert number_in(store) == 4
    assert all(store.settle(session_id, session_id, ANSWER) for session_id in "abc")
    assert number_in(store) == 2
    assert known(store, *"abcde") == {"b", "c"}


def test_the_text_of_idle_sessions_counts_as_the_memory_that_it_takes() -> None:
    store = store_of(10)
    talk(store, "s")
    assert store.counts().text_bytes == ASK[0].memory_bytes() + ANSWER.memory_bytes()


def test_a_text_with_four_bytes_a_character_counts_as_that() -> None:
    """550 characters take 2,200 bytes: ten sessions of 1,000 bytes are three of these."""
    store = store_of(10, max_context_bytes=1000)
    large = (Message(role="user", content="x" * 549 + "\N{PARTY POPPER}"),)
    for session_id in "abcdef":
        store.begin(session_id, "r", large)
        assert store.settle(session_id, "r", ANSWER)
    assert known(store, *"abcdef") == {"d", "e", "f"}


def test_many_tiny_messages_count_as_what_they_take() -> None:
    """A message of 28 bytes of JSON takes four times that in memory."""
    tiny = tuple(Message(role="user") for _ in range(35_000))
    store = store_of(10)
    tracemalloc.start()
    try:
        for number in range(4):
            store.begin(f"s{number}", "r", tuple(Message(role="user") for _ in range(35_000)))
            store.settle(f"s{number}", "r", ANSWER)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert trimmed(tiny, 1 << 20, 0).messages == tiny, "each alone is within its own bound"
    assert held < 1.5 * 10 * (1 << 20), "together they are within that of all"


KINDS: dict[str, Callable[[], Message]] = {
    "a short text": lambda: Message(role="user", content="".join(["x"] * 2000)),
    "a long text": lambda: Message(role="user", content=decoded(b'"%b"' % (b"x" * 2000))),
    "images": lambda: Message(role="user", images=decoded(b'["%b"]' % (b"x" * 2000))),
    "tool calls": lambda: Message(role="user", tool_calls=decoded(b'[{"x":"%b"}]' % (b"x" * 2000))),
}


def decoded(value: bytes) -> Raw:
    """A value as it is read from a body and kept."""
    return msgspec.json.decode(b'{"a":%b}' % value, type=dict[str, Raw])["a"].copy()


@pytest.mark.parametrize("name", KINDS)
def test_a_message_counts_as_what_it_takes(name: str) -> None:
    tracemalloc.start()
    try:
        messages = [KINDS[name]() for _ in range(100)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    counted = sum(message.memory_bytes() for message in messages)
    assert 0.8 * held < counted < 1.25 * held


def test_20_000_sessions_stay_within_the_limit_and_cost_little() -> None:
    store = store_of(100)
    store.begin("busy", "r", ASK)
    began = time.process_time()
    for number in range(20_000):
        session_id = f"s{number}"
        store.begin(session_id, "r", ASK)
        store.settle(session_id, "r", ANSWER)
    each_s = (time.process_time() - began) / 20_000
    assert number_in(store) == 101
    assert known(store, "busy", "s19999", "s0") == {"busy", "s19999"}
    assert each_s < 0.001
