"""Sessions in memory: bounded, deleted in order of last use, owned by one run at a time."""

from __future__ import annotations

import random
import threading
import time
import tracemalloc
from collections.abc import Callable
from unittest.mock import ANY

import msgspec
import pytest
from msgspec import Raw

from clawgate.errors import TooLarge
from clawgate.sessions import Bounds, Dropped, MemoryStore, Message, size_of, trimmed
from clawgate.sessions.message import Role

ASK = (Message(role="user", content="q"),)
ANSWER = Message(role="assistant", content="a")


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def store_of(max_sessions: int = 100, ttl_s: float = 1e9, max_context_bytes: int = 1 << 20) -> MemoryStore:
    """A store on the real clocks."""
    return MemoryStore(Bounds(max_sessions, ttl_s, max_context_bytes))


def talk(store: MemoryStore, session_id: str) -> None:
    """One whole question and answer."""
    store.begin(session_id, f"run-{session_id}", ASK)
    assert store.settle(session_id, f"run-{session_id}", ANSWER)


def known(store: MemoryStore, *session_ids: str) -> set[str]:
    """Return the ids that exist; each look counts as a use."""
    return {session_id for session_id in session_ids if store.get(session_id) is not None}


def test_a_session_is_what_was_said() -> None:
    wall = Clock(1000.0)
    store = MemoryStore(Bounds(100, 60, 1 << 20), Clock(0.0), wall)
    begun = store.begin("s", "r1", ASK)
    assert (begun.messages, begun.run_id, begun.created_at, begun.last_active) == (ASK, "r1", 1000.0, 1000.0)
    wall.now = 1001.0
    assert store.settle("s", "r1", ANSWER)
    wall.now = 1002.0
    session = store.get("s")
    assert session is not None
    assert (session.messages, session.run_id, session.created_at) == ((*ASK, ANSWER), None, 1000.0)
    assert session.last_active == 1002.0
    wall.now = 1003.0
    again = store.begin("s", "r2", (*session.messages, *ASK))
    assert (again.created_at, again.last_active, len(again.messages)) == (1000.0, 1003.0, 3)


def test_what_is_kept_and_what_was_lost_is_counted() -> None:
    clock = Clock(0.0)
    store = MemoryStore(Bounds(max_sessions=2, ttl_s=60, max_context_bytes=2000), clock)
    for session_id in "abc":
        talk(store, session_id)
    store.begin("d", "run-d", ASK)
    counts = store.counts()
    assert (counts.idle, counts.in_flight, counts.evicted, counts.expired) == (2, 1, 1, 0)
    assert counts.text_bytes == store._idle_bytes > 0
    clock.now = 61.0
    counts = store.counts()
    assert (counts.idle, counts.in_flight, counts.evicted, counts.expired) == (0, 1, 1, 2)
    assert (counts.text_bytes, counts.image_bytes, counts.trimmed) == (0, 0, Dropped())
    question = Message(role="user", content="q" * 800)
    begun = store.begin("e", "run-e", (question, ANSWER) * 3 + ASK)
    store.settle("e", "run-e", Message(role="assistant", content="a" * 800))
    settled = store.get("e")
    assert settled is not None
    assert (begun.dropped, settled.dropped) == (Dropped(turns=1), Dropped(turns=1))
    assert store.counts().trimmed == Dropped(turns=2)
    store.delete("e")
    assert store.counts() == (0, 1, 0, 0, 1, 2, Dropped(turns=2))


def test_the_least_recently_used_goes_first() -> None:
    store = store_of(3)
    for session_id in "abc":
        talk(store, session_id)
    assert known(store, "a") == {"a"}
    talk(store, "b")
    talk(store, "d")
    assert known(store, "a", "b", "c", "d") == {"a", "b", "d"}
    talk(store, "e")
    assert known(store, "a", "b", "d", "e") == {"b", "d", "e"}
    assert len(store) == 3


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
    assert len(store) == 1
    assert known(store, "used") == {"used"}
    clock.now = 179.8
    assert known(store, "used") == set()
    assert len(store) == 0


@pytest.mark.parametrize("way", ["begin", "delete"])
def test_an_expired_session_is_new_to_every_way_in(way: str) -> None:
    clock, wall = Clock(0.0), Clock(5.0)
    store = MemoryStore(Bounds(100, 60, 1 << 20), clock, wall)
    talk(store, "s")
    clock.now, wall.now = 60.0, 65.0
    if way == "begin":
        assert store.begin("s", "r", ASK).created_at == 65.0
    else:
        assert not store.delete("s")


def test_a_session_with_a_run_in_flight_is_never_forgotten() -> None:
    clock = Clock(0.0)
    store = MemoryStore(Bounds(2, 60, 1 << 20), clock)
    for session_id in "abc":
        store.begin(session_id, session_id, ASK)
    talk(store, "d")
    clock.now = 1e6
    talk(store, "e")
    assert len(store) == 4
    assert all(store.settle(session_id, session_id, ANSWER) for session_id in "abc")
    assert len(store) == 2
    assert known(store, *"abcde") == {"b", "c"}


def test_the_session_that_has_just_settled_stays_though_others_in_flight_take_all_places() -> None:
    store = store_of(1)
    for session_id in "abc":
        store.begin(session_id, session_id, ASK)
    assert store.settle("a", "a", ANSWER)
    assert known(store, "a", "b", "c") == {"a", "b", "c"}
    talk(store, "d")
    assert known(store, "a", "b", "c", "d") == {"b", "c", "d"}


def test_a_stale_run_writes_nothing() -> None:
    store = store_of()
    store.begin("s", "r1", ASK)
    store.begin("s", "r2", ASK)
    before = store.get("s")
    assert before is not None
    assert not store.settle("s", "r1", ANSWER)
    after = store.get("s")
    assert after is not None
    assert (after.messages, after.run_id) == (before.messages, "r2")
    assert store.settle("s", "r2", ANSWER)
    assert not store.settle("s", "r2", ANSWER)
    session = store.get("s")
    assert session is not None
    assert session.messages == (*ASK, ANSWER)


def test_a_run_of_a_deleted_session_writes_nothing() -> None:
    store = store_of()
    store.begin("s", "r", ASK)
    assert store.delete("s")
    assert not store.delete("s")
    assert not store.settle("s", "r", ANSWER)
    assert store.get("s") is None
    assert len(store) == 0
    store.begin("s", "r2", ASK)
    assert not store.settle("s", "r", ANSWER)


@pytest.mark.parametrize("text", ["x" * 3000, "x" * 549 + "\N{PARTY POPPER}"], ids=["ascii", "four bytes a character"])
def test_large_turns_cannot_fill_the_memory(text: str) -> None:
    """A turn that is too large to be trimmed away counts: ten sessions of 1,000 bytes are two of 3,000 and some."""
    store = store_of(10, max_context_bytes=1000)
    large = (Message(role="user", content=text),)
    store.begin("busy", "r", large)
    for session_id in "abcdef":
        store.begin(session_id, "r", large)
        assert store.settle(session_id, "r", ANSWER)
    assert known(store, "busy", *"abcdef") == {"busy", "d", "e", "f"}
    for session_id in ("busy", "d", "e", "f"):
        assert store.delete(session_id)
    for number in range(10):
        talk(store, f"s{number}")
    assert len(store) == 10, "what was forgotten is not counted any more"


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


@pytest.mark.parametrize("name", KINDS)
def test_a_message_of_any_kind_pushes_out_no_other_session(name: str) -> None:
    store = store_of(10)
    talk(store, "first")
    store.begin("second", "r", (KINDS[name](),))
    store.settle("second", "r", ANSWER)
    talk(store, "third")
    assert len(store) == 3


@pytest.mark.parametrize("role", ["system", "tool", "assistant"])
def test_no_role_lengthens_a_session_without_end(role: Role) -> None:
    """The messages that trimming never drops are bounded, too; a refusal leaves the session as it was."""
    store = MemoryStore(Bounds(10, 60, 1000, max_body_bytes=2000))
    session = store.begin("s", "r", ASK)
    more = Message(role=role, content="x" * 400)
    while session.size_bytes + size_of(more) <= 3000:
        store.check(session, [more])
        session = store.begin("s", "r", (*session.messages, more))
    with pytest.raises(TooLarge, match="system messages and the last turn"):
        store.check(session, [more])
    assert store.get("s") == msgspec.structs.replace(session, last_active=ANY)


def picture(size: int) -> Message:
    """A question about a picture that takes that much."""
    return Message(role="user", content="q", images=decoded(b'["%b"]' % (b"x" * (size - 4))))


def test_pictures_of_idle_sessions_are_bounded_together_and_apart_from_their_text() -> None:
    """A last turn's pictures are never trimmed: ten sessions of 1,000 bytes of them are two of 5,000."""
    store = MemoryStore(Bounds(10, 60, 1000, 1000))
    for session_id in "abc":
        store.begin(session_id, "r", (picture(5000),))
        assert store.settle(session_id, "r", ANSWER)
    assert known(store, *"abc") == {"b", "c"}
    for number in range(8):
        talk(store, f"s{number}")
    assert len(store) == 10, "pictures take no room of the texts"
    assert store.delete("b")
    talk(store, "more")
    store.begin("d", "r", (picture(5000),))
    assert store.settle("d", "r", ANSWER)
    assert known(store, *"bcd") == {"d"}, "the oldest went, for there are eleven"
    assert len(store) == 10


@pytest.mark.parametrize("role", ["system", "tool", "assistant"])
def test_no_role_gathers_pictures_without_end(role: Role) -> None:
    store = MemoryStore(Bounds(10, 60, 1 << 20, 1000, 2000))
    session = store.begin("s", "r", ASK)
    more = msgspec.structs.replace(picture(400), role=role)
    while session.image_bytes + more.image_bytes <= 3000:
        store.check(session, [more])
        session = store.begin("s", "r", (*session.messages, more))
    with pytest.raises(TooLarge, match="3000 of pictures"):
        store.check(session, [more])
    store.check(session, [Message(role=role, content="x" * 100_000)])


def test_the_largest_question_fits_onto_any_kept_session() -> None:
    store = MemoryStore(Bounds(10, 60, 1000, 1000, 2000))
    session = store.begin("s", "r", (picture(900), ANSWER, picture(2000)))
    assert (session.image_bytes, session.dropped) == (2000, Dropped(images=1))
    store.check(session, [picture(2000)])
    store.check(session, [Message(role="user", content="x" * 1900)])


def test_a_session_tells_once_what_it_has_lost() -> None:
    """The start event tells what `begin` took; what `settle` took is told by the next one."""
    store = MemoryStore(Bounds(10, 60, 200, 1000))
    long = Message(role="user", content="x" * 150)
    begun = store.begin("s", "r1", (long, ANSWER, long))
    assert (begun.dropped, begun.untold) == (Dropped(turns=1), Dropped())
    assert store.settle("s", "r1", ANSWER)
    settled = store.get("s")
    assert settled is not None
    assert (settled.dropped, settled.untold) == (Dropped(), Dropped())
    begun = store.begin("s", "r2", (*ASK, ANSWER, *ASK))
    assert (begun.dropped, begun.untold) == (Dropped(), Dropped())
    assert store.settle("s", "r2", Message(role="assistant", content="y" * 150))
    settled = store.get("s")
    assert settled is not None
    assert settled.untold == Dropped(turns=1)


def test_answers_in_flight_push_out_no_idle_session() -> None:
    store = store_of(3, max_context_bytes=1000)
    for session_id in "abc":
        talk(store, session_id)
    for number in range(20):
        store.begin(f"busy{number}", "r", (Message(role="user", content="x" * 300),))
    assert known(store, *"abc") == set("abc")
    assert len(store) == 23
    for number in range(20):
        assert store.settle(f"busy{number}", "r", ANSWER)
    assert len(store) == 3


def test_what_is_stored_is_trimmed_at_begin_and_at_settle() -> None:
    store = store_of(max_context_bytes=200)
    long = Message(role="user", content="x" * 190)
    assert store.begin("s", "r", (long, ANSWER, *ASK)).messages == ASK
    assert store.begin("s", "r", (*ASK, ANSWER, *ASK)).messages == (*ASK, ANSWER, *ASK)
    answer = Message(role="assistant", content="y" * 190)
    store.settle("s", "r", answer)
    session = store.get("s")
    assert session is not None
    assert session.messages == (*ASK, answer)


def test_20_000_sessions_stay_within_the_limit_and_cost_little() -> None:
    store = store_of(100)
    store.begin("busy", "r", ASK)
    began = time.process_time()
    for number in range(20_000):
        session_id = f"s{number}"
        store.begin(session_id, "r", ASK)
        store.settle(session_id, "r", ANSWER)
    each_s = (time.process_time() - began) / 20_000
    assert len(store) == 101
    assert known(store, "busy", "s19999", "s0") == {"busy", "s19999"}
    assert each_s < 0.001


def test_many_threads_leave_the_store_whole() -> None:
    store = MemoryStore(Bounds(5, 1e9, 1 << 20))
    won_twice: list[str] = []
    ids = [f"s{number}" for number in range(8)]

    def hammer(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(150):
            session_id, run_id = chance.choice(ids), f"r{seed}-{number}"
            store.begin(session_id, run_id, ASK)
            if chance.random() < 0.3:
                store.get(chance.choice(ids))
            if chance.random() < 0.2:
                store.delete(session_id)
            if store.settle(session_id, run_id, ANSWER) and store.settle(session_id, run_id, ANSWER):
                won_twice.append(run_id)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not won_twice
    left = [session for session in map(store.get, ids) if session is not None]
    assert len(left) == len(store) > 0
    for session in left:
        assert session.messages == (ASK if session.run_id else (*ASK, ANSWER))
        assert store.delete(session.session_id)
    assert len(store) == 0
    for number in range(50):
        talk(store, f"t{number}")
    assert len(store) == 5
