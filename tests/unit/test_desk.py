"""The desk: who may be answered, which run an interrupt hits, and that everything is given back."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from clawgate.config import StreamConfig
from clawgate.errors import Busy, BusySession, NothingToContinue, ShuttingDown, UnknownSession, UpstreamUnreachable
from clawgate.ollama.client import OllamaClient, OpenFailure
from clawgate.relay.desk import Desk, Order
from clawgate.relay.events import Ended, Event, Started, Text
from clawgate.relay.run import Run
from clawgate.sessions import MemoryStore, Message
from tests.support.tools import free_port, require_procfs, wait_for

LIMITS = StreamConfig(smoothing_ms=0, retry_seconds=0)
QUESTION = Message(role="user", content="q")


class ScriptedExchange:
    """An exchange whose other end a test holds: open at once, a real socket to poll."""

    failure: OpenFailure | None = None
    is_whole = False

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.is_open = False
        self.is_at_end = False
        self.is_closed = False
        self._lock = threading.Lock()
        self._sockets: tuple[socket.socket, ...] = ()

    def start(self, tell: Callable[[], None]) -> None:
        """Open at once, unless it was closed before."""
        with self._lock:
            if not self.is_closed:
                self._sockets = socket.socketpair()
                self._sockets[0].setblocking(False)
                self.is_open = True
        tell()

    def fileno(self) -> int:
        """Give the socket to poll."""
        return self._sockets[0].fileno()

    def read(self) -> bytes:
        """Take what has come."""
        try:
            data = self._sockets[0].recv(1 << 16)
        except BlockingIOError:
            return b""
        self.is_at_end = not data
        return data

    def say(self, *contents: str, is_done: bool = False) -> None:
        """Send frames."""
        lines = [msgspec.json.encode({"message": {"content": content}}) for content in contents]
        lines += [b'{"done":true,"done_reason":"stop","eval_count":7}'] * is_done
        self._sockets[1].sendall(b"".join(line + b"\n" for line in lines))

    def finish(self) -> None:
        """Note nothing."""

    def close(self) -> None:
        """Close as the real one does: for good, from any thread and in any phase."""
        with self._lock:
            if not self.is_closed and self._sockets:
                self._sockets[0].shutdown(socket.SHUT_RDWR)
            self.is_closed = True

    def release(self) -> None:
        """Give the sockets back."""
        self.close()
        for each in self._sockets:
            each.close()


class ScriptedClient:
    """A client that hands out scripted exchanges, and keeps them for the test."""

    def __init__(self) -> None:
        self.exchanges: list[ScriptedExchange] = []

    def chat(self, request: dict[str, Any], **_: Any) -> ScriptedExchange:
        """Prepare an exchange."""
        self.exchanges.append(ScriptedExchange(request))
        return self.exchanges[-1]


class Reader:
    """Pumps a run on a thread of its own, as a request does, and keeps what it was told."""

    def __init__(self, desk: Desk, run: Run) -> None:
        self.run = run
        self.told: list[Event] = []
        self._desk = desk
        self._thread = threading.Thread(target=self._pump)
        self._thread.start()

    def _pump(self) -> None:
        self.told += self._desk.pump(self.run, None)
        self._desk.release(self.run)

    def end(self) -> Ended:
        """Wait for the end and return it."""
        self._thread.join()
        last = self.told[-1]
        assert isinstance(last, Ended)
        assert [type(event) for event in self.told].count(Ended) == 1
        assert self.told == self.run.log
        return last


class Room:
    """A desk with everything around it."""

    def __init__(self, max_streams: int = 100, max_sessions: int = 100) -> None:
        self.client = ScriptedClient()
        self.store = MemoryStore(max_sessions, 1800, 1 << 20)
        self.desk = Desk(self.store, self.client, max_streams, LIMITS)  # type: ignore[arg-type]
        self.readers: list[Reader] = []

    def ask(self, session_id: str | None = "s", content: str = "q", **fields: Any) -> Reader:
        """Ask, and read on a thread."""
        fields = fields or {"messages": (Message(role="user", content=content),)}
        reader = Reader(self.desk, self.desk.admit(Order(model="m", session_id=session_id, **fields)))
        self.readers.append(reader)
        return reader

    def exchange(self, number: int = -1, said: str = "") -> ScriptedExchange:
        """Return an exchange once it is there; say something on it and wait until it is told."""
        count = number + 1 if number >= 0 else len(self.readers)
        wait_for(lambda: len(self.client.exchanges) >= count, "the question arrives")
        exchange = self.client.exchanges[number]
        wait_for(lambda: exchange.is_open, "the answer begins")
        if said:
            exchange.say(said)
            wait_for(lambda: self.readers[number].run.text == said, "the text is told")
        return exchange

    def messages(self, session_id: str = "s") -> list[tuple[str, str, bool]]:
        """The session as role, content, interrupted."""
        session = self.desk.session(session_id)
        return [(message.role, message.content, message.interrupted) for message in session.messages]


@pytest.fixture
def room() -> Iterator[Callable[..., Room]]:
    """Make rooms; afterwards nothing may be left of them."""
    require_procfs()
    before = len(os.listdir("/proc/self/fd"))
    rooms: list[Room] = []

    def make(**options: int) -> Room:
        rooms.append(Room(**options))
        return rooms[-1]

    yield make
    for each in rooms:
        each.desk.drain(0)
        for reader in each.readers:
            reader.end()
        assert each.desk.streams == 0
        assert not each.desk._by_session
        assert not each.desk._by_id
    assert len(os.listdir("/proc/self/fd")) == before


MakeRoom = Callable[..., Room]


def test_an_answer_is_told_and_settled(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    assert here.desk.streams == 1
    here.exchange().say("春", "光", is_done=True)
    assert reader.end() == Ended("s", reader.run.run_id, "stop", {"eval_count": 7})
    assert reader.told[0] == Started("s", reader.run.run_id, "m")
    assert "".join(event.text for event in reader.told if isinstance(event, Text)) == "春光"
    assert here.messages() == [("user", "q", False), ("assistant", "春光", False)]
    assert here.desk.session("s").run_id is None
    assert here.client.exchanges[0].request == {
        "model": "m",
        "messages": ({"role": "user", "content": "q"},),
        "stream": True,
    }


def test_a_new_session_gets_an_id_of_its_own_that_nobody_guesses(room: MakeRoom) -> None:
    here = room()
    readers = [here.ask(None), here.ask(None)]
    ids = {reader.run.session_id for reader in readers} | {reader.run.run_id for reader in readers}
    assert len(ids) == 4
    for each in ids:
        kind, _, secret = each.partition("_")
        assert kind in ("sess", "run")
        assert len(secret) >= 32


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
    assert here.client.exchanges[1].request["messages"] == (
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a "},
        {"role": "user", "content": "q"},
    )
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
        run = here.desk.admit(Order(model="m", session_id="s", messages=(QUESTION,)))
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


def test_beyond_the_streams_other_sessions_are_refused_and_nothing_changes(room: MakeRoom) -> None:
    here = room(max_streams=2)
    readers = [here.ask("a"), here.ask("b")]
    with pytest.raises(Busy) as caught:
        here.ask("c")
    assert caught.value.retry_after_s
    with pytest.raises(UnknownSession):
        here.desk.session("c")
    here.exchange(0).say(is_done=True)
    readers[0].end()
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
    assert asked == ({"role": "user", "content": "q"}, {"role": "assistant", "content": said})[: 1 + bool(said)]
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


def test_the_partial_text_survives_where_answers_in_flight_take_all_sessions(room: MakeRoom) -> None:
    here = room(max_sessions=1)
    here.ask("other")
    here.exchange(0)
    here.ask("s")
    here.exchange(1, said="a ")
    here.ask("s", message=QUESTION)
    assert here.messages()[1] == ("assistant", "a ", True)


def test_a_run_that_was_never_pumped_gives_everything_back(room: MakeRoom) -> None:
    here = room()
    run = here.desk.admit(Order(model="m", session_id="s", messages=(QUESTION,)))
    told = here.desk.pump(run, None)
    here.desk.release(run)
    assert here.messages() == [("user", "q", False), ("assistant", "", True)]
    del told


def test_an_ollama_that_is_away_is_the_end_where_nothing_is_retried(room: MakeRoom) -> None:
    room()  # for its counting of fds
    client = OllamaClient(f"http://127.0.0.1:{free_port()}")
    desk = Desk(MemoryStore(100, 1800, 1 << 20), client, 1, LIMITS)
    run = desk.admit(Order(model="m", session_id="s", messages=(QUESTION,)))
    told = list(desk.pump(run, None))
    desk.release(run)
    assert [type(event) for event in told] == [Started, Ended]
    assert isinstance(told[-1], Ended)
    assert isinstance(told[-1].error, UpstreamUnreachable)
    assert told[-1].error.message == "Ollama refused the connection"
    assert desk.session("s").messages[-1].interrupted


def test_a_store_that_fails_costs_no_fds(room: MakeRoom) -> None:
    here = room()
    reader = here.ask()
    here.exchange(said="a")
    before = len(os.listdir("/proc/self/fd"))

    def fail(*_: Any) -> None:
        raise RuntimeError("the store is away")

    begin, here.store.begin = here.store.begin, fail  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError):
        here.ask(message=QUESTION)
    here.store.begin = begin  # type: ignore[method-assign]
    assert reader.run.text == "a"
    assert len(os.listdir("/proc/self/fd")) == before
