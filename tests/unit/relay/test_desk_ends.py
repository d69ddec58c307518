"""The desk at the end of an answer: an interrupt hits the right run, and everything is given back."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from typing import Any

import pytest

from clawgate.errors import ShuttingDown, UnknownSession, UpstreamUnreachable
from clawgate.ollama.client import OllamaClient
from clawgate.relay.desk import Desk
from clawgate.relay.events import Ended, Started, Text
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.stats import Stats
from clawgate.sessions import Bounds, MemoryStore
from tests.support.observer import Noted
from tests.support.tools import DEADLINE_S, free_port, wait_for
from tests.unit.relay.desk_room import LIMITS, QUESTION, MakeRoom


def test_an_answer_is_told_and_settled(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    assert here.desk.streams == 1
    here.exchange().say("春", "光", is_done=True)
    assert reader.end() == Ended("s", reader.run.run_id, "stop", Stats(eval_count=7))
    assert reader.events[0] == Started("s", reader.run.run_id, "m")
    assert "".join(event.text for event in reader.events if isinstance(event, Text)) == "春光"
    assert here.messages() == [("user", "q", False), ("assistant", "春光", False)]
    assert here.desk.session("s").run_id is None
    assert here.client.exchanges[0].request == {
        "model": "m",
        "messages": [{"role": "user", "content": "q"}],
        "stream": True,
    }


def test_what_a_run_held_is_freed_when_it_is_over_not_when_garbage_is_collected(room: MakeRoom) -> None:
    """Its prompt may be 16 MiB, and garbage is collected by the number of objects, whatever their size."""
    here = room()
    gc.collect()
    gc.disable()
    try:
        here.ask()
        here.exchange(said="a").say(is_done=True)
        reader = here.readers.pop()
        reader.end()
        run = weakref.ref(reader.run)
        del reader
        assert run() is None
    finally:
        gc.enable()


def test_an_interrupt_settles_the_partial_text_and_closes_the_connection(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    exchange = here.exchange(said="故宫 ")
    done = here.desk.interrupt("s", None)
    assert exchange.is_closed
    assert done == ("s", reader.run.run_id, True, "故宫 ")
    assert here.messages() == [("user", "q", False), ("assistant", "故宫 ", True)]
    assert here.desk.interrupt("s", None).interrupted is False
    assert reader.end().done_reason == "interrupted"


def test_an_interrupt_by_run_id_alone_reaches_it(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    assert here.desk.interrupt(None, reader.run.run_id)[:3] == ("s", reader.run.run_id, True)
    assert here.desk.interrupt(None, "run_unknown") == (None, "run_unknown", False, "")
    reader.end()
    assert here.desk.interrupt(None, reader.run.run_id).interrupted is False


def test_an_interrupt_for_an_earlier_run_hits_nothing(room: MakeRoom) -> None:
    here = room()
    first = here.ask()
    here.exchange().say("a", is_done=True)
    first.end()
    second = here.ask(message=QUESTION)
    assert here.desk.interrupt("s", first.run.run_id) == ("s", first.run.run_id, False, "")
    assert second.run.ended is None
    assert here.desk.interrupt("s", second.run.run_id).interrupted is True


def test_an_interrupt_of_an_unknown_session_says_so(room: MakeRoom) -> None:
    here = room()
    with pytest.raises(UnknownSession):
        here.desk.interrupt("s", None)
    here.ask()
    with pytest.raises(UnknownSession):
        here.desk.interrupt("other", None)


def test_a_forgotten_session_is_gone_and_its_answer_ends(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    exchange = here.exchange(said="a")
    here.desk.forget("s")
    assert exchange.is_closed
    assert reader.end().done_reason == "interrupted"
    for act in (lambda: here.desk.session("s"), lambda: here.desk.forget("s"), lambda: here.desk.interrupt("s", None)):
        with pytest.raises(UnknownSession):
            act()
    with pytest.raises(UnknownSession):
        here.ask(message=QUESTION)
    assert len(here.store) == 0


def test_a_session_that_cannot_be_forgotten_keeps_the_partial_text(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    here.exchange(said="a")

    def fail(_: str) -> bool:
        raise RuntimeError("the store is away")

    here.store.delete = fail  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError):
        here.desk.forget("s")
    assert reader.end().done_reason == "interrupted"
    assert here.messages() == [("user", "q", False), ("assistant", "a", True)]


def test_a_drain_without_grace_ends_everything_with_its_text(room: MakeRoom) -> None:
    here = room()
    readers = [here.ask("a"), here.ask("b")]
    here.exchange(0).say("x")
    wait_for(lambda: any(reader.run.text for reader in readers), "the text is told")
    here.desk.drain(0)
    assert here.desk.is_draining
    assert here.desk.streams == 0
    assert [reader.end().done_reason for reader in readers] == ["interrupted"] * 2
    assert sorted(here.messages(each)[-1] for each in "ab") == [("assistant", "", True), ("assistant", "x", True)]
    with pytest.raises(ShuttingDown):
        here.ask("c")


def test_a_drain_closes_the_connections_of_readers_that_are_stuck(
    room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that writes to such a reader drives its run no further, and Ollama would go on computing."""
    monkeypatch.setattr("clawgate.relay.desk.LAST_WORDS_S", 0.0)
    here = room()
    run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    exchange = here.client.chat({})
    exchange.start(lambda: None)
    run.connect(exchange)  # type: ignore[arg-type]
    here.desk.drain(0)
    assert exchange.is_closed
    here.desk.release(run)


def test_a_drain_waits_for_an_answer_that_ends_in_time(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    exchange = here.exchange(said="a")
    drain = threading.Thread(target=here.desk.drain, args=(10.0,))
    drain.start()
    wait_for(lambda: here.desk.is_draining, "the drain begins")
    assert reader.run.ended is None
    exchange.say("b", is_done=True)
    drain.join()
    assert reader.end().done_reason == "stop"
    assert here.messages()[-1] == ("assistant", "ab", False)


def test_a_run_that_was_never_pumped_gives_everything_back(room: MakeRoom) -> None:
    here = room()
    run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    told = here.desk.pump(run, None)
    here.desk.release(run)
    assert here.messages() == [("user", "q", False), ("assistant", "", True)]
    del told


def test_a_run_that_cannot_be_settled_gives_everything_back(room: MakeRoom) -> None:
    here = room()
    noted = Noted()
    desk = Desk(here.store, here.client, 1, LIMITS, (noted,))  # type: ignore[arg-type]

    def fail(*_: Any) -> bool:
        raise RuntimeError("the store is away")

    here.store.settle = fail  # type: ignore[method-assign,assignment]
    run = desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    with pytest.raises(RuntimeError):
        desk.release(run)
    assert (desk.streams, [report.done_reason for report in noted.reports]) == (0, ["interrupted"])


def test_a_reader_that_cannot_be_written_to_is_hung_up_on(room: MakeRoom) -> None:
    """The server closes a connection that it could not write to, so that nothing waits for that reader to close it."""
    here = room()
    ours, readers = socket.socketpair()
    with ours, readers:
        run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
        told = here.desk.pump(run, ours)
        next(told)
        told.close()  # type: ignore[attr-defined]
        ours.settimeout(5)
        assert ours.recv(1) == readers.recv(1) == b"", "closed for both directions"
        here.desk.release(run)
    assert here.messages() == [("user", "q", False), ("assistant", "", True)]


def test_an_answer_told_to_its_end_leaves_the_connection_to_the_server(room: MakeRoom) -> None:
    """The server may keep it for another request."""
    here = room()
    ours, readers = socket.socketpair()
    with ours, readers:
        run = here.desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
        here.desk.interrupt("s", None)
        assert [type(event) for event in here.desk.pump(run, ours)] == [Started, Ended]
        here.desk.release(run)
        ours.sendall(b"x")
        assert readers.recv(1) == b"x"


def test_an_ollama_that_is_away_is_the_end_where_nothing_is_retried(room: MakeRoom) -> None:
    room()  # it counts the fds
    client = OllamaClient(f"http://127.0.0.1:{free_port()}")
    desk = Desk(MemoryStore(Bounds(100, 1800, 1 << 20)), client, 1, LIMITS)
    run = desk.admit(ChatRequest(model="m", session_id="s", messages=(QUESTION,)))
    told = list(desk.pump(run, None))
    desk.release(run)
    assert [type(event) for event in told] == [Started, Ended]
    assert isinstance(told[-1], Ended)
    assert isinstance(told[-1].error, UpstreamUnreachable)
    assert told[-1].error.message == "Ollama refused the connection"
    assert desk.session("s").messages[-1].interrupted


@pytest.mark.parametrize("grace_s", [0, DEADLINE_S])
def test_a_drain_waits_for_an_admission_that_is_under_way(room: MakeRoom, grace_s: float) -> None:
    here = room()
    is_asked, go = threading.Event(), threading.Event()
    begin = here.store.begin

    def wait(*given: Any) -> Any:
        is_asked.set()
        assert go.wait(DEADLINE_S)
        return begin(*given)

    here.store.begin = wait  # type: ignore[method-assign,assignment]
    asking = threading.Thread(target=here.ask)
    asking.start()
    assert is_asked.wait(DEADLINE_S)
    drain = threading.Thread(target=here.desk.drain, args=(grace_s,))
    drain.start()
    wait_for(lambda: here.desk.is_draining, "it takes no more")
    assert drain.is_alive()
    go.set()
    asking.join()
    if grace_s:
        here.exchange().say("a", is_done=True)
    drain.join()
    assert here.readers[0].end().done_reason == ("stop" if grace_s else "interrupted")
