"""What a store of sessions promises, in memory and in Redis: bounds, order of last use, one owner at a time."""

from __future__ import annotations

import random
import threading
from unittest.mock import ANY

import msgspec
import pytest
from msgspec import Raw

from clawgate.errors import TooLarge
from clawgate.sessions import NO_HEAD, Bounds, Dropped, Head, Message, Overtaken, Session, SessionStore, size_of
from clawgate.sessions.message import Role
from tests.support.stores import ANSWER, ASK, Room, known, number_in, talk


def store_of(room: Room, max_sessions: int = 100, ttl_s: float = 1e9, max_context_bytes: int = 1 << 20) -> SessionStore:
    """A store whose pictures have no bounds."""
    return room.store(Bounds(max_sessions, ttl_s, max_context_bytes))


def existing(store: SessionStore, session_id: str) -> Session:
    """Return a session that exists."""
    session = store.get(session_id)
    assert session is not None
    return session


def test_a_session_is_what_was_said(store_room: Room) -> None:
    store = store_of(store_room, ttl_s=60)
    begun = store.begin("s", "r1", ASK)
    assert (begun.session_id, begun.messages, begun.run_id, begun.last_run_id) == ("s", ASK, "r1", "r1")
    assert (begun.size_bytes, begun.image_bytes, begun.dropped, begun.untrimmed) == (size_of(*ASK), 0, Dropped(), ())
    assert begun.created_at == begun.last_active
    assert existing(store, "s") == msgspec.structs.replace(begun, last_active=ANY)
    assert store.settle("s", "r1", ANSWER)
    session = existing(store, "s")
    assert (session.messages, session.run_id, session.last_run_id) == ((*ASK, ANSWER), None, "r1")
    assert (session.created_at, session.size_bytes) == (begun.created_at, size_of(*ASK) + size_of(ANSWER))
    again = store.begin("s", "r2", (*session.messages, *ASK))
    assert (again.created_at, again.run_id, len(again.messages)) == (begun.created_at, "r2", 3)
    assert begun.last_active <= session.last_active <= again.last_active


def test_a_look_at_a_session_is_a_use_of_it(store_room: Room) -> None:
    store = store_of(store_room)
    talk(store, "s")
    assert existing(store, "s").last_active < existing(store, "s").last_active


def test_each_step_has_a_version_and_a_step_that_has_seen_another_is_refused(store_room: Room) -> None:
    store = store_of(store_room)
    assert store.head("s") == NO_HEAD
    begun = store.begin("s", "r1", ASK, seen=0)
    assert store.head("s") == Head("r1", begun.version) == (begun.run_id, existing(store, "s").version)
    for seen in (0, begun.version + 1):
        with pytest.raises(Overtaken):
            store.begin("s", "r2", (ANSWER,), seen)
    assert existing(store, "s").messages == ASK
    assert store.settle("s", "r1", ANSWER)
    settled = existing(store, "s")
    assert store.head("s") == Head(None, settled.version)
    assert settled.version > begun.version
    with pytest.raises(Overtaken):
        store.begin("s", "r2", ASK, begun.version)
    assert store.begin("s", "r2", ASK, settled.version).version > settled.version
    assert store.delete("s")
    with pytest.raises(Overtaken):
        store.begin("s", "r3", ASK, settled.version)
    assert store.begin("s", "r3", ASK, seen=0).version > settled.version
    assert store.begin("s", "r4", ASK, seen=None).run_id == "r4"


def test_what_is_kept_and_what_was_lost_is_counted(store_room: Room) -> None:
    store = store_of(store_room, max_sessions=2, ttl_s=60, max_context_bytes=2000)
    for session_id in "abc":
        talk(store, session_id)
    store.begin("d", "run-d", ASK)
    counts = store.counts()
    assert (counts.idle, counts.in_flight, counts.evicted, counts.expired) == (2, 1, 1, 0)
    assert counts.text_bytes > 0
    assert store.delete("d")
    store_room.age(61)
    assert store.counts() == (0, 0, 0, 0, 1, 2, Dropped())
    question = Message(role="user", content="q" * 800)
    begun = store.begin("e", "run-e", (question, ANSWER) * 3 + ASK)
    store.settle("e", "run-e", Message(role="assistant", content="a" * 800))
    assert (begun.dropped, existing(store, "e").dropped) == (Dropped(turns=1), Dropped(turns=1))
    assert store.counts().trimmed == Dropped(turns=2)
    store.delete("e")
    assert store.counts() == (0, 0, 0, 0, 1, 2, Dropped(turns=2))
    store.reconfigure(Bounds(2, 60, 2000, max_image_bytes=100))  # type: ignore[attr-defined]
    store.begin("f", "run-f", (picture(80), ANSWER, picture(80)))
    assert store.counts().trimmed == Dropped(turns=2, images=1)


def test_a_session_is_forgotten_its_time_after_the_last_use(store_room: Room) -> None:
    store = store_of(store_room, ttl_s=60)
    talk(store, "old")
    talk(store, "used")
    talk(store, "seen")
    store_room.age(30)
    assert known(store, "used") == {"used"}
    assert store.has("seen")
    assert store.head("seen").version
    store_room.age(31)
    assert known(store, "old", "used", "seen") == {"used"}
    assert (store.has("seen"), store.has("used"), store.head("seen")) == (False, True, NO_HEAD)
    assert store.counts().expired == 2


@pytest.mark.parametrize("way", ["begin", "delete"])
def test_an_expired_session_is_new_to_every_way_in(store_room: Room, way: str) -> None:
    store = store_of(store_room, ttl_s=60)
    talk(store, "s")
    created_at = existing(store, "s").created_at
    store_room.age(61)
    if way == "begin":
        assert store.begin("s", "r", ASK, seen=0).created_at > created_at
    else:
        assert not store.delete("s")
    assert store.counts().expired == 1


@pytest.mark.parametrize("ttl_s", [0.01, 1e15])
def test_any_time_to_live_will_do(store_room: Room, ttl_s: float) -> None:
    store = store_of(store_room, ttl_s=ttl_s)
    store.begin("s", "r", ASK)
    assert store.has("s"), "a session with a run in flight lives on"
    assert store.settle("s", "r", ANSWER)
    store_room.age(1)
    assert store.has("s") == (ttl_s > 1)


def test_sessions_in_flight_have_no_part_in_the_order_of_use(store_room: Room) -> None:
    store = store_of(store_room, 2)
    for session_id in "abc":
        store.begin(session_id, session_id, ASK)
    talk(store, "d")
    talk(store, "e")
    assert number_in(store) == 5
    assert all(store.settle(session_id, session_id, ANSWER) for session_id in "abc")
    assert number_in(store) == 2
    assert known(store, *"abcde") == {"b", "c"}


def test_bounds_can_change(store_room: Room) -> None:
    store = store_of(store_room, 10)
    for session_id in "abcd":
        talk(store, session_id)
    store.reconfigure(Bounds(2, 1e9, 1 << 20))  # type: ignore[attr-defined]
    talk(store, "e")
    assert known(store, *"abcde") == {"d", "e"}


def test_the_least_recently_used_goes_first(store_room: Room) -> None:
    store = store_of(store_room, 3)
    for session_id in "abc":
        talk(store, session_id)
    assert known(store, "a") == {"a"}
    talk(store, "b")
    talk(store, "d")
    assert known(store, "a", "b", "c", "d") == {"a", "b", "d"}
    talk(store, "e")
    assert known(store, "a", "b", "d", "e") == {"b", "d", "e"}
    assert number_in(store) == 3


def test_the_session_that_has_just_settled_stays_though_others_in_flight_take_all_places(store_room: Room) -> None:
    store = store_of(store_room, 1)
    for session_id in "abc":
        store.begin(session_id, session_id, ASK)
    assert store.settle("a", "a", ANSWER)
    assert known(store, "a", "b", "c") == {"a", "b", "c"}
    talk(store, "d")
    assert known(store, "a", "b", "c", "d") == {"b", "c", "d"}


def test_a_stale_run_writes_nothing(store_room: Room) -> None:
    store = store_of(store_room)
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


def test_a_run_of_a_deleted_session_writes_nothing(store_room: Room) -> None:
    store = store_of(store_room)
    store.begin("s", "r", ASK)
    assert store.delete("s")
    assert not store.delete("s")
    assert not store.settle("s", "r", ANSWER)
    assert store.get("s") is None
    assert number_in(store) == 0
    store.begin("s", "r2", ASK)
    assert not store.settle("s", "r", ANSWER)


def test_large_turns_cannot_fill_the_memory(store_room: Room) -> None:
    """A turn that is too large to be trimmed away counts: ten sessions of 1,000 bytes are two of 3,000 and some."""
    store = store_of(store_room, 10, max_context_bytes=1000)
    large = (Message(role="user", content="x" * 3000),)
    store.begin("busy", "r", large)
    for session_id in "abcdef":
        store.begin(session_id, "r", large)
        assert store.settle(session_id, "r", ANSWER)
    assert known(store, "busy", *"abcdef") == {"busy", "d", "e", "f"}
    for session_id in ("busy", "d", "e", "f"):
        assert store.delete(session_id)
    for number in range(10):
        talk(store, f"s{number}")
    assert number_in(store) == 10, "what was forgotten is not counted any more"


def raw(value: bytes) -> Raw:
    """A value as it is read from a body and kept."""
    return msgspec.json.decode(b'{"a":%b}' % value, type=dict[str, Raw])["a"].copy()


KINDS = {
    "a short text": Message(role="user", content="x" * 2000),
    "a long text": Message(role="user", content=raw(b'"%b"' % (b"x" * 20_000))),
    "images": Message(role="user", images=raw(b'["%b"]' % (b"x" * 20_000))),
    "tool calls": Message(role="user", tool_calls=raw(b'[{"x":"%b"}]' % (b"x" * 20_000))),
}


@pytest.mark.parametrize("message", KINDS.values(), ids=KINDS)
def test_a_message_of_any_kind_comes_back_and_pushes_out_no_other_session(store_room: Room, message: Message) -> None:
    store = store_of(store_room, 10)
    talk(store, "first")
    store.begin("second", "r", (message,))
    store.settle("second", "r", ANSWER)
    talk(store, "third")
    assert number_in(store) == 3
    assert existing(store, "second").messages == (message, ANSWER)


@pytest.mark.parametrize("role", ["system", "tool", "assistant"])
def test_no_role_lengthens_a_session_without_end(store_room: Room, role: Role) -> None:
    """The messages that trimming never drops are bounded, too; a refusal leaves the session as it was."""
    store = store_room.store(Bounds(10, 60, 1000, max_body_bytes=2000))
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
    return Message(role="user", content="q", images=raw(b'["%b"]' % (b"x" * (size - 4))))


def test_pictures_of_idle_sessions_are_bounded_together_and_apart_from_their_text(store_room: Room) -> None:
    """A last turn's pictures are never trimmed: ten sessions of 1,000 bytes of them are two of 5,000."""
    store = store_room.store(Bounds(10, 60, 1000, 1000))
    for session_id in "abc":
        store.begin(session_id, "r", (picture(5000),))
        assert store.settle(session_id, "r", ANSWER)
    assert known(store, *"abc") == {"b", "c"}
    for number in range(8):
        talk(store, f"s{number}")
    assert number_in(store) == 10, "pictures take no room of the texts"
    assert store.delete("b")
    talk(store, "more")
    store.begin("d", "r", (picture(5000),))
    assert store.settle("d", "r", ANSWER)
    assert known(store, *"bcd") == {"d"}, "the oldest went, for there are eleven"
    assert number_in(store) == 10


@pytest.mark.parametrize("role", ["system", "tool", "assistant"])
def test_no_role_gathers_pictures_without_end(store_room: Room, role: Role) -> None:
    store = store_room.store(Bounds(10, 60, 1 << 20, 1000, 2000))
    session = store.begin("s", "r", ASK)
    more = msgspec.structs.replace(picture(400), role=role)
    while session.image_bytes + more.image_bytes <= 3000:
        store.check(session, [more])
        session = store.begin("s", "r", (*session.messages, more))
    with pytest.raises(TooLarge, match="3000 of pictures"):
        store.check(session, [more])
    store.check(session, [Message(role=role, content="x" * 100_000)])


def test_the_largest_question_fits_onto_any_kept_session(store_room: Room) -> None:
    store = store_room.store(Bounds(10, 60, 1000, 1000, 2000))
    session = store.begin("s", "r", (picture(900), ANSWER, picture(2000)))
    assert (session.image_bytes, session.dropped) == (2000, Dropped(images=1))
    store.check(session, [picture(2000)])
    store.check(session, [Message(role="user", content="x" * 1900)])


def test_a_session_tells_once_what_it_has_lost(store_room: Room) -> None:
    """The start event tells what `begin` took; what `settle` took is told by the next one."""
    store = store_room.store(Bounds(10, 60, 200, 1000))
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


def test_answers_in_flight_push_out_no_idle_session(store_room: Room) -> None:
    store = store_of(store_room, 3, max_context_bytes=1000)
    for session_id in "abc":
        talk(store, session_id)
    for number in range(20):
        store.begin(f"busy{number}", "r", (Message(role="user", content="x" * 300),))
    assert known(store, *"abc") == set("abc")
    assert number_in(store) == 23
    for number in range(20):
        assert store.settle(f"busy{number}", "r", ANSWER)
    assert number_in(store) == 3


def test_what_is_stored_is_trimmed_at_begin_and_at_settle(store_room: Room) -> None:
    store = store_of(store_room, max_context_bytes=200)
    long = Message(role="user", content="x" * 190)
    assert store.begin("s", "r", (long, ANSWER, *ASK)).messages == ASK
    assert store.begin("s", "r", (*ASK, ANSWER, *ASK)).messages == (*ASK, ANSWER, *ASK)
    answer = Message(role="assistant", content="y" * 190)
    store.settle("s", "r", answer)
    session = store.get("s")
    assert session is not None
    assert session.messages == (*ASK, answer)


def test_a_refused_question_has_pushed_nothing_out(store_room: Room) -> None:
    store = store_of(store_room, max_context_bytes=200)
    long = Message(role="user", content="x" * 150)
    begun = store.begin("s", "r", (*ASK, ANSWER, long))
    assert (begun.messages, begun.untrimmed) == ((long,), (*ASK, ANSWER, long))
    assert existing(store, "s").untrimmed == begun.untrimmed
    assert store.settle("s", "r", Message(role="assistant", refused=True))
    session = existing(store, "s")
    assert session.messages == (*ASK, ANSWER, msgspec.structs.replace(long, refused=True))
    assert session.untrimmed == ()


def test_many_threads_leave_the_store_whole(store_room: Room) -> None:
    store = store_room.store(Bounds(5, 1e9, 1 << 20))
    won_twice: list[str] = []
    ids = [f"s{number}" for number in range(8)]

    def hammer(seed: int) -> None:
        chance = random.Random(seed)
        for number in range(30):
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
    assert len(left) == number_in(store) > 0
    for session in left:
        assert session.messages == (ASK if session.run_id else (*ASK, ANSWER))
        assert store.delete(session.session_id)
    assert number_in(store) == 0
    for number in range(50):
        talk(store, f"t{number}")
    assert number_in(store) == 5
