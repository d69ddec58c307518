"""The beat of a process: its lease, what its runs have said since the last second, and the runs of dead processes.

One thread does all of it, so that a token's way to its reader has nothing to do with Redis.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from functools import partial
from typing import Any

from clawgate.errors import SessionStoreUnavailable
from clawgate.redis.link import PAUSE_S, Link, milliseconds
from clawgate.redis.logs import IN_FLIGHT_S, Logs
from clawgate.redis.recovery import Recovery
from clawgate.redis.store import RedisStore
from clawgate.relay.peers import Batch, Fate, Teller

WRITE_EVERY_S = 1.0
"""A crash loses what a run has said for so long at the most."""
RENEW_EVERY_S = 2.0
LEASE_S = 6.0
"""A process that has not renewed its lease for so long is dead: its sessions are free within 10 s of its last sign."""
SURE_AFTER_S = 2 * RENEW_EVERY_S
"""While Redis is away leases end and nobody can renew them. Once it is back, every living process has for so long."""
SWEEP_EVERY_S = 10.0
"""A `begin` that was given up may be taken later: then Redis has a run that nobody makes."""
LEAST_PAUSE_S = 0.02
"""Runs with a reader elsewhere are written down at most so often, together."""
MOST_DEAD = 16
BURY_S = 1.0
"""The runs of dead processes are settled for so long at a time. 1,000 of them took 1.5 s, and more over a network; a
process that has no time for its own lease would be taken for dead."""
END_S = 3.0
log = logging.getLogger(__name__)


class Beat:
    """Keeps one process alive in the eyes of the others.

    Threads: one of its own, from `begin` to `end`.
    """

    def __init__(
        self, link: Link, store: RedisStore, logs: Logs, recovery: Recovery, process: str, teller: Teller
    ) -> None:
        self._link = link
        self._store = store
        self._logs = logs
        self._recovery = recovery
        self._process = process
        self._teller = teller
        self._renewed_at = -math.inf
        self._unsure_from = math.inf
        self._has_dead = False
        self._strays: frozenset[bytes] = frozenset()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beat", daemon=True)

    @property
    def is_sure(self) -> bool:
        """Tell whether a process without a lease is dead; it may just not have renewed it yet.

        A process that has just begun does not know whether Redis was away before, so it is not sure either.
        """
        unsure_from = max(self._link.back_at, self._unsure_from)
        return self._link.is_available and time.monotonic() >= unsure_from + SURE_AFTER_S

    def begin(self) -> None:
        """Take the lease, where Redis is there, and begin."""
        self._safely(self._renew)
        self._thread.start()

    def end(self) -> None:
        """Write down what is left, and give the lease back."""
        self._is_over.set()
        self._teller.wake()
        self._thread.join(END_S)
        self._safely(self._write_all)
        self._safely(self._store.settle_kept)
        self._safely(self._give_back)

    def _run(self) -> None:
        write_at = renew_at = time.monotonic()
        sweep_at = write_at + SWEEP_EVERY_S
        while not self._is_over.is_set():
            now = time.monotonic()
            if now >= renew_at or self._renewed_at < self._link.back_at or self._has_dead:
                self._safely(self._renew)
                renew_at = now + (RENEW_EVERY_S if self._link.is_available else PAUSE_S)
                self._safely(self._bury)
            if now >= sweep_at:
                sweep_at = now + SWEEP_EVERY_S
                self._safely(self._sweep)
            is_due = now >= write_at
            if is_due:
                write_at = now + WRITE_EVERY_S
                self._safely(self._store.settle_kept)
            self._safely(self._write_all if is_due else self._write_wanted)
            self._is_over.wait(LEAST_PAUSE_S)
            self._teller.wait(max(0.0, min(write_at, renew_at) - time.monotonic()))

    def _safely(self, step: Any) -> None:
        """Take a step; where Redis is away it is taken again later. The thread lives on, whatever comes."""
        try:
            step()
        except SessionStoreUnavailable:
            pass  # the link has said so
        except Exception:
            log.exception("a step of the beat has failed")

    def _renew(self) -> None:
        """Renew the lease. A missing one says that others may be lost too: by Redis, or a leap of its clock."""
        self._renewed_at = time.monotonic()
        keys = [
            self._link.key("process", self._process),
            self._link.key("processes"),
            self._link.key("runs", self._process),
        ]
        runs_ms = milliseconds(max(self._store.ttl_in_force(), IN_FLIGHT_S))
        try:
            was_there = self._link.run("renew", keys, [self._process, milliseconds(LEASE_S), runs_ms])
        except SessionStoreUnavailable:
            self._link.note_write(False)  # also a replica, or a Redis whose disk is full: it answers, and is of no use
            raise
        self._link.note_write(True)
        if not was_there:
            self._unsure_from = time.monotonic()

    def _give_back(self) -> None:
        keys = [
            self._link.key(*parts)
            for parts in (("process", self._process), ("processes",), ("inbox", self._process), ("runs", self._process))
        ]
        self._link.run("leave", keys, [self._process])

    def _write_all(self) -> None:
        self._write(is_everything=True)

    def _write_wanted(self) -> None:
        self._write(is_everything=False)

    def _write(self, *, is_everything: bool) -> None:
        batches = self._teller.batches(is_everything)
        if not batches:
            return
        fates = map(self._fate, batches, self._logs.write(batches))
        self._teller.note(list(zip(batches, fates, strict=True)))

    def _fate(self, batch: Batch, fate: Fate) -> Fate:
        """Return the fate of a run; where Redis has lost its session it owns that again, as soon as it can."""
        if fate.owner is True or batch.session_id is None:
            return fate
        try:
            is_restored = self._store.restore(batch.session_id, batch.run_id)
        except SessionStoreUnavailable:
            is_restored = True  # nobody knows yet; the next write asks again
        return fate._replace(owner=True) if is_restored else fate

    def _bury(self) -> None:
        """Settle the runs of processes whose lease is over, and forget those that have none left.

        That may take several turns, since this process must renew its own lease and write down what its runs say.
        """
        if not self.is_sure:
            return
        keys = [self._link.key("processes")]
        dead: Any = self._link.run("dead", keys, [MOST_DEAD, self._link.key("process", "")])
        until = time.monotonic() + BURY_S
        self._has_dead = not all(self._bury_one(process.decode(), until) for process in dead)

    def _sweep(self) -> None:
        """Settle runs that are this process's by their id, and that it has not known at this look and the last one."""
        owned = self._link.key("runs", self._process)
        runs: Any = self._link.call(lambda client: client.hgetall(owned))
        strays = {run_id: session_id for run_id, session_id in runs.items() if not self._teller.knows(run_id.decode())}
        for run_id in self._strays & strays.keys():
            self._recovery.recover(run_id.decode(), strays[run_id].decode())
            self._link.call(partial(_drop, owned, run_id))
        self._strays = frozenset(strays)

    def _bury_one(self, process: str, until: float) -> bool:
        """Settle the runs of one process; False where that takes longer, and is gone on with at the next turn."""
        owned = self._link.key("runs", process)
        runs: Any = self._link.call(lambda client: client.hgetall(owned))
        for run_id, session_id in runs.items():
            if self._recovery.recover(run_id.decode(), session_id.decode()) is not None:
                log.warning("the answer of a process that is gone has been settled", extra={"run": run_id.decode()})
            self._link.call(partial(_drop, owned, run_id))
            if time.monotonic() >= until:
                return False
        keys = [owned, self._link.key("processes"), self._link.key("inbox", process)]
        self._link.run("bury", keys, [process])
        return True


def _drop(owned: str, run_id: bytes, client: Any) -> None:
    client.hdel(owned, run_id)
