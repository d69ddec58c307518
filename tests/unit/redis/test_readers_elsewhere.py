"""Readers of another process's answer: they get all of it, once and in order, and one end."""

from __future__ import annotations

import pytest

from clawgate.redis.logs import PAGE
from clawgate.relay.elsewhere import AHEAD_S, ASK_EVERY_S, RunElsewhere
from clawgate.relay.events import Ended, Reset, Started, Text
from clawgate.relay.following import Place
from clawgate.relay.peers import Batch
from clawgate.relay.prompt import ChatRequest
from tests.support.redis import RedisServer
from tests.support.tools import wait_for
from tests.unit.redis.two_desks import Process, processes, read, text_of
from tests.unit.relay.desk_room import QUESTION


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


def test_a_reader_elsewhere_may_ask_again_as_soon_as_it_reads_the_end(shared: RedisServer) -> None:
    with processes(shared, max_streams=1) as (here, there):
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
