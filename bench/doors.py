"""Interrupts that come in elsewhere: at another worker than the one that drives the answer, or at another gateway.

A run's id names its process, and a connection belongs to one process for as long as it is open. So each connection
first asks for a short answer, whose `run_id` tells the process that serves it.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import partial

from bench.answers import Address, Answer
from bench.calls import Caller
from bench.inflight import InFlight, Pace
from bench.kinds import post
from bench.phases import PHASES
from bench.script import Script

CONNECTIONS = 24
TRIES = 5
OPENING = Script(rate=50, tokens=5, first_ms=200)
"""Its length makes all of them be in flight at a time, so that the workers share them."""
OPENING_S = 5.0
_PROCESS = re.compile(rb'"run_id": ?"run_([0-9a-f]{16})')


class ThroughDoors(InFlight):
    """The answers in flight at one gateway, and interrupts that come in at a process that is theirs, or another one.

    door: the gateway that takes the interrupts.
    Errors: RuntimeError from `run`, where no connection leads to such a process.

    Call `open` before `run`.
    """

    def __init__(self, address: Address, pace: Pace, door: Address, *, is_own: bool) -> None:
        super().__init__(address, PHASES["text"], pace)
        self._door, self._is_own = door, is_own
        self._owners: dict[str, bytes] = {}
        self._processes: dict[Caller, bytes] = {}

    def open(self, workers: int) -> None:
        """Open the connections for the interrupts, enough to each of the door's workers, and learn whose each is.

        A worker that has just been started may not accept yet, so this is tried again.

        Errors: RuntimeError.
        """
        for _ in range(TRIES):
            self._connect()
            counts = Counter(self._processes.values())
            if len(counts) == workers and min(counts.values()) >= self.pace.at_once:
                return
            for caller in self._callers:
                caller.close()
            self._callers.clear()
            self._processes.clear()
        raise RuntimeError(f"the connections do not come to all of {workers} workers")

    def _connect(self) -> None:
        host = f"{self._door.host}:{self._door.port}"
        body = {"messages": [{"role": "user", "content": f"{OPENING.prompt()} go on"}], "stream": False}
        for _ in range(CONNECTIONS):
            caller = Caller(self._loop, self._door.host, self._door.port)
            self._callers.append(caller)
            caller.call(post("/api/chat", body, host, accept="*/*"), partial(self._note_process, caller))
        self._loop.run(OPENING_S)

    def _note_process(self, caller: Caller, status: int, body: bytes, _at_us: int) -> None:
        if found := _PROCESS.search(body):
            self._processes[caller] = found[1]
        if status != 200 or len(self._processes) == CONNECTIONS:
            self._loop.stop()

    def _on_read(self, answer: Answer) -> None:
        if answer.session not in self._owners and (found := _PROCESS.search(answer.reader.last_part)):
            self._owners[answer.session] = found[1]

    def _caller_for(self, answer: Answer) -> Caller:
        owner = self._owners.get(answer.session)
        for caller, process in self._processes.items():
            if caller.is_free and (process == owner) == self._is_own:
                return caller
        raise RuntimeError(f"no free connection leads to {'the' if self._is_own else 'another'} process of an answer")
