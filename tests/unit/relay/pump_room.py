"""A pump with a scripted clock and scripted exchanges: minutes pass in no time, and each wait ends when it should.

Time passes only inside a wait. A scripted event happens when a wait reaches its moment, and ends that wait where it
would end a poll.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest

from clawgate.config import StreamConfig
from clawgate.errors import UpstreamUnreachable
from clawgate.ollama.failures import OpenFailure
from clawgate.ollama.silence import Silence
from clawgate.relay import diagnosis, pump
from clawgate.relay.events import Event, Ping
from clawgate.relay.prompt import Prompt
from clawgate.relay.pump import Pump
from clawgate.relay.reader import Reader
from clawgate.relay.recorder import Recorder
from clawgate.relay.report import Report
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message
from tests.support.observer import Noted

START_S = 1000.0
MAX_WAITS = 20_000
REFUSED = OpenFailure(UpstreamUnreachable("Ollama refused the connection"), is_retryable=True)
WEDGE = Silence("a slot of it hangs", is_wedge=True)


def frame(content: str = "", thinking: str = "", **fields: Any) -> bytes:
    """One frame of Ollama's, as its line."""
    return msgspec.json.encode({"message": {"content": content, "thinking": thinking, **fields}}) + b"\n"


DONE = b'{"done":true,"done_reason":"stop","eval_count":3}\n'


class Script(NamedTuple):
    """The behaviour of one exchange.

    Units: all moments are seconds after its request; says: the bytes that come, each with its moment.
    """

    says: tuple[tuple[float, bytes], ...] = ()
    opens_s: float = 0.0
    failure: OpenFailure | None = None
    drops_s: float = math.inf
    is_whole: bool = False


class Time:
    """The clock, and the events that are scripted for its moments."""

    def __init__(self) -> None:
        self.now = START_S
        self.waits = 0
        self.is_woken = False
        self.is_client_gone = False
        self.late_s = 0.0
        self.exchange: TimedExchange | None = None
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        """Return the moment."""
        return self.now

    @property
    def passed_s(self) -> float:
        """The seconds since the start."""
        return round(self.now - START_S, 6)

    def after(self, seconds: float, act: Callable[[], object]) -> None:
        """Let something happen so many seconds from now."""
        if seconds < math.inf:
            heapq.heappush(self._due, (self.now + seconds, next(self._order), act))

    def wait(self, timeout_s: float, for_upstream: bool) -> bool:
        """Wait as a poll does; a wait that nothing ends is over `late_s` too late."""
        self.waits += 1
        assert self.waits < MAX_WAITS, "the pump spins"
        until = self.now + max(timeout_s, 0)
        while not self._is_ready(for_upstream):
            if not self._due or self._due[0][0] > until:
                assert until < math.inf, "a wait that nothing will ever end"
                self.now = until + (self.late_s if timeout_s > 0 else 0)
                break
            moment, _, act = heapq.heappop(self._due)
            self.now = max(self.now, moment)
            act()
        self.is_woken = False
        return self.is_client_gone

    def _is_ready(self, for_upstream: bool) -> bool:
        has_data = self.exchange is not None and self.exchange.has_data
        return self.is_woken or self.is_client_gone or (for_upstream and has_data)


class TimedWaiter:
    """A waiter on that clock."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.is_watching_client = False

    def watch(self, upstream_fd: int | None) -> None:
        """Watch nothing: the clock knows the exchange."""

    def watch_client(self, client: object) -> None:
        """Note whether there is one."""
        self.is_watching_client = client is not None

    def wait(self, timeout_s: float, for_upstream: bool) -> bool:
        """Wait on the clock."""
        return self.time.wait(timeout_s, for_upstream) and self.is_watching_client


class TimedWakeEvent(WakeEvent):
    """A wake event that ends a wait on that clock."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self.time = time

    def wake(self) -> None:
        """End the wait."""
        self.time.is_woken = True


class TimedExchange:
    """An exchange that follows its script."""

    refused_by = math.inf
    cut_at: float | None = None

    def __init__(self, time: Time, request: dict[str, Any], script: Script) -> None:
        self.request = request
        self.asked_s = time.passed_s
        self.failure: OpenFailure | None = None
        self.is_open = self.is_at_end = self.is_closed = self.is_started = False
        self.is_whole = script.is_whole
        self._time = time
        self._script = script
        self._data = b""
        self._is_dropped = False
        self._has_head = False

    @property
    def has_data(self) -> bool:
        """True where a poll would report its socket."""
        if not self.is_open:
            return self._has_head
        return bool(self._data or self._is_dropped or self.is_closed)

    def start(self, **_: object) -> None:
        """Let the script begin."""
        self.is_started = True
        self._time.exchange = self
        self._time.after(self._script.opens_s, self._begin)
        for seconds, data in self._script.says:
            self._time.after(seconds, partial(self._come, data))
        self._time.after(self._script.drops_s, self._drop)

    def _begin(self) -> None:
        self._has_head = True

    def _come(self, data: bytes) -> None:
        self._data += data

    def _drop(self) -> None:
        self._is_dropped = True

    def fileno(self) -> int:
        """Return an fd that does not exist."""
        return -2

    def read(self) -> bytes:
        """Return the bytes that have come."""
        data, self._data = self._data, b""
        self.is_at_end = self._is_dropped or self.is_closed
        return data

    def advance(self) -> None:
        """Take the head where it has come."""
        if self._has_head:
            self.failure = self._script.failure
            self.is_open = self.failure is None

    def close(self) -> None:
        """Close it."""
        self.is_closed = True

    def release(self) -> None:
        """Close it."""
        self.close()


class TimedClient:
    """A client whose exchanges follow their scripts, the last script again and again."""

    def __init__(self, time: Time, *scripts: Script) -> None:
        self.exchanges: list[TimedExchange] = []
        self.answered_others_at = -math.inf
        self.gave_up = False
        self.loads: list[tuple[str, int | None]] = []
        self._time = time
        self._scripts = scripts

    def chat(self, request: dict[str, Any], is_going_on: bool, *_: str) -> TimedExchange:
        """Prepare the next one."""
        script = self._scripts[min(len(self.exchanges), len(self._scripts) - 1)]
        plain = msgspec.json.decode(msgspec.json.encode(request))
        self.exchanges.append(TimedExchange(self._time, {**plain, "is_going_on": is_going_on}, script))
        return self.exchanges[-1]

    def note_answer(self, *_: Any) -> None:
        """Note nothing."""

    def note_load(self, model: str, load_ns: int | None) -> None:
        """Keep it."""
        self.loads.append((model, load_ns))

    def has_given_up(self, _model: str, _now: float) -> bool:
        """Tell what the test says."""
        return self.gave_up

    def has_answered_since(self, _model: str, moment: float) -> bool:
        """Tell whether another run got a frame since then."""
        return self.answered_others_at >= moment


class PumpRoom:
    """One run, its pump, and the clock."""

    def __init__(self, *scripts: Script, prompt: Prompt, limits: StreamConfig) -> None:
        self.time = Time()
        self.client = TimedClient(self.time, *scripts)
        self.settled: list[Message] = []
        self.run = Run("s", "r", prompt, self.settled.append, TimedWakeEvent(self.time))
        self.limits = limits
        self.noted = Noted()
        self.recorder = Recorder(self.run, (self.noted,), self.time.now)
        self.pump = Pump(self.run, lambda: self.client, limits, self.recorder, self.time)  # type: ignore[arg-type,return-value]

    def drive(self) -> list[Event]:
        """Take steps to the end, without any reader, and return the log without its start event."""
        while self.run.ended is None:
            self.pump.step(until=math.inf)
        return [*self.run.after(1)]

    def read(self, client: object = None) -> Iterator[tuple[float, Event]]:
        """Yield a reader's events, each with the seconds since the start."""
        reader = Reader(self.run, self.pump, self.limits.heartbeat_seconds, client, clock=self.time)  # type: ignore[arg-type]
        yield from ((self.time.passed_s, event) for event in reader.events())

    def report(self) -> Report:
        """Return the report of the run, which has ended."""
        self.recorder.report_end(self.run, self.time.now)
        return self.noted.reports[-1]

    def pings(self) -> list[float]:
        """Read to the end and return the moments of the pings."""
        return [moment for moment, event in self.read() if isinstance(event, Ping)]


class MakePumpRoom:
    """Makes rooms, and scripts the results of the inquiries and the unloads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.silence: Silence = Silence("it loads the model")
        self.is_unloaded = True
        self.is_loaded = True
        self.takes_s = 0.5
        self.taken_until_s = 0.0
        """No place to look from is free before."""
        self.rooms: list[PumpRoom] = []
        self.calls: list[tuple[float, str]] = []
        monkeypatch.setattr(pump, "Waiter", lambda wake_event: TimedWaiter(wake_event.time))
        monkeypatch.setattr(diagnosis, "BackgroundCall", self._call)
        monkeypatch.setattr(pump, "Places", lambda _: SimpleNamespace(call=self._look))
        monkeypatch.setattr(diagnosis, "why_silent", self._why_silent)
        monkeypatch.setattr(diagnosis, "is_loaded", lambda *_: ("loaded?", self.is_loaded))
        monkeypatch.setattr(diagnosis, "unload", lambda *_: ("unload", self.is_unloaded))

    def _why_silent(self, _client: object, _model: str, answers_others: bool) -> tuple[str, Silence]:
        return "queued?" if answers_others else "why", self.silence

    def _look(self, ask: Callable[[], tuple[str, object]], _: object, wake: Callable[[], None]) -> object:
        return None if self.rooms[-1].time.passed_s < self.taken_until_s else self._call(ask, _, wake)

    def _call(self, ask: Callable[[], tuple[str, object]], _: object, wake: Callable[[], None]) -> object:
        class Call:
            result: object = None

        call, time = Call(), self.rooms[-1].time
        name, result = ask()
        self.calls.append((time.passed_s, name))

        def finish() -> None:
            call.result = result
            wake()

        time.after(self.takes_s, finish)
        return call

    def __call__(self, *scripts: Script, extras: dict[str, Any] | None = None, **limits: Any) -> PumpRoom:
        """Make a room; limits: settings of stream."""
        prompt = Prompt(model="m", messages=(Message(role="user", content="q"),), extras=extras or {})
        self.rooms.append(PumpRoom(*scripts, prompt=prompt, limits=StreamConfig(**limits)))
        return self.rooms[-1]
