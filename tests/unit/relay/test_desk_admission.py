"""The desk at the start of an answer: the requests that it admits, and the changes that it makes for them."""

from __future__ import annotations

import os
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from clawgate.errors import Busy, BusySession, NothingToContinue, TooLarge, UnknownSession
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Bounds, Message
from tests.support.tools import DEADLINE_S
from tests.unit.relay.desk_room import QUESTION, MakeRoom, Reader, ScriptedExchange


def test_a_new_session_gets_an_id_of_its_own_that_nobody_guesses(room: MakeRoom) -> None:
    here = room()
    readers = [here.ask(None), here.ask(None)]
    ids = {reader.run.session_id for reader in readers} | {reader.run.run_id for reader in readers}
    assert len(ids) == 4
    for each in ids:
        kind, _, secret = each.partition("_")
        assert kind in ("sess", "run")
        assert len(secret) >= 32


def test_a_process_without_file_descriptors_refuses_and_changes_nothing(room: MakeRoom) -> None:
    here = room()
    here.ask()
    here.exchange(said="a")
    before = here.messages()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, hard))
        with pytest.raises(Busy, match="no further answer can be started"):
            here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(lowest_free)
    assert here.messages() == before
    assert here.desk.streams == 1
    assert here.desk.interrupt("s", None).interrupted


def test_a_new_message_supersedes_takes_the_slot_over_and_sees_the_partial_text(room: MakeRoom) -> None:
    here = room(max_streams=1)
    first = here.ask()
    exchange = here.exchange(said="a ")
    second = here.ask(message=QUESTION)
    assert here.desk.streams == 1
    here.exchange(1).say("b", is_done=True)
    assert exchange.is_closed
    assert first.end().done_reason == "superseded"
    assert second.end().done_reason == "stop"
    assert here.client.exchanges[1].request["messages"] == [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a "},
        {"role": "user", "content": "q"},
    ]
    assert here.messages() == [
        ("user", "q", False),
        ("assistant", "a ", True),
        ("user", "q", False),
        ("assistant", "b", False),
    ]


def test_many_supersede_each_other_and_one_answer_is_left(room: MakeRoom) -> None:
    here = room(max_streams=1)
    gate = threading.Barrier(10)
    lock = threading.Lock()

    def ask() -> None:
        gate.wait()
        run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
        with lock:
            here.readers.append(Reader(here.desk, run))

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [reader for reader in here.readers if reader.run.ended is None]
    assert len(left) == 1
    assert here.desk.streams == 1
    assert here.desk.interrupt("s", left[0].run.run_id).interrupted
    reasons = sorted(reader.end().done_reason for reader in here.readers)
    assert reasons == ["interrupted"] + ["superseded"] * 9


def test_a_rejected_message_changes_nothing(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    here.exchange(said="a")
    before = here.messages()
    for fields in ({"message": QUESTION}, {"messages": (QUESTION,)}, {"is_continue": True}):
        with pytest.raises(BusySession):
            here.ask(on_busy="reject", **fields)
    assert here.messages() == before
    assert (reader.run.ended, here.desk.streams) == (None, 1)
    assert here.desk.session("s").run_id == reader.run.run_id
    here.exchange().say(is_done=True)
    assert reader.end().done_reason == "stop"
    here.ask(on_busy="reject", message=QUESTION)


def test_an_answer_that_has_ended_rejects_nothing_though_its_reader_is_not_done(room: MakeRoom) -> None:
    here = room()
    run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    run.end("stop")
    here.ask(on_busy="reject", message=QUESTION)
    here.desk.release(run)


def test_beyond_the_streams_other_sessions_are_refused_and_nothing_changes(room: MakeRoom) -> None:
    here = room(max_streams=2)
    first = here.ask("a")
    exchange = here.exchange()  # before the other asks: it might be the first to reach the client
    here.ask("b")
    with pytest.raises(Busy) as caught:
        here.ask("c")
    assert caught.value.retry_after_s
    with pytest.raises(UnknownSession):
        here.desk.session("c")
    exchange.say(is_done=True)
    first.end()
    here.ask("c")
    assert here.desk.streams == 2


def test_a_message_needs_a_session_that_is_known(room: MakeRoom) -> None:
    here = room()
    for fields in ({"message": QUESTION}, {"is_continue": True}):
        with pytest.raises(UnknownSession):
            here.ask("nowhere", **fields)
    assert len(here.store) == 0
    here.ask(None, message=QUESTION)
    assert len(here.store) == 1


@pytest.mark.parametrize("said", ["故宫 ", ""])
def test_an_unfinished_answer_is_continued_where_it_stopped(room: MakeRoom, said: str) -> None:
    here = room()
    reader = here.ask()
    here.exchange(said=said)
    here.desk.interrupt("s", None)
    reader.end()
    reader = here.ask(is_continue=True)
    here.exchange(1).say("天坛", is_done=True)
    reader.end()
    asked = here.client.exchanges[1].request["messages"]
    assert asked == [{"role": "user", "content": "q"}, {"role": "assistant", "content": said}][: 1 + bool(said)]
    assert here.messages() == [("user", "q", False), ("assistant", f"{said}天坛", False)]


def test_a_running_answer_can_be_told_to_continue(room: MakeRoom) -> None:
    here = room()
    first = here.ask()
    here.exchange(said="a")
    second = here.ask(is_continue=True)
    assert first.end().done_reason == "superseded"
    here.exchange(1).say("b", is_done=True)
    second.end()
    assert here.messages() == [("user", "q", False), ("assistant", "ab", False)]


def test_a_finished_answer_is_not_continued(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    here.exchange().say("a", is_done=True)
    reader.end()
    with pytest.raises(NothingToContinue):
        here.ask(is_continue=True)
    assert here.messages() == [("user", "q", False), ("assistant", "a", False)]
    assert here.desk.streams == 0


def test_the_partial_text_survives_where_answers_in_flight_take_all_sessions(room: MakeRoom) -> None:
    here = room(max_sessions=1)
    here.ask("other")
    here.exchange(0)
    here.ask("s")
    here.exchange(1, said="a ")
    here.ask("s", message=QUESTION)
    assert here.messages()[1] == ("assistant", "a ", True)


def test_a_follow_up_finds_its_session_while_others_settle(room: MakeRoom) -> None:
    """The session is never idle between two runs: where one idle session is kept, any other would evict it."""
    here = room(max_sessions=1)
    is_over = threading.Event()

    def press(name: str) -> None:
        while not is_over.is_set():
            here.store.begin(name, "r", (QUESTION,))
            here.store.settle(name, "r", QUESTION)

    threads = [threading.Thread(target=press, args=(f"other{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        here.ask("s")
        for _ in range(300):
            here.ask("s", message=QUESTION)  # UnknownSession, where it was forgotten
        assert here.desk.session("s").run_id == here.readers[-1].run.run_id
        assert here.messages()[0] == ("user", "q", False)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    here.desk.interrupt("s", None)


def say_the_rest(exchange: ScriptedExchange) -> None:
    """End an answer, unless it was closed before."""
    try:
        exchange.say("b", is_done=True)
    except OSError:
        pass


def test_what_is_said_to_the_last_moment_is_in_the_next_prompt(room: MakeRoom) -> None:
    """The answer ends by itself while the next message is admitted: its text is there once, whichever comes first."""
    here = room()
    for number in range(100):
        session_id = f"s{number}"
        here.ask(session_id)
        exchange = here.exchange(said="a")
        ends = threading.Thread(target=say_the_rest, args=(exchange,))
        ends.start()
        reader = here.ask(session_id, message=QUESTION)
        ends.join()
        said = [message["content"] for message in here.exchange().request["messages"] if message["role"] != "user"]
        assert said in (["a"], ["ab"])
        assert here.messages(session_id)[1][1] == said[0]
        here.desk.interrupt(session_id, None)
        reader.end()


def test_a_session_that_would_grow_without_end_is_refused_and_nothing_changes(room: MakeRoom) -> None:
    here = room()
    here.store.reconfigure(Bounds(100, 1800, 1000, max_body_bytes=2000))
    rule = Message(role="system", content="x" * 400)
    first = here.ask()
    here.exchange(said="a")
    for _ in range(5):
        here.ask(message=rule)
        here.exchange(said="a")
    before = here.messages()
    running = here.readers[-1].run
    for _ in range(3):
        with pytest.raises(TooLarge, match="begin a new session"):
            here.ask(message=Message(role="system", content="x" * 1000))
    assert here.messages() == before
    assert (running.ended, here.desk.streams) == (None, 1)
    assert first.end().done_reason == "superseded"
    here.desk.interrupt("s", None)


@pytest.mark.parametrize("asked", ["get", "begin"])
def test_a_store_that_is_slow_for_one_session_holds_up_no_other(room: MakeRoom, asked: str) -> None:
    here = room()
    here.ask("slow")
    here.exchange(0, said="a")
    is_asked, go = threading.Event(), threading.Event()
    plain = getattr(here.store, asked)

    def wait(session_id: str, *given: Any) -> Any:
        if session_id == "slow":
            is_asked.set()
            assert go.wait(DEADLINE_S)
        return plain(session_id, *given)

    setattr(here.store, asked, wait)
    follow_up = threading.Thread(target=here.ask, args=("slow",), kwargs={"message": QUESTION})
    follow_up.start()
    assert is_asked.wait(DEADLINE_S)
    here.ask("quick")
    here.exchange(1, said="b")
    assert here.desk.interrupt("quick", None).partial == "b"
    here.ask("gone")
    here.desk.forget("gone")
    go.set()
    follow_up.join()
    here.desk.interrupt("slow", None)
    assert here.messages("slow")[1] == ("assistant", "a", True)


def test_an_interrupt_that_meets_a_follow_up_ends_one_of_the_two(room: MakeRoom) -> None:
    here = room()
    for number in range(100):
        session_id = f"s{number}"
        here.ask(session_id)
        with ThreadPoolExecutor(1) as pool:
            cut = pool.submit(here.desk.interrupt, session_id, None)
            reader = here.ask(session_id, message=QUESTION)
            done = cut.result()
        assert done.interrupted
        if done.run_id != reader.run.run_id:
            here.desk.interrupt(session_id, None)
        assert reader.end().done_reason == "interrupted"


def test_a_store_that_fails_costs_no_fds(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    here.exchange(said="a")

    def fail(*_: Any) -> None:
        raise RuntimeError("the store is away")

    begin, here.store.begin = here.store.begin, fail  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError):
        here.ask(message=QUESTION)
    here.store.begin = begin  # type: ignore[method-assign]
    assert reader.end().done_reason == "superseded"
    assert here.messages()[-1] == ("assistant", "a", True)  # and the fixture counts the fds
