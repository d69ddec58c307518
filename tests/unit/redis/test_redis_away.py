"""Sessions while Redis is away, hangs or is full: who needs it is told at once, and no answer is lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis.link import PAUSE_S, TIMEOUT_S, Link
from clawgate.redis.store import RedisStore
from clawgate.redis.waiting import MOST
from clawgate.sessions import Bounds, Message
from tests.support.redis import RedisServer
from tests.support.stores import ANSWER, ASK, USER, RedisRoom, known, talk

RUN, NEXT = (f"run_{letter * 48}" for letter in "ab")
BOUNDS = Bounds(100, 3600, 1 << 20)


class Switch(Link):
    """A link that a test can cut, with a clock that a test sets."""

    def __init__(self, room: RedisRoom) -> None:
        self.now = 0.0
        self.is_cut = False
        self.is_deaf = False
        super().__init__(room.server.url_of("gateway", "secret"), room.prefix, lambda: self.now)
        room.links.append(self)

    def run(self, script: str, keys: Sequence[str] = (), args: Sequence[Any] = ()) -> Any:
        """Run a script, unless the link is cut; where it is deaf, the answer is lost."""
        if self.is_cut:
            raise SessionStoreUnavailable("cut")
        answer = super().run(script, keys, args)
        if self.is_deaf:
            raise SessionStoreUnavailable("lost") from TimeoutError()
        return answer


class Store(RedisStore):
    """A store with such a link."""

    def __init__(self, room: RedisRoom, bounds: Bounds = BOUNDS) -> None:
        self.link = Switch(room)
        super().__init__(self.link, bounds)

    def wait(self) -> None:
        """Let the pause after a failure pass."""
        self.link.now += PAUSE_S

    def keep(self, session_id: str, run_id: str, answer: Message) -> None:
        """Settle while the link is cut."""
        self.link.is_cut = True
        assert self.settle(session_id, run_id, answer)
        self.link.is_cut = False


@pytest.fixture
def own_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisRoom]:
    """A server of the test's own, which may end: with its data on the disk, unless the parameter says False."""
    is_persistent = getattr(request, "param", True)
    with RedisServer(tmp_path / "redis", is_persistent=is_persistent, users=[USER]) as server:
        room = RedisRoom(server, "clawgate")
        yield room
        room.close()


@pytest.fixture
def paused(redis_room: RedisRoom) -> Iterator[RedisRoom]:
    """A server that hangs in a test goes on after it."""
    yield redis_room
    redis_room.server.resume()


@pytest.mark.parametrize(("own_room", "is_kept"), [(False, False), (True, True)], indirect=["own_room"])
def test_after_a_restart_there_is_what_redis_has_kept(own_room: RedisRoom, is_kept: bool) -> None:
    store = Store(own_room)
    talk(store, "idle")
    begun = store.begin("s", RUN, ASK)
    own_room.server.restart(is_killed=is_kept)
    assert known(store, "idle", "s") == ({"idle", "s"} if is_kept else set())
    assert store.settle("s", RUN, ANSWER), "an answer in flight is kept by its own process"
    again = store.begin("s", NEXT, ASK)
    assert again.version > begun.version
    assert store.settle("s", NEXT, ANSWER)


def test_an_answer_waits_until_redis_is_back(own_room: RedisRoom) -> None:
    store = Store(own_room)
    for session_id, run_id in (("s", RUN), ("t", NEXT)):
        store.begin(session_id, run_id, ASK)
    own_room.server.end()
    assert store.settle("s", RUN, ANSWER)
    assert store.settle("t", NEXT, ANSWER)
    assert not store.is_available
    assert not store.settle_kept()
    for ask in (store.get, store.has, store.head, store.delete):
        with pytest.raises(SessionStoreUnavailable):
            ask("s")
    with pytest.raises(SessionStoreUnavailable):
        store.begin("s", "run_c", ASK)
    own_room.server.start()
    store.wait()
    session = store.get("s")
    assert session is not None
    assert (session.messages, session.run_id) == ((*ASK, ANSWER), None), "who asks for it has it written first"
    assert store.is_available
    other = own_room.store(BOUNDS)
    assert other.head("t").run_id == NEXT
    assert store.settle_kept()
    assert other.head("t").run_id is None
    assert not store._waiting
    assert not store._owned


@pytest.mark.parametrize("way", ["head", "begin", "delete", "settle_kept"])
def test_an_answer_that_waits_is_written_before_anything_else_is_done(redis_room: RedisRoom, way: str) -> None:
    store = Store(redis_room)
    begun = store.begin("s", RUN, ASK)
    store.keep("s", RUN, ANSWER)
    if way == "head":
        assert store.head("s").run_id is None
    elif way == "begin":
        assert store.begin("s", NEXT, ASK).version > begun.version + 1
    elif way == "delete":
        assert store.delete("s")
    else:
        assert store.settle_kept()
        session = store.get("s")
        assert session is not None
        assert session.messages == (*ASK, ANSWER)
    assert not store._waiting


def test_an_answer_that_waits_is_written_over_nobody(redis_room: RedisRoom) -> None:
    store, other = Store(redis_room), Store(redis_room)
    store.begin("s", RUN, ASK)
    store.keep("s", RUN, ANSWER)
    other.begin("s", NEXT, ASK)
    assert store.settle_kept()
    assert other.head("s").run_id == NEXT
    assert other.settle("s", NEXT, Message(role="assistant", content="b"))
    session = store.get("s")
    assert session is not None
    assert session.messages[1].text == "b"


def test_a_redis_that_hangs_costs_one_time_out_and_then_nothing(paused: RedisRoom) -> None:
    store = Store(paused)
    talk(store, "s")
    counts = store.counts()
    paused.server.pause()
    first = _seconds_of(store, "s")
    rest = [_seconds_of(store, session_id) for session_id in ("s", "other") * 50]
    began = time.perf_counter()
    assert store.counts() == counts, "the last that is known"
    assert first >= TIMEOUT_S
    assert sum(rest) + time.perf_counter() - began < 10 * TIMEOUT_S, "of 101 calls"
    paused.server.resume()
    store.wait()
    assert known(store, "s") == {"s"}


def _seconds_of(store: Store, session_id: str) -> float:
    began = time.perf_counter()
    with pytest.raises(SessionStoreUnavailable):
        store.get(session_id)
    return time.perf_counter() - began


def test_a_run_that_has_begun_unheard_of_ends_when_redis_is_back(paused: RedisRoom) -> None:
    """A Redis that hung does afterwards what it was asked for, though the asker has been told that it is away."""
    store = Store(paused)
    talk(store, "s")
    session = store.get("s")
    assert session is not None
    paused.server.pause()
    with pytest.raises(SessionStoreUnavailable):
        store.begin("s", RUN, (*session.messages, *ASK), session.version)
    paused.server.resume()
    paused.client.ping()
    store.wait()
    assert store.settle_kept()
    after = store.get("s")
    assert after is not None
    assert after.run_id is None
    assert after.messages == (*session.messages, *ASK, Message(role="assistant", interrupted=True))
    assert not store._waiting


def test_a_run_in_flight_goes_on_though_its_session_is_there_again_unheard_of(redis_room: RedisRoom) -> None:
    store = Store(redis_room)
    store.begin("s", RUN, ASK)
    redis_room.client.unlink(redis_room.session("s"))
    store.link.is_deaf = True
    with pytest.raises(SessionStoreUnavailable):
        store.restore("s", RUN)
    store.link.is_deaf = False
    assert store.settle_kept()
    assert store.head("s").run_id == RUN
    assert store.settle("s", RUN, ANSWER)
    session = store.get("s")
    assert session is not None
    assert session.messages == (*ASK, ANSWER)


def test_a_begin_that_redis_never_heard_of_leaves_everything_as_it_was(own_room: RedisRoom) -> None:
    store = Store(own_room)
    talk(store, "s")
    before = store.head("s")
    own_room.server.end()
    for _ in range(3):
        with pytest.raises(SessionStoreUnavailable):
            store.begin("s", RUN, ASK)
    own_room.server.start()
    store.wait()
    assert store.settle_kept()
    assert store.head("s") == before


def test_so_many_answers_wait_and_no_more(redis_room: RedisRoom, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(redis_room)
    for number in range(MOST):
        store.keep(f"s{number}", f"r{number}", ANSWER)
    with caplog.at_level(logging.ERROR):
        store.keep("last", "last", ANSWER)
    assert "lost" in caplog.text
    assert [each.run_id for each in store._waiting.all()] == [*(f"r{number}" for number in range(1, MOST)), "last"]


def test_a_redis_that_is_full_takes_answers_and_no_new_runs(own_room: RedisRoom) -> None:
    store = Store(own_room)
    talk(store, "idle")
    begun = store.begin("s", RUN, ASK)
    own_room.client.config_set("maxmemory", 1)
    with pytest.raises(SessionStoreUnavailable, match="refuses"):
        store.begin("s", NEXT, ASK, begun.version)
    assert store.head("s").run_id == RUN, "nothing is half done"
    assert store.settle("s", RUN, ANSWER)
    assert known(store, "s", "idle") == {"s", "idle"}
    assert store.delete("idle")
    assert store.counts().idle == 1
    assert store.settle_kept()
    assert not store._waiting
    assert store.is_available
