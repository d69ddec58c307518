"""A desk with everything around it: scripted exchanges on real sockets, a store, readers on threads.

Tests get one from the fixture `room` (conftest.py), which also checks that everything is given back.
"""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from clawgate.config import StreamConfig
from clawgate.ollama.failures import OpenFailure
from clawgate.relay.desk import Desk
from clawgate.relay.events import Ended, Event
from clawgate.relay.prompt import ChatRequest
from clawgate.relay.run import Run
from clawgate.sessions import Bounds, MemoryStore, Message
from tests.support.tools import wait_for

LIMITS = StreamConfig(smoothing_ms=0, retry_seconds=0)
QUESTION = Message(role="user", content="q")


class ScriptedExchange:
    """An exchange that is open at once, on a real socket; the test holds the other end."""

    failure: OpenFailure | None = None
    is_whole = False
    refused_by = math.inf
    cut_at: float | None = None

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.is_open = False
        self.is_at_end = False
        self.is_closed = False
        self._lock = threading.Lock()
        self._sockets: tuple[socket.socket, ...] = ()

    def start(self, wake: Callable[[], None]) -> None:
        """Open at once, unless it was closed before."""
        with self._lock:
            if not self.is_closed:
                self._sockets = socket.socketpair()
                self._sockets[0].setblocking(False)
                self.is_open = True
        wake()

    def fileno(self) -> int:
        """Give the socket to poll."""
        return self._sockets[0].fileno()

    def read(self) -> bytes:
        """Return the bytes that have come."""
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

    def advance(self) -> None:
        """Be open at once."""

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
    """A client that makes scripted exchanges, and keeps them for the test."""

    def __init__(self) -> None:
        self.exchanges: list[ScriptedExchange] = []

    def chat(self, request: dict[str, Any], *_: Any, **__: Any) -> ScriptedExchange:
        """Prepare an exchange."""
        self.exchanges.append(ScriptedExchange(msgspec.json.decode(msgspec.json.encode(request))))
        return self.exchanges[-1]

    def note_answer(self, model: str, now: float) -> None:
        """Note nothing."""

    def note_load(self, model: str, load_ns: int | None) -> None:
        """Note nothing."""

    def can_go_on(self, _model: str, _timeout_s: float) -> None:
        """Know nothing of the model."""

    def has_given_up(self, _model: str, _now: float) -> bool:
        """Know of nothing that was given up."""
        return False


class Reader:
    """Reads a run on a thread of its own, as a request does, and keeps the events."""

    def __init__(self, desk: Desk, run: Run) -> None:
        self.run = run
        self.events: list[Event] = []
        self._desk = desk
        self._thread = threading.Thread(target=self._pump)
        self._thread.start()

    def _pump(self) -> None:
        self.events += self._desk.pump(self.run, None)
        self._desk.release(self.run)

    def end(self) -> Ended:
        """Wait for the end and return it."""
        self._thread.join()
        last = self.events[-1]
        assert isinstance(last, Ended)
        assert [type(event) for event in self.events].count(Ended) == 1
        assert self.events == self.run.after(0)
        return last


class Room:
    """A desk with everything around it."""

    def __init__(self, max_streams: int = 100, max_sessions: int = 100, **parts: Any) -> None:
        self.client = ScriptedClient()
        self.store: MemoryStore = parts.pop("store", None) or MemoryStore(Bounds(max_sessions, 1800, 1 << 20))
        self.desk = Desk(self.store, self.client, max_streams, LIMITS, **parts)  # type: ignore[arg-type]
        self.readers: list[Reader] = []

    def ask(self, session_id: str | None = "s", content: str = "q", **fields: Any) -> Reader:
        """Ask, and read on a thread."""
        fields = fields or {"messages": (Message(role="user", content=content),)}
        reader = Reader(self.desk, self.desk.admit(ChatRequest(model="m", session_id=session_id, **fields)))
        self.readers.append(reader)
        return reader

    def exchange(self, number: int = -1, said: str = "") -> ScriptedExchange:
        """Return an exchange once it is open; send text on it and wait until the run has it."""
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
        return [(message.role, message.text, message.interrupted) for message in session.messages]


MakeRoom = Callable[..., Room]
