"""A session's answer is the same thing wherever it is asked about: ended, replaced, gone on with, and found again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clawgate.errors import BusySession, NothingToContinue, TooLarge, UnknownSession
from clawgate.redis.hearing import HEARERS
from clawgate.redis.logs import Logs
from clawgate.redis.peers import ANSWER_S
from clawgate.redis.store import RedisStore
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Bounds, Message
from tests.support.tools import wait_for
from tests.unit.redis.two_desks import Process
from tests.unit.relay.desk_room import QUESTION


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


def test_a_question_that_is_asked_again_elsewhere_finds_its_answer(pair: list[Process]) -> None:
    here, there = pair
    request = ChatRequest(model="m", messages=(QUESTION,))
    run = here.desk.admit_once(request, "key-0123456789abcdef", request)
    found = there.desk.admit_once(request, "key-0123456789abcdef", request)
    assert run is not None
    assert found is not None
    assert found.run_id == run.run_id
    here.desk.release(run)  # type: ignore[arg-type]
