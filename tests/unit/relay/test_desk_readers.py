"""The desk's further readers, and its runs without any: they are given back, whatever fails."""

from __future__ import annotations

import errno
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest

from clawgate.errors import Busy
from clawgate.relay import continuation, reader
from clawgate.relay.events import Ended, Event, Reset, Text
from clawgate.relay.following import Place
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from tests.support.tools import DEADLINE_S, wait_for
from tests.unit.relay.desk_room import QUESTION, MakeRoom, Room


def ask_and_leave(here: Room, session_id: str = "s", on_disconnect: Literal["stop", "detach"] = "detach") -> Run:
    """Ask, read the first text, and leave as a client does that hangs up."""
    number = len(here.client.exchanges)
    run = here.desk.admit(
        ChatRequest(model="m", session_id=session_id, messages=(QUESTION,), on_disconnect=on_disconnect)
    )

    def say_and_leave() -> None:
        here.exchange(number).say("one ")
        wait_for(lambda: run.text, "the text is told")
        theirs.close()

    ours, theirs = socket.socketpair()
    with ours:
        leaver = threading.Thread(target=say_and_leave)
        leaver.start()
        for _ in here.desk.pump(run, ours):
            pass
        leaver.join()
    here.desk.release(run)
    return run


def read(here: Room, session_id: str, place: Place | None = None) -> list[Event]:
    """Read a session's answer on to its end."""
    found = here.desk.find(session_id, place)
    assert found is not None
    reading = here.desk.read(found, None)
    try:
        return list(reading.events)
    finally:
        reading.release()


def test_where_the_system_gives_no_thread_the_answer_ends_and_its_text_is_kept(
    room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "answer":
            raise RuntimeError("can't start new thread")
        started(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    here = room()
    run = ask_and_leave(here)
    assert run.ended is not None
    assert run.ended.done_reason == "interrupted"
    assert here.messages() == [("user", "q", False), ("assistant", "one ", True)]
    assert here.desk.streams == 0


def test_where_no_fd_is_left_a_reader_is_busy_and_the_answer_goes_on(
    room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_fd() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    here = room()
    asker = here.ask()
    exchange = here.exchange(said="one ")
    found = here.desk.find("s", None)
    assert found is not None
    with monkeypatch.context() as patch:
        patch.setattr(reader, "WakeEvent", no_fd)
        with pytest.raises(Busy, match="no further answer can be read"):
            here.desk.read(found, None)
    assert here.desk.streams == 1
    exchange.say("two", is_done=True)
    assert asker.end().done_reason == "stop"


def test_a_drain_ends_answers_that_nobody_reads(room: MakeRoom) -> None:
    here = room()
    run = ask_and_leave(here)
    assert run.ended is None
    assert here.desk.streams == 1
    here.desk.drain(0)
    assert run.ended is not None
    assert here.messages()[-1] == ("assistant", "one ", True)
    wait_for(lambda: here.desk.streams == 0, "it is forgotten")


def test_an_end_that_comes_while_a_reader_arrives_is_read(room: MakeRoom) -> None:
    here = room()
    run = ask_and_leave(here)
    found = here.desk.find("s", Place(run.run_id, 2))
    assert found is not None
    assert here.desk.interrupt("s", None).interrupted
    wait_for(lambda: here.desk.streams == 0, "it is forgotten")
    reading = here.desk.read(found, None)
    assert list(reading.events) == [run.ended]
    reading.release()
    assert here.desk.streams == 0
    assert here.desk.find("s", Place(run.run_id, 3)) is None
    assert here.desk.find_run(Place(run.run_id, 3)) is None
    assert read(here, "s")[-1] == run.ended


def test_an_answer_that_was_superseded_is_not_replayed(room: MakeRoom) -> None:
    here = room()
    old = ask_and_leave(here)
    asker = here.ask(content="again")
    assert isinstance(old.ended, Ended)
    assert old.ended.done_reason == "superseded"
    here.exchange(1).say("two", is_done=True)
    asker.end()
    events = read(here, "s", Place(old.run_id, 2))
    assert isinstance(events[0], Reset)
    assert events[0].text == "two"
    wait_for(lambda: here.desk.find_run(Place(old.run_id, 2)) is None, "the thread of the old one has given it back")


def test_what_is_forgotten_is_read_by_nobody_when_its_id_is_in_use_again(room: MakeRoom) -> None:
    """Though a reader of it is stuck, so that the run is not over."""
    here = room()
    asked = ChatRequest(model="m", session_id="s", messages=(QUESTION,))
    run = here.desk.admit_once(asked, "k", asked)
    assert isinstance(run, Run)
    events = here.desk.pump(run, None)
    next(events)
    here.desk.forget("s")
    assert here.desk.find_run(Place(run.run_id, 0)) is None
    asker = here.ask(content="again")
    assert here.desk.find_run(Place(run.run_id, 0)) is None
    assert here.desk.admit_once(asked, "k", asked) is None, "a late copy gets nothing, and ends nothing"
    here.desk.release(run)
    here.exchange().say("two", is_done=True)
    assert asker.end().done_reason == "stop"


def test_an_answer_of_a_session_that_was_pushed_out_is_not_replayed_under_its_id(room: MakeRoom) -> None:
    here = room(max_sessions=3)
    ask(here, "a", "x")
    ask(here, "b", "x")
    old = ask(here, "s", "one ")
    here.desk.session("a")
    here.desk.session("b")
    ask(here, "c", "x")
    assert here.desk.find_run(Place(old.run_id, 0)) is None
    asker = here.ask("s", "again")
    assert here.desk.find_run(Place(old.run_id, 0)) is None
    here.exchange().say("two", is_done=True)
    asker.end()
    assert here.desk.find_run(Place(old.run_id, 0)) is None


def test_two_that_come_under_a_key_do_not_wait_for_one_another_while_ollama_is_asked(
    room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for the other would have no slot, and so no bound. One run is made all the same."""
    asking = threading.Barrier(2)  # of which neither gets out before both have come

    def can_go_on(*_: object) -> bool:
        asking.wait(DEADLINE_S)
        return True

    here = room()
    old = ask_and_leave(here, on_disconnect="stop")
    assert old.text == "one "
    monkeypatch.setattr(continuation, "PATIENCE_S", DEADLINE_S)
    monkeypatch.setattr(here.client, "can_go_on", can_go_on)
    request = ChatRequest(model="m", session_id="s", is_continue=True, on_busy="reject")
    with ThreadPoolExecutor(2) as pool:
        asked = list(pool.map(lambda _: here.desk.admit_once(request, "k", request), range(2)))
    [run] = [each for each in asked if isinstance(each, Run)]
    assert {each.run_id for each in asked if each is not None} == {run.run_id}
    assert None not in asked
    here.desk.release(run)


def ask(here: Room, session_id: str, words: str) -> Run:
    """Ask, and read the whole answer."""
    asker = here.ask(session_id)
    here.exchange().say(words, is_done=True)
    asker.end()
    return asker.run


def test_without_a_wish_and_readers_nothing_is_waited_for(room: MakeRoom) -> None:
    here = room()
    run = ask_and_leave(here, on_disconnect="stop")
    assert run.ended is not None
    assert run.ended.done_reason == "interrupted"
    assert here.desk.streams == 0


@pytest.mark.parametrize("lacks", ["thread", "fd"])
def test_where_the_system_gives_no_more_the_one_that_asked_goes_on_driving(
    room: MakeRoom, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    started = threading.Thread.start
    watches: list[WakeEvent] = []

    def start(thread: threading.Thread) -> None:
        if thread.name == "answer" and lacks == "thread":
            raise RuntimeError("can't start new thread")
        started(thread)

    def make() -> WakeEvent:
        if watches and lacks == "fd":  # the follower has one, the asker gets none
            raise OSError(errno.EMFILE, "Too many open files")
        watches.append(WakeEvent())
        return watches[-1]

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(reader, "WakeEvent", make)
    here = room()
    asker = here.ask()
    exchange = here.exchange(said="one ")
    found = here.desk.find("s", None)
    assert found is not None
    reading = here.desk.read(found, None)
    exchange.say("two", is_done=True)
    assert "".join(event.text for event in reading.events if isinstance(event, Text)) == "one two"
    reading.release()
    assert asker.end().done_reason == "stop"
