"""Sessions in Redis, beside what every store promises: several processes, their runs, and what lies in the keys.

The stores connect as a user with the commands that are listed in tests/support/stores.py, and no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawgate.redis.codec import FORMAT
from clawgate.redis.store import RedisStore
from clawgate.sessions import NO_HEAD, Bounds, Dropped, Message, Overtaken
from tests.support.redis import RedisServer
from tests.support.stores import ANSWER, ASK, COMMANDS, USER, RedisRoom, known, number_in, talk
from tests.support.tools import wait_for

RUN = "run_" + "a" * 16 + "1" * 32
ELSEWHERE = "run_" + "b" * 16 + "2" * 32
BOUNDS = Bounds(100, 3600, 1 << 20)
MINUTE_MS = 60_000


def text(content: str, role: Any = "user") -> Message:
    """A message."""
    return Message(role=role, content=content)


def sums_of(room: RedisRoom) -> tuple[int, int, int]:
    """What the idle sessions really take, and their number."""
    idle = [key for key in room.client.keys(room.key("session", "*")) if not room.client.hexists(key, "run")]
    sizes = [[int(size) for size in (room.client.hget(key, "sizes") or b"").split()] for key in idle]
    return sum(size[0] for size in sizes), sum(size[1] for size in sizes), len(idle)


def test_two_processes_see_the_same_sessions(redis_room: RedisRoom) -> None:
    one, other = redis_room.store(BOUNDS), redis_room.store(BOUNDS)
    begun = one.begin("s", RUN, ASK, seen=0)
    assert other.get("s") == msgspec.structs.replace(begun, last_active=pytest.approx(begun.last_active, abs=60))
    assert other.head("s") == (RUN, begun.version)
    with pytest.raises(Overtaken):
        other.begin("s", ELSEWHERE, ASK, seen=0)
    assert one.settle("s", RUN, ANSWER)
    settled = other.get("s")
    assert settled is not None
    assert settled.messages == (*ASK, ANSWER)
    other.begin("s", ELSEWHERE, settled.messages, settled.version)
    assert other.delete("s")
    assert not one.has("s")
    assert one.counts() == other.counts() == (0, 0, 0, 0, 0, 0, Dropped())


def test_another_process_settles_the_run_of_one_that_is_dead(redis_room: RedisRoom) -> None:
    long = text("x" * 150)
    redis_room.store(Bounds(10, 60, 200)).begin("s", RUN, (*ASK, ANSWER, long))
    other = redis_room.store(Bounds(10, 60, 200))
    assert not other.settle("s", ELSEWHERE, ANSWER)
    assert other.settle("s", RUN, Message(role="assistant", refused=True))
    session = other.get("s")
    assert session is not None
    assert session.messages == (*ASK, ANSWER, msgspec.structs.replace(long, refused=True))
    assert not other.settle("s", RUN, ANSWER)


def test_an_owner_that_was_slow_writes_nothing_over_the_next_one(redis_room: RedisRoom) -> None:
    slow, next_one = redis_room.store(BOUNDS), redis_room.store(BOUNDS)
    begun = slow.begin("s", RUN, ASK)
    next_one.begin("s", ELSEWHERE, (*ASK, text("half", "assistant"), text("more")), begun.version)
    assert not slow.settle("s", RUN, ANSWER)
    assert next_one.settle("s", ELSEWHERE, ANSWER)
    assert not slow.settle("s", RUN, ANSWER)
    session = slow.get("s")
    assert session is not None
    assert [message.text for message in session.messages] == ["q", "half", "more", "a"]
    assert not slow._owned


def test_an_answer_is_kept_though_redis_has_lost_its_session(redis_room: RedisRoom) -> None:
    store = redis_room.store(BOUNDS)
    store.begin("s", RUN, ASK)
    redis_room.client.unlink(redis_room.session("s"))
    assert store.settle("s", RUN, ANSWER)
    session = redis_room.store(BOUNDS).get("s")
    assert session is not None
    assert (session.messages, session.run_id, session.last_run_id) == ((*ASK, ANSWER), None, RUN)
    assert not store._owned


def test_an_answer_is_kept_though_redis_has_its_session_as_it_was_before(redis_room: RedisRoom) -> None:
    """As one that has come back with its last snapshot."""
    store, key = redis_room.store(BOUNDS), redis_room.session("s")
    store.begin("s", ELSEWHERE, ASK)
    before: Any = redis_room.client.dump(key)
    assert store.settle("s", ELSEWHERE, ANSWER)
    session = store.get("s")
    assert session is not None
    asked = (*session.messages, text("more"))
    store.begin("s", RUN, asked, session.version)
    redis_room.client.restore(key, 0, before, replace=True)
    assert store.settle("s", RUN, ANSWER)
    session = store.get("s")
    assert session is not None
    assert session.messages == (*asked, ANSWER)


def test_an_owner_that_was_slow_brings_no_deleted_session_back(redis_room: RedisRoom) -> None:
    slow, other = redis_room.store(BOUNDS), redis_room.store(BOUNDS)
    slow.begin("s", RUN, ASK)
    assert other.delete("s")
    assert not slow.settle("s", RUN, ANSWER)
    assert other.get("s") is None
    other.begin("s", ELSEWHERE, ASK)
    redis_room.client.unlink(redis_room.session("s"))
    assert other.settle("s", ELSEWHERE, ANSWER), "the next session of this id is not a deleted one"


def test_each_accepted_turn_is_in_the_end(redis_room: RedisRoom) -> None:
    """Eight threads over two processes: each reads, begins from what it has read, and settles."""
    stores = [redis_room.store(BOUNDS) for _ in range(2)]
    taken_over: list[bool] = []

    def talk_five_times(number: int) -> None:
        store, count = stores[number % 2], 0
        while count < 5:
            session = store.get("s")
            seen, messages = (0, ()) if session is None else (session.version, session.messages)
            if session is not None and session.run_id is not None:
                continue
            run_id = f"run_{number % 2:016}{number:016}{count:016}"
            try:
                begun = store.begin("s", run_id, (*messages, text(f"q{number}.{count}")), seen)
            except Overtaken:
                continue
            taken_over.append(store.head("s") != (run_id, begun.version))
            assert store.settle("s", run_id, text(f"a{number}.{count}", "assistant"))
            count += 1

    run_at_once(talk_five_times, 8)
    session = stores[0].get("s")
    assert session is not None
    assert taken_over == [False] * 40, "a session has one owner, which nobody replaces unseen"
    told = [message.text for message in session.messages]
    assert [f"a{question[1:]}" for question in told[::2]] == told[1::2]
    assert sorted(told[::2]) == [f"q{number}.{count}" for number in range(8) for count in range(5)]


def test_of_those_who_have_seen_the_same_version_one_begins(redis_room: RedisRoom) -> None:
    stores = [redis_room.store(BOUNDS) for _ in range(2)]
    begun: list[str] = []

    def begin(number: int) -> None:
        try:
            begun.append(stores[number % 2].begin("s", f"r{number}", ASK, seen=0).run_id or "")
        except Overtaken:
            pass

    run_at_once(begin, 8)
    assert begun == [stores[0].head("s").run_id]
    settled = [stores[number % 2].settle("s", f"r{number}", ANSWER) for number in range(8)]
    assert settled.count(True) == 1


def run_at_once(target: Callable[[int], None], count: int) -> None:
    """Call a function on so many threads, and hand on what it raises."""
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(target, range(count)))


def test_a_version_rises_though_redis_has_lost_everything(redis_room: RedisRoom) -> None:
    store = redis_room.store(BOUNDS)
    first = store.begin("s", RUN, ASK).version
    for key in redis_room.client.keys(redis_room.key("*")):
        redis_room.client.delete(key)
    assert store.head("s") == NO_HEAD
    second = store.begin("s", RUN, ASK, seen=0).version
    assert second > first
    redis_room.client.set(redis_room.key("fence"), second + 10**15)
    assert store.begin("s", RUN, ASK, second).version == second + 10**15 + 1, (
        "a clock that goes back takes nothing back"
    )


def test_the_runs_in_flight_of_each_process_are_listed(redis_room: RedisRoom) -> None:
    store, client = redis_room.store(BOUNDS), redis_room.client
    here, there = redis_room.key("runs", "a" * 16), redis_room.key("runs", "b" * 16)
    store.begin("s", RUN, ASK)
    assert client.hgetall(here) == {RUN.encode(): b"s"}
    assert 0 < client.pttl(here) <= BOUNDS.ttl_s * 1000, (
        "where no gateway runs any more, the list goes with the session"
    )
    store.begin("s", ELSEWHERE, ASK)
    assert (client.hgetall(here), client.hgetall(there)) == ({}, {ELSEWHERE.encode(): b"s"})
    store.settle("s", ELSEWHERE, ANSWER)
    assert not client.exists(there)
    store.begin("s", RUN, ASK)
    store.delete("s")
    assert not client.exists(here)
    store.begin("s", RUN, ASK)
    client.delete(redis_room.session("s"))
    assert store.settle("s", RUN, ANSWER)
    assert not client.exists(here)


def test_the_log_of_the_last_run_lives_as_long_as_its_session(redis_room: RedisRoom) -> None:
    store, client = redis_room.store(BOUNDS), redis_room.client
    store.begin("s", RUN, ASK)
    log = redis_room.key("log", RUN)
    client.xadd(log, {"e": "1"})
    assert store.settle("s", RUN, ANSWER)
    assert MINUTE_MS < client.pttl(log) <= BOUNDS.ttl_s * 1000
    client.pexpire(log, 1000)
    assert store.get("s") is not None
    assert client.pttl(log) > MINUTE_MS
    store.begin("s", ELSEWHERE, ASK)
    assert not client.exists(log), "the next run takes its place"
    client.xadd(redis_room.key("log", ELSEWHERE), {"e": "1"})
    store.delete("s")
    assert not client.keys(redis_room.key("log", "*"))


def test_a_session_that_is_evicted_takes_its_log_along(redis_room: RedisRoom) -> None:
    store, client = redis_room.store(Bounds(1, 3600, 1 << 20)), redis_room.client
    store.begin("s", RUN, ASK)
    client.xadd(redis_room.key("log", RUN), {"e": "1"})
    assert store.settle("s", RUN, ANSWER)
    talk(store, "next")
    assert not client.keys(redis_room.key("log", "*"))
    assert known(store, "s", "next") == {"next"}


def test_sessions_expire_in_redis_itself_and_those_in_flight_live_a_minute_longer(redis_room: RedisRoom) -> None:
    store, client = redis_room.store(Bounds(10, 0.01, 1 << 20)), redis_room.client
    key = redis_room.session("s")
    store.begin("s", RUN, ASK)
    assert MINUTE_MS - 10_000 < client.pttl(key) <= MINUTE_MS
    store.get("s")
    assert store.counts().in_flight == 1
    assert store.settle("s", RUN, ANSWER)
    wait_for(lambda: not client.exists(key), "Redis forgets the session")
    assert store.counts() == (0, 0, 0, 0, 0, 1, Dropped())


def test_a_run_that_nobody_ends_is_counted_no_longer_than_its_session_lives(redis_room: RedisRoom) -> None:
    store, client = redis_room.store(Bounds(10, 1, 1 << 20)), redis_room.client
    store.begin("dead", RUN, ASK)
    store.begin("alive", ELSEWHERE, ASK)
    redis_room.age(59)
    client.pexpire(redis_room.session("alive"), MINUTE_MS)  # as its process does
    assert store.counts().in_flight == 2
    redis_room.age(2)
    counts = store.counts()
    assert (counts.in_flight, counts.expired) == (1, 1)
    busy: Any = client.zrange(redis_room.key("busy"), 0, -1, withscores=True)
    now: Any = client.time()
    assert [score > (now[0] + 30) * 1e6 for _, score in busy] == [True], (
        "it is looked at again when its new time is over"
    )
    assert store.settle("alive", ELSEWHERE, ANSWER)


def test_expired_sessions_are_cleared_away_a_bounded_number_at_a_time(redis_room: RedisRoom) -> None:
    client, store = redis_room.client, redis_room.store(Bounds(10**6, 60, 1 << 20))
    client.zadd(redis_room.key("idle"), {f"gone{number}": number for number in range(2500)})
    assert [store.counts().expired for _ in range(3)] == [1000, 2000, 2500]


def test_begin_and_settle_clear_away_what_has_expired(redis_room: RedisRoom) -> None:
    client, store = redis_room.client, redis_room.store(BOUNDS)
    for step in (lambda: store.begin("s", RUN, ASK), lambda: store.settle("s", RUN, ANSWER)):
        client.zadd(redis_room.key("idle"), {"gone": 1})
        assert step()
        assert client.zscore(redis_room.key("idle"), "gone") is None


@pytest.mark.parametrize("session_id", ["geheimes Wort", "秘密", "s" * 10_000])
def test_no_key_holds_a_word_of_the_user(redis_room: RedisRoom, session_id: str) -> None:
    store = redis_room.store(BOUNDS)
    store.begin(session_id, RUN, ASK)
    store.settle(session_id, RUN, ANSWER)
    store.get(session_id)
    found: Any = redis_room.client.keys(redis_room.key("*"))
    keys = {key.decode().removeprefix(redis_room.key("")) for key in found}
    assert {key.split(":")[0] for key in keys} == {"session", "idle", "sizes", "totals", "fence"}
    (name,) = (key for key in keys if key.startswith("session:"))
    assert len(name) == len("session:") + 32
    assert name.removeprefix("session:").replace("-", "a").replace("_", "a").isalnum()
    assert store.has(session_id)


DAMAGE: dict[str, dict[str, bytes]] = {
    "the messages": {"messages1": b"nothing compressed"},
    "the number of parts": {"messages": b"7000000000"},
    "the sizes": {"sizes": b"many"},
    "the moment": {"created": b"\xff"},
    "the owner": {"run": b"\xff"},
    "the version": {"version": b"one"},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("is_in_flight", [False, True])
def test_a_session_that_is_damaged_is_gone(
    redis_room: RedisRoom, caplog: pytest.LogCaptureFixture, damage: dict[str, bytes], is_in_flight: bool
) -> None:
    store, other = redis_room.store(BOUNDS), redis_room.store(BOUNDS)
    begun = store.begin("s", RUN, ASK)
    if not is_in_flight:
        store.settle("s", RUN, ANSWER)
    redis_room.client.hset(redis_room.session("s"), mapping=dict(damage))  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        assert other.get("s") is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert (other.head("s"), other.has("s"), number_in(other)) == (NO_HEAD, False, 0)
    assert store.settle("s", RUN, ANSWER) == is_in_flight, "the run's own process has it undamaged"
    assert other.begin("s", ELSEWHERE, ASK).version > begun.version


def test_a_version_that_cannot_be_read_is_no_version(redis_room: RedisRoom) -> None:
    store = redis_room.store(BOUNDS)
    talk(store, "s")
    redis_room.client.hset(redis_room.session("s"), "version", "one")
    assert store.head("s") == NO_HEAD
    assert store.begin("s", RUN, ASK, seen=0).messages == ASK


def test_a_session_that_another_version_has_written_counts_as_gone_and_stays(
    redis_room: RedisRoom, caplog: pytest.LogCaptureFixture
) -> None:
    store, client, key = redis_room.store(BOUNDS), redis_room.client, redis_room.session("s")
    talk(store, "s")
    client.hset(key, "format", "2")
    assert FORMAT != "2"
    with caplog.at_level(logging.WARNING):
        assert store.get("s") is None
    assert "format" in caplog.text
    assert (store.head("s"), store.has("s"), store.settle("s", RUN, ANSWER)) == (NO_HEAD, False, False)
    assert client.exists(key), "a newer process may read it"
    assert store.begin("s", RUN, ASK, seen=0).messages == ASK
    assert number_in(store) == 1


STEPS = st.tuples(
    st.sampled_from(["begin", "settle", "get", "delete", "expire", "age"]), st.integers(0, 3), st.integers(1, 400)
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=25))
def test_the_sums_are_what_is_there(redis_room: RedisRoom, steps: list[tuple[str, int, int]]) -> None:
    """Whatever happens in whatever order: totals, counts and lists are those of the sessions that are there."""
    room = redis_room
    store = room.store(Bounds(3, 60, 500, 300))
    for key in room.client.keys(room.key("*")):
        room.client.delete(key)
    for step, number, size in steps:
        session_id = f"s{number}"
        picture = Message(role="user", content="x" * size, images=("A" * size,) if size % 2 else ())
        if step == "begin":
            store.begin(session_id, f"run{number}", (picture,))
        elif step == "settle":
            store.settle(session_id, f"run{number}", text("y" * size, "assistant"))
        elif step == "get":
            store.get(session_id)
        elif step == "delete":
            store.delete(session_id)
        elif step == "expire":
            room.client.delete(room.session(session_id))
        else:
            room.age(25)
    room.age(0)
    for number in range(4):
        store.get(f"s{number}")  # finds what is gone
    counts = store.counts()
    assert (counts.text_bytes, counts.image_bytes, counts.idle) == sums_of(room)
    assert counts.in_flight == len(room.client.keys(room.key("session", "*"))) - counts.idle
    assert room.client.hlen(room.key("sizes")) == counts.idle <= 3


def test_the_listed_commands_are_all_needed(tmp_path: Any) -> None:
    with RedisServer(tmp_path / "redis", users=[USER]) as server:
        room = RedisRoom(server, "clawgate")
        try:
            _do_everything(room)
            used: Any = server.client().info("commandstats")
        finally:
            room.close()
        harness = {"info", "client|setinfo", "auth", "select", "keys", "hexists", "pttl", "zincrby"}
        names = {name.removeprefix("cmdstat_") for name in used}
        assert {f"+{name}" for name in names - harness} | {"+pttl"} == set(COMMANDS.split())


def _do_everything(room: RedisRoom) -> None:
    store: RedisStore = room.store(Bounds(1, 60, 1 << 20))
    room.links[0].ping()
    for session_id in "ab":
        talk(store, session_id)
    store.begin("c", RUN, ASK)
    assert (store.has("a"), store.head("c").run_id, store.get("a")) == (False, RUN, None)
    room.age(61)
    assert store.counts().expired == 2
    assert not store.delete("c")
