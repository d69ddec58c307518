"""Redis is away: what runs goes on, what needs the store says so at once, and all of it recovers by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis import beat
from clawgate.relay.events import Ended, Started, Text
from clawgate.relay.prompt import ChatRequest
from tests.support.redis import RedisServer
from tests.support.tools import wait_for
from tests.unit.redis.two_desks import Process, processes
from tests.unit.relay.desk_room import QUESTION

SOON_S = 2.0
"""A time-out of the link, on a busy machine."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for the module, which forgets nothing."""
    with RedisServer(tmp_path_factory.mktemp("redis"), is_persistent=True) as running:
        yield running


@pytest.fixture
def pair(server: RedisServer) -> Iterator[list[Process]]:
    """Two processes; at the end Redis is there again."""
    with processes(server) as started:
        yield started
        server.resume()
        for each in started:
            wait_for(partial(getattr, each.store, "is_available"), "Redis answers")


def is_heard(process: Process) -> bool:
    """Tell whether Redis answers this process."""
    try:
        process.link.ping()
    except SessionStoreUnavailable:
        return False
    return True


def test_an_answer_in_flight_goes_on_and_is_kept_when_redis_is_back(server: RedisServer, pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    server.pause()
    exchange.say("two", is_done=True)
    assert reader.end().done_reason == "stop"
    assert [event for event in reader.events if isinstance(event, Text)] == [Text("one "), Text("two")]
    server.resume()
    wait_for(lambda: there.store.is_available and there.store.head("s").run_id is None, "the answer is kept")
    assert there.messages() == [("user", "q", False), ("assistant", "one two", False)]


def test_a_question_elsewhere_comes_behind_the_answer_that_waits(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beat, "WRITE_EVERY_S", 60.0)
    with processes(server) as [here, there]:
        reader = here.ask()
        exchange = here.exchange(said="one ")
        server.pause()
        exchange.say("two", is_done=True)
        reader.end()
        server.resume()
        for each in (here, there):
            wait_for(partial(is_heard, each), "Redis answers")
        there.ask(message=QUESTION)
        there.exchange(said="three")
        assert there.messages() == [("user", "q", False), ("assistant", "one two", False), ("user", "q", False)]


def test_what_needs_redis_is_refused_at_once(server: RedisServer, pair: list[Process]) -> None:
    here, _ = pair
    reader = here.ask()
    here.exchange(said="one ")
    server.pause()
    with pytest.raises(SessionStoreUnavailable):
        here.desk.session("other")
    begun_at = time.monotonic()
    for _ in range(10):
        with pytest.raises(SessionStoreUnavailable):
            here.ask("other")
    assert time.monotonic() - begun_at < SOON_S
    assert here.desk.is_store_missing
    assert not reader.run.has_outcome


def test_an_interrupt_of_an_answer_here_needs_no_redis(server: RedisServer, pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    server.pause()
    done = here.desk.interrupt("s", None)
    assert (done.interrupted, done.partial) == (True, "one ")
    assert exchange.is_closed
    assert reader.end().done_reason == "interrupted"
    server.resume()
    wait_for(lambda: there.store.is_available and there.store.head("s").run_id is None, "the answer is kept")
    assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]


def test_a_reader_of_an_answer_here_needs_no_redis(server: RedisServer, pair: list[Process]) -> None:
    here, _ = pair
    here.ask()
    exchange = here.exchange(said="one ")
    server.pause()
    found = here.desk.find("s", None)
    assert found is not None
    reading = here.desk.read(found, None)
    exchange.say(is_done=True)
    events = list(reading.events)
    reading.release()
    assert [type(event) for event in events] == [Started, Text, Ended]


@pytest.mark.parametrize("is_persistent", [True, False])
def test_a_reader_elsewhere_waits_for_redis_and_misses_nothing(tmp_path: Path, is_persistent: bool) -> None:
    with RedisServer(tmp_path, is_persistent=is_persistent) as server, processes(server) as pair:
        follow_through_a_restart(server, *pair)


def follow_through_a_restart(server: RedisServer, here: Process, there: Process) -> None:
    """Read an answer of another process, whose Redis is killed meanwhile."""
    here.ask()
    exchange = here.exchange(said="one ")
    found = there.desk.find("s", None)
    assert found is not None
    reading = there.desk.read(found, None)
    events = [next(reading.events), next(reading.events)]
    server.end(is_killed=True)
    exchange.say("two ")
    wait_for(lambda: here.readers[0].run.text == "one two ", "it is said")
    exchange.say("three", is_done=True)
    server.start()
    events += reading.events
    reading.release()
    assert "".join(event.text for event in events if isinstance(event, Text)) == "one two three"
    assert isinstance(events[-1], Ended)


def test_a_full_redis_refuses_new_answers_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "RENEW_EVERY_S", 0.1)
    with RedisServer(tmp_path) as server, processes(server) as [here, there]:
        reader = here.ask()
        exchange = here.exchange(said="one ")
        client = server.client()
        lease = here.link.key("process", here.peers._process)
        client.pexpire(lease, 100)
        client.config_set("maxmemory", "1mb")
        with pytest.raises(SessionStoreUnavailable):
            there.ask("other")
        wait_for(lambda: client.pttl(lease) > 1000, "the lease is renewed")
        found = there.desk.find("s", None)
        assert found is not None
        reading = there.desk.read(found, None)
        events = [next(reading.events), next(reading.events)]
        assert events[1] == Text("one ")
        done = there.desk.interrupt("s", None)
        assert (done.interrupted, done.partial, exchange.is_closed) == (True, "one ", True)
        assert reader.end().done_reason == "interrupted"
        assert [type(event) for event in reading.events] == [Ended]
        reading.release()
        assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]
        client.config_set("maxmemory", 0)


def test_a_redis_that_takes_no_writes_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beat, "RENEW_EVERY_S", 0.1)
    with RedisServer(tmp_path) as server, processes(server, count=1) as [here]:
        assert not here.desk.is_store_missing
        server.client().replicaof("127.0.0.1", "1")  # what it is after another one has taken its place
        wait_for(lambda: here.desk.is_store_missing, "it is not ready")
        server.client().replicaof("NO", "ONE")
        wait_for(lambda: not here.desk.is_store_missing, "it is ready again")


def test_without_redis_new_conversations_are_answered_where_that_is_wanted(server: RedisServer) -> None:
    with processes(server, count=1, required=False) as [here]:
        server.pause()
        with pytest.raises(SessionStoreUnavailable):
            here.ask(message=QUESTION)  # what it is about is in the session
        reader = here.ask("s", messages=(QUESTION,))
        assert not here.desk.is_store_missing
        assert not reader.run.is_kept
        here.exchange(said="one ").say(is_done=True)
        assert reader.end().done_reason == "stop"
        request = ChatRequest(model="m", messages=(QUESTION,))
        run = here.desk.admit_once(request, "key-0123456789abcdef", request)
        assert run is not None
        here.desk.release(run)  # type: ignore[arg-type]
        server.resume()
        wait_for(lambda: here.store.is_available, "Redis answers")
        assert here.ask("s", messages=(QUESTION,)).run.is_kept


def test_a_redis_that_forgets_everything_forgets_no_answer_in_flight(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, processes(server) as [here, there]:
        reader = here.ask()
        exchange = here.exchange(said="one ")
        silent = here.ask("silent")
        server.client().flushall()
        wait_for(lambda: there.store.has("s") and there.store.has("silent"), "the sessions are there again")
        assert there.desk.interrupt("silent", None).interrupted
        exchange.say("two", is_done=True)
        assert (reader.end().done_reason, silent.end().done_reason) == ("stop", "interrupted")
        assert there.messages() == [("user", "q", False), ("assistant", "one two", False)]
        found = there.desk.find("s", None)
        assert found is not None
        assert found.log.text == "one two"


def test_a_redis_that_comes_back_as_it_was_before_ends_no_answer_in_flight(tmp_path: Path) -> None:
    """As one that has its last snapshot, or is the replica of one that is gone."""
    with RedisServer(tmp_path) as server, processes(server) as [here, there]:
        here.ask()
        here.exchange(said="one ").say(is_done=True)
        here.readers[0].end()
        client = server.client()
        wait_for(lambda: there.store.head("s").run_id is None, "the answer is kept")
        client.save()
        reader = here.ask(message=QUESTION)
        exchange = here.exchange(1, said="two ")
        client.config_set("save", "")
        server.restart(is_killed=True)
        wait_for(lambda: there.store.is_available and there.store.head("s").run_id == reader.run.run_id, "it is owned")
        exchange.say("three", is_done=True)
        assert reader.end().done_reason == "stop"
        said = [content for _, content, _ in there.messages()]
        assert said == ["q", "one ", "q", "two three"]


def come_back(server: RedisServer, *waiting: Process) -> None:
    """Have Redis hang for so long that each of them notices, and go on."""
    server.pause()
    for each in waiting:
        with pytest.raises(SessionStoreUnavailable):
            each.link.ping()
    server.resume()
    for each in waiting:
        wait_for(partial(getattr, each.store, "is_available"), "Redis answers")


def expire_lease(server: RedisServer, process: Process) -> None:
    """Let the lease of a living process end, as it does while nobody can renew it."""
    client, link = server.client(), process.link
    client.delete(link.key("process", process.peers._process))
    client.zadd(link.key("processes"), {process.peers._process: 0})


def test_a_process_that_could_not_renew_its_lease_is_not_taken_for_dead(
    server: RedisServer, pair: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    come_back(server, here, there)
    expire_lease(server, here)
    beat = there.peers._beat
    assert beat is not None
    beat._bury()
    found = there.peers.log_of(reader.run.run_id, "reader")
    assert found is not None
    assert not found.is_ended
    assert not reader.run.has_outcome
    exchange.say("two", is_done=True)
    assert reader.end().done_reason == "stop"
    wait_for(lambda: there.store.head("s").run_id is None, "the answer is kept")
    assert there.messages() == [("user", "q", False), ("assistant", "one two", False)]
    here.vanish()
    assert not beat.is_sure
    monkeypatch.setattr("clawgate.redis.beat.SURE_AFTER_S", 0)
    beat._bury()
    assert server.client().zscore(here.link.key("processes"), here.peers._process) is None


def test_a_process_that_has_just_begun_takes_no_other_for_dead(server: RedisServer) -> None:
    """As one that has waited for Redis, beside one that has yet to renew its lease."""
    with processes(server, count=1) as [here]:
        reader = here.ask()
        here.exchange(said="one ")
        expire_lease(server, here)
        new = Process(server.url, here.link.key().removesuffix(":"), is_new=True)
        try:
            assert new.peers._beat is not None
            new.peers._beat._bury()
            assert new.store.head("s").run_id == reader.run.run_id
        finally:
            new.end()


def test_a_lost_lease_says_that_those_of_others_are_lost_too(server: RedisServer, pair: list[Process]) -> None:
    here, there = pair
    beat = there.peers._beat
    assert beat is not None
    assert beat.is_sure
    reader = here.ask()
    here.exchange(said="one ")
    for each in pair:
        expire_lease(server, each)
    beat._renew()
    beat._bury()
    assert there.store.head("s").run_id == reader.run.run_id
    assert not beat.is_sure
