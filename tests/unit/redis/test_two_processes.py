"""A session's answer is the same thing wherever it is asked about: ended, read on, replaced, and recovered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from clawgate.errors import BusySession, NothingToContinue, TooLarge, UnknownSession
from clawgate.redis.hearing import HEARERS
from clawgate.redis.logs import PAGE, Logs
from clawgate.redis.peers import ANSWER_S, Request
from clawgate.redis.store import RedisStore
from clawgate.relay.elsewhere import AHEAD_S, ASK_EVERY_S, RunElsewhere
from clawgate.relay.events import Ended, Event, Reset, Started, Text
from clawgate.relay.following import Place
from clawgate.relay.peers import Batch
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Bounds, Message
from tests.support.redis import RedisServer
from tests.support.tools import wait_for
from tests.unit.redis.two_desks import Process, processes
from tests.unit.relay.desk_room import QUESTION


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for the module."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def pair(server: RedisServer) -> Iterator[list[Process]]:
    """Two processes."""
    with processes(server) as started:
        yield started


def read(process: Process, session_id: str = "s", place: Place | None = None) -> Iterator[Event]:
    """Read a session's answer on."""
    found = process.desk.find(session_id, place)
    assert found is not None
    reading = process.desk.read(found, None)
    try:
        yield from reading.events
    finally:
        reading.release()


def text_of(events: list[Event]) -> str:
    """The text of events."""
    return "".join(event.text for event in events if isinstance(event, Text | Reset))


def test_an_interrupt_reaches_the_answer_of_another_process(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    done = there.desk.interrupt("s", None)
    assert (done.interrupted, done.run_id, done.partial) == (True, reader.run.run_id, "one ")
    assert exchange.is_closed
    assert reader.end().done_reason == "interrupted"
    assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]
    assert not there.desk.interrupt("s", None).interrupted
    assert not there.desk.interrupt("s", reader.run.run_id).interrupted


def test_a_session_whose_turn_is_held_holds_up_no_interrupt_of_another(pair: list[Process]) -> None:
    here, there = pair
    held = here.ask("held").run.run_id
    here.exchange(said="one ")
    other = here.ask("other")
    here.exchange(1, said="two ")
    with ThreadPoolExecutor(HEARERS) as pool, here.desk._locks.of("held"):
        for number in range(HEARERS):
            pool.submit(there.peers.end, held, "held" if number % 2 else None, "interrupted")
        wait_for(lambda: here.readers[0].run.has_outcome, "an end waits for the turn")
        assert there.peers.ask(held, "a reader")
        began_at = time.monotonic()
        assert there.desk.interrupt("other", None).partial == "two "
        assert time.monotonic() - began_at < ANSWER_S
        assert other.end().done_reason == "interrupted"


def test_an_interrupt_by_the_runs_id_alone_reaches_another_process(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    assert not there.desk.interrupt("s", "run_" + "0" * 48).interrupted
    done = there.desk.interrupt(None, reader.run.run_id)
    assert (done.session_id, done.interrupted, done.partial) == ("s", True, "one ")
    assert not there.desk.interrupt(None, reader.run.run_id).interrupted


def test_an_answer_that_nobody_keeps_is_interrupted_by_its_run_elsewhere(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask(None, messages=(QUESTION,), is_kept=False)
    here.exchange(said="one ")
    done = there.desk.interrupt(None, reader.run.run_id)
    assert (done.session_id, done.interrupted, done.partial) == (None, True, "one ")


def test_a_question_supersedes_the_answer_of_another_process(pair: list[Process]) -> None:
    here, there = pair
    first = here.ask()
    exchange = here.exchange(said="one ")
    second = there.ask(message=QUESTION)
    assert first.end().done_reason == "superseded"
    assert exchange.is_closed
    there.exchange(said="two ").say(is_done=True)
    assert second.end().done_reason == "stop"
    assert (
        here.messages()
        == there.messages()
        == [
            ("user", "q", False),
            ("assistant", "one ", True),
            ("user", "q", False),
            ("assistant", "two ", False),
        ]
    )


def test_a_question_that_would_wait_is_refused_while_another_process_answers(pair: list[Process]) -> None:
    here, there = pair
    here.ask()
    here.exchange(said="one ")
    with pytest.raises(BusySession):
        there.ask(messages=(QUESTION,), on_busy="reject")
    with pytest.raises(BusySession):
        there.ask(message=QUESTION, on_busy="reject")
    assert not here.readers[0].run.has_outcome


def test_a_question_that_is_too_large_ends_no_answer_elsewhere(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    there.store.reconfigure(Bounds(100, 1800, 10, max_body_bytes=10))
    with pytest.raises(TooLarge):
        there.ask(message=Message(role="user", content="x" * 100))
    assert not reader.run.has_outcome


def test_continue_ends_the_answer_elsewhere_and_goes_on_behind_it(pair: list[Process]) -> None:
    here, there = pair
    here.ask()
    here.exchange(said="one ")
    second = there.ask(is_continue=True)
    there.exchange(said="two").say(is_done=True)
    assert second.end().done_reason == "stop"
    assert here.messages() == [("user", "q", False), ("assistant", "one two", False)]
    with pytest.raises(NothingToContinue):
        here.ask(is_continue=True)


def test_delete_ends_the_answer_elsewhere_and_nothing_comes_back(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    there.desk.forget("s")
    assert reader.end().done_reason == "interrupted"
    for each in pair:
        with pytest.raises(UnknownSession):
            each.desk.session("s")
        with pytest.raises(UnknownSession):
            each.desk.find("s", None)


def test_a_late_interrupt_reads_neither_the_log_nor_the_session(
    pair: list[Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    run_id = here.ask().run.run_id
    here.exchange(said="one ").say(is_done=True)
    here.readers[0].end()
    wait_for(lambda: (log := there.peers._logs.read(run_id)) and log.is_ended, "all is written down")

    def read(_self: object, whose: str) -> None:
        raise AssertionError(f"all of {whose} is read")

    monkeypatch.setattr(Logs, "read", read)
    monkeypatch.setattr(RedisStore, "_read", read)
    assert not there.desk.interrupt(None, run_id).interrupted
    assert not there.desk.interrupt("s", None).interrupted
    with pytest.raises(UnknownSession):
        there.desk.interrupt("another", None)
    monkeypatch.undo()


def test_a_session_that_is_deleted_under_an_answer_does_not_come_back(pair: list[Process]) -> None:
    """As after a process that was cut off, or a question that came in the middle of a deletion."""
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    assert there.store.delete("s")
    assert reader.end().done_reason == "interrupted"
    assert here.exchange().is_closed
    assert not here.store.has("s")


def test_a_reader_follows_the_answer_of_another_process_to_its_end(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    events = read(there)
    first = next(events)
    assert isinstance(first, Started)
    assert first.run_id == reader.run.run_id
    assert next(events) == Text("one ")
    exchange.say("two ")
    assert next(events) == Text("two ")
    exchange.say(is_done=True)
    [end] = list(events)
    assert end == reader.end()


def test_a_reader_elsewhere_may_ask_again_as_soon_as_it_reads_the_end(server: RedisServer) -> None:
    with processes(server, max_streams=1) as (here, there):
        here.ask()
        here.exchange(said="one ")
        follower = read(there)
        assert isinstance(next(follower), Started)
        assert there.desk.streams == 1
        here.exchange(0).say(is_done=True)
        while not isinstance(next(follower), Ended):
            pass
        assert there.desk.streams == 0
        follower.close()  # type: ignore[attr-defined]
        assert there.desk.streams == 0


def test_a_reader_with_a_place_gets_what_comes_behind_it(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    events = read(there, place=Place(reader.run.run_id, 2))
    exchange.say("two ")
    assert next(events) == Text("two ")
    exchange.say(is_done=True)
    assert isinstance(next(events), Ended)
    wait_for(lambda: there.desk.find("s", Place(reader.run.run_id, 4)) is None, "all is read")


def test_an_ended_answer_is_replayed_anywhere(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ").say(is_done=True)
    reader.end()
    events = list(read(there))
    assert text_of(events) == "one "
    assert events == list(read(here)) == reader.events
    found = there.desk.find_run(Place(reader.run.run_id, 2))
    assert found is not None
    assert [type(event) for event in there.desk.read(found, None).events] == [Ended]


def test_the_answer_of_a_dead_process_is_what_it_has_written_down(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    logs = there.peers._logs
    wait_for(lambda: (log := logs.read(reader.run.run_id)) and log.text, "it is written down")
    follower = read(there)
    assert isinstance(next(follower), Started)
    here.vanish()
    wait_for(lambda: there.desk.session("s").run_id is None, "the dead process's answer is settled")
    assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]
    events = list(follower)
    assert text_of(events) == "one "
    assert isinstance(events[-1], Ended)
    assert events[-1].done_reason == "interrupted"
    here.exchange(0).say("late", is_done=True)
    assert reader.end().done_reason == "stop"
    assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]


def test_a_log_that_cannot_be_read_keeps_no_session_taken(pair: list[Process], server: RedisServer) -> None:
    """As of a process of another version, which has died; those that died after it are settled too."""
    here, there = pair
    log_of = here.link.key("log", here.ask("damaged").run.run_id)
    here.exchange(said="one ")
    here.ask("whole")
    here.exchange(1, said="two ")
    client = server.client()
    wait_for(lambda: client.xlen(log_of), "it is written down")
    here.vanish()
    client.delete(log_of)
    client.xadd(log_of, {"first": 1, "events": '[["started",{"of":"another version"}]]'}, "7-0")
    for session_id, said in (("damaged", ""), ("whole", "two ")):
        wait_for(lambda name=session_id: there.desk.session(name).run_id is None, "it is settled")  # type: ignore[misc]
        assert there.messages(session_id)[-1] == ("assistant", said, True)


def test_many_runs_of_a_dead_process_keep_no_other_from_its_own(
    pair: list[Process], server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    for session_id in "ab":
        here.ask(session_id)
    beat = there.peers._beat
    assert beat is not None
    beat._is_over.set()  # no turn but those of the test
    there.desk._mirror.wake()
    beat._thread.join()
    monkeypatch.setattr("clawgate.redis.beat.BURY_S", 0)
    here.vanish()
    beat._bury()
    assert sorted(there.store.head(session_id).run_id is None for session_id in "ab") == [False, True]
    assert beat._has_dead
    beat._bury()
    beat._bury()
    assert [there.store.head(session_id).run_id for session_id in "ab"] == [None, None]
    assert not beat._has_dead
    assert server.client().zscore(here.link.key("processes"), here.peers._process) is None


def test_a_process_is_known_by_its_runs_however_long_they_take(pair: list[Process], server: RedisServer) -> None:
    here, _ = pair
    here.ask()
    runs = here.link.key("runs", here.peers._process)
    client = server.client()
    client.pexpire(runs, 5_000)
    assert here.peers._beat is not None
    here.peers._beat._renew()
    assert client.ttl(runs) > 1_000


def test_a_question_does_not_wait_for_a_dead_process(pair: list[Process]) -> None:
    here, there = pair
    here.ask()
    here.exchange(said="one ")
    here.vanish()
    second = there.ask(messages=(QUESTION,))
    there.exchange(said="two").say(is_done=True)
    assert second.end().done_reason == "stop"
    assert there.messages() == [("user", "q", False), ("assistant", "two", False)]


def test_a_question_that_is_asked_again_elsewhere_finds_its_answer(pair: list[Process]) -> None:
    here, there = pair
    request = ChatRequest(model="m", messages=(QUESTION,))
    run = here.desk.admit_once(request, "key-0123456789abcdef", request)
    found = there.desk.admit_once(request, "key-0123456789abcdef", request)
    assert run is not None
    assert found is not None
    assert found.run_id == run.run_id
    here.desk.release(run)  # type: ignore[arg-type]


def test_a_reader_elsewhere_keeps_an_answer_going_until_it_leaves(pair: list[Process]) -> None:
    here, there = pair
    run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    events = here.desk.pump(run, None)
    next(events)
    follower = read(there)
    next(follower)
    wait_for(lambda: here.desk._mirror.has_readers(run.run_id), "the reader is known")
    events.close()  # type: ignore[attr-defined]
    here.desk.release(run)
    assert not run.has_outcome
    wait_for(lambda: here.client.exchanges and here.client.exchanges[0].is_open, "the answer begins")
    here.client.exchanges[0].say("one ")
    assert next(follower) == Text("one ")
    follower.close()  # type: ignore[attr-defined]
    wait_for(lambda: run.ended, "the last reader has left")
    assert here.messages() == [("user", "q", False), ("assistant", "one ", True)]


def test_a_reader_that_dies_is_not_waited_for_for_ever(pair: list[Process], monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = pair
    monkeypatch.setattr("clawgate.relay.mirror.WANTED_S", 0.3)
    run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    events = here.desk.pump(run, None)
    next(events)
    assert there.peers.ask(run.run_id, "a reader")
    events.close()  # type: ignore[attr-defined]
    here.desk.release(run)
    assert not run.has_outcome
    wait_for(lambda: run.ended, "nobody reads it any more")


def test_a_reader_that_has_more_than_is_written_down_gets_nothing_twice_nor_waits_for_ever(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    exchange = here.exchange(said="one ")
    follower = read(there)
    assert [type(next(follower)) for _ in range(2)] == [Started, Text]
    log = there.peers._logs.read(reader.run.run_id)
    assert log is not None
    now = 0.0
    elsewhere = RunElsewhere(log, "", there.peers, lambda: False, lambda: now)
    assert elsewhere.after(3) == ()
    now = AHEAD_S
    assert [type(event) for event in elsewhere.after(3)] == [Reset]
    now = 0.0
    exchange.say("two ")
    wait_for(lambda: not elsewhere.step(0) and log.last == 3, "more is written down")
    assert elsewhere.after(3) == ()
    assert elsewhere.after(2) == [Text("two ")]
    exchange.say(is_done=True)
    wait_for(lambda: not elsewhere.step(0) and log.is_ended, "the end is written down")
    assert [type(event) for event in elsewhere.after(3)] == [Ended]
    assert [type(event) for event in elsewhere.after(9)] == [Reset, Ended]
    elsewhere.release()
    follower.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("is_dead", [True, False])
def test_a_reader_whose_place_becomes_that_of_the_end_gets_it(pair: list[Process], is_dead: bool) -> None:
    """It has a word that a dead process has not shared, or that end, and comes back before it is written down."""
    here, there = pair
    run_id = here.ask().run.run_id
    exchange = here.exchange(said="one ")
    wait_for(lambda: (log := there.peers._logs.read(run_id)) and log.text, "it is written down")
    log = there.peers.log_of(run_id, "a reader")
    assert log is not None
    elsewhere = RunElsewhere(log, "a reader", there.peers, lambda: False)
    assert elsewhere.after(3) == ()
    if is_dead:
        here.vanish()
        there.peers.ask(run_id, "a reader")
    else:
        exchange.say(is_done=True)
    wait_for(lambda: not elsewhere.step(0) and log.is_ended, "the end is written down")
    assert [type(event) for event in elsewhere.after(3)] == [Reset, Ended]
    elsewhere.release()


def test_a_reader_that_was_slow_gets_all_of_an_answer_that_its_process_has_forgotten(pair: list[Process]) -> None:
    here, there = pair
    run_id = here.peers.name_run()
    logs = there.peers._logs
    logs.write([Batch(run_id, None, 1, 1, [Started("s", run_id, "m")], is_anew=False, is_wanted=True)])
    log = logs.read(run_id)
    assert log is not None
    now = 0.0
    elsewhere = RunElsewhere(log, "", there.peers, lambda: False, lambda: now)
    events = [*(Text(f"w{number} ") for number in range(2 * PAGE)), Ended("s", run_id, "stop")]
    each = enumerate(events, start=2)
    logs.write([Batch(run_id, None, number, number, [event], False, True) for number, event in each])
    now = ASK_EVERY_S
    while not log.is_ended:
        elsewhere.step(now)
    assert elsewhere.after(1) == events
    elsewhere.release()


def test_a_process_without_a_thread_to_spare_listens_again_once_it_has_one(
    pair: list[Process], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    with monkeypatch.context() as patch:
        patch.setattr("concurrent.futures.thread.threading.Thread.start", refuse)
        assert there.peers._push(Request("leave", reader.run.run_id, ""))
        wait_for(lambda: "the inbox of this process has failed" in caplog.text, "it has no thread")
    assert there.desk.interrupt("s", None).interrupted
    assert reader.end().done_reason == "interrupted"


def refuse(_: threading.Thread) -> None:
    """Refuse to start a thread, as a machine does that has no room for one."""
    raise RuntimeError("can't start new thread")


def test_a_run_that_nobody_makes_does_not_keep_its_session(pair: list[Process]) -> None:
    """A `begin` that was given up may be taken later, as after a hang of Redis."""
    here, there = pair
    run_id = here.peers.name_run()
    here.store.begin("s", run_id, (QUESTION,))
    beat = here.peers._beat
    assert beat is not None
    beat._sweep()
    assert there.store.head("s").run_id == run_id
    beat._sweep()
    assert there.store.head("s").run_id is None
    assert there.messages() == [("user", "q", False), ("assistant", "", True)]
    reader = here.ask("other")
    for _ in range(3):
        beat._sweep()
    assert not reader.run.has_outcome
