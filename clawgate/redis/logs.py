"""The logs of runs in Redis: a stream for each, whose entries are what the run has said since the entry before.

An entry's id is the number of its last event, so a reader names its place by that. A log that is written anew replaces
what was there; its first event may be a `Reset`. A log expires with its session.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Raw

from clawgate import errors
from clawgate.errors import ClawgateError, InternalError
from clawgate.redis.link import BLOCK_S, Link, milliseconds, script_of
from clawgate.redis.naming import session_hash
from clawgate.relay.events import (
    Ended,
    Event,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    ToolCalls,
    Waiting,
)
from clawgate.relay.log import Log
from clawgate.relay.peers import Batch, Fate
from clawgate.relay.stats import Stats

KINDS: dict[str, type[Event]] = {
    "started": Started,
    "text": Text,
    "thinking": Thinking,
    "calls": ToolCalls,
    "waiting": Waiting,
    "resumed": Resumed,
    "restarted": Restarted,
    "reset": Reset,
}
OWNERS = {b"": True, b"-": False}
UNREADABLE = (msgspec.DecodeError, KeyError)
"""The errors of reading a log that another version has written."""
NULL = Raw(b"null")
NAMES = {kind: name for name, kind in KINDS.items()}
IN_FLIGHT_S = 60.0
"""The least time for which a session with an answer in flight, and its log, are kept; each write begins it anew."""
UNOWNED_S = 15.0
"""The time for which the end of a run that has lost its session is kept for the readers that it has elsewhere."""
PAGE = 128
"""The entries that are read at a time; each has what a run has said in a second, as a rule."""
MOST_AT_ONCE = 1 << 20
"""Units: bytes of events that one pipeline takes, so that none takes longer than the link's time-out."""
logger = logging.getLogger(__name__)
Entries = Sequence[tuple[bytes, dict[bytes, bytes]]]


class _End(msgspec.Struct, frozen=True):
    """An `Ended` as it is written."""

    session_id: str
    run_id: str
    done_reason: str
    stats: Stats
    is_empty: bool
    context: Raw
    error: dict[str, Any] | None


class Logs:
    """Writes and reads the logs of runs.

    ttl_in_force: returns the seconds for which a session is kept, by the configuration in force; max_log_bytes: the
    memory that the events of a log may take here, beside the answer's text: each reader has a log of its own.
    Errors: SessionStoreUnavailable.
    """

    def __init__(
        self, link: Link, ttl_in_force: Callable[[], float], max_log_bytes: Callable[[], float] = lambda: math.inf
    ) -> None:
        self._link = link
        self._ttl_in_force = ttl_in_force
        self._max_log_bytes = max_log_bytes

    def write(self, batches: Sequence[Batch]) -> list[Fate]:
        """Write events of runs, in as few trips as their size allows."""
        fates: list[Fate] = []
        pending: list[tuple[Batch, bytes]] = []
        pending_bytes = 0
        for batch in batches:
            events = encoded(batch.events)
            pending.append((batch, events))
            pending_bytes += len(events)
            if pending_bytes > MOST_AT_ONCE:
                fates += self._write(pending)
                pending, pending_bytes = [], 0
        return fates + self._write(pending) if pending else fates

    def _write(self, batches: Sequence[tuple[Batch, bytes]]) -> list[Fate]:
        ttls_ms = [milliseconds(max(self._ttl_in_force(), IN_FLIGHT_S)), milliseconds(UNOWNED_S)]

        def ask(client: Any) -> list[Any]:
            script = script_of(client, "write")
            with client.pipeline(transaction=False) as pipeline:
                for batch, events in batches:
                    script(keys=self._keys(batch), args=_args(batch, events, ttls_ms), client=pipeline)
                return list(pipeline.execute())

        return [_fate(answer) for answer in self._link.call(ask)]

    def _keys(self, batch: Batch) -> list[str]:
        session_id = batch.session_id
        return [
            self._key(batch.run_id),
            "" if session_id is None else self._link.key("session", session_hash(session_id)),
        ]

    def read(self, run_id: str) -> Log | None:
        """Return all that is written down of a run; None where nothing is, or nothing that this version can read."""
        try:
            return self._read(run_id)
        except UNREADABLE as error:
            logger.warning("the log of an answer cannot be read: %r", error, extra={"run": run_id})
            return None

    def _read(self, run_id: str) -> Log | None:
        entries = self._entries(run_id, 0, 1)
        started = _started(entries)
        if started is None:
            return None
        log = Log(started, self._max_log_bytes())
        while entries and _append(log, entries):
            log.make_room()
            entries = self._entries(run_id, log.last, PAGE)
        log.join()
        return log

    def session_of(self, run_id: str) -> str | None:
        """Return the session that a run belongs to; None where nothing is written down."""
        with suppress(*UNREADABLE):
            started = _started(self._entries(run_id, 0, 1))
            return None if started is None else started.session_id
        return None

    def _entries(self, run_id: str, last: int, count: int) -> Entries:
        """Return entries that begin behind an event: few, so that none holds Redis up for long."""
        found: Any = self._link.call(lambda client: client.xrange(self._key(run_id), f"({last}-0", count=count))
        return found  # type: ignore[no-any-return]

    def more(self, run_id: str, log: Log, timeout_s: float) -> bool:
        """Wait for what comes behind a log, and append it; False where there is a gap."""
        found: Any
        place: Any = {self._key(run_id): f"{log.last}-0"}
        if timeout_s >= 0.001:
            block_ms = int(min(timeout_s, BLOCK_S) * 1000)
            found = self._link.wait(lambda client: client.xread(place, count=PAGE, block=block_ms))
        else:
            found = self._link.call(lambda client: client.xread(place, count=PAGE))
        return _append(log, found[0][1]) if found else True

    def wait(self, run_id: str, timeout_s: float) -> None:
        """Wait until something of a run is written down."""
        self._link.wait(lambda client: client.xread({self._key(run_id): "0"}, count=1, block=int(timeout_s * 1000)))

    def _key(self, run_id: str) -> str:
        return self._link.key("log", run_id)


def _started(entries: Entries) -> Started | None:
    events = decoded(entries[0][1][b"events"]) if entries else ()
    if not events or not isinstance(events[0], Started | Reset):
        return None
    begin = events[0]
    return begin.started if isinstance(begin, Reset) else begin


def _append(log: Log, entries: Entries) -> bool:
    return all(log.append_from(int(entry[b"first"]), decoded(entry[b"events"])) for _, entry in entries)


def _args(batch: Batch, events: bytes, ttls_ms: list[int]) -> list[Any]:
    flags = [int(batch.is_anew), int(batch.is_wanted)]
    return [batch.run_id, batch.first, batch.last, events, *flags, *ttls_ms]


def _fate(answer: Any) -> Fate:
    is_written, owner = answer
    return Fate(bool(is_written), OWNERS.get(owner, owner.decode()))


def encoded(events: Sequence[Event]) -> bytes:
    """Encode events as a JSON list, each as its kind and its fields."""
    return msgspec.json.encode([_encoded(event) for event in events])


def _encoded(event: Event) -> tuple[str, Any]:
    if not isinstance(event, Ended):
        return NAMES[type(event)], event
    error = None
    if event.error is not None:
        error = {"kind": type(event.error).__name__, "args": event.error.args, **event.error.__dict__}
    end = _End(
        event.session_id, event.run_id, event.done_reason, event.stats, event.is_empty, event.context or NULL, error
    )
    return "ended", end


def decoded(data: bytes) -> Sequence[Event]:
    """Decode events.

    Errors: msgspec.DecodeError, KeyError for what another version has written.
    """
    return [_decoded(kind, event) for kind, event in msgspec.json.decode(data, type=list[tuple[str, Raw]])]


def _decoded(kind: str, data: Raw) -> Event:
    if kind != "ended":
        return msgspec.json.decode(data, type=KINDS[kind])
    end = msgspec.json.decode(data, type=_End)
    error = None if end.error is None else _error(end.error)
    context = None if end.context == NULL else Raw(bytes(end.context))
    return Ended(end.session_id, end.run_id, end.done_reason, end.stats, error, end.is_empty, context)


def _error(given: dict[str, Any]) -> ClawgateError:
    """Make an error anew, without its constructor, which words it."""
    kind = getattr(errors, str(given.pop("kind")), None)
    args = given.pop("args")
    if not (isinstance(kind, type) and issubclass(kind, ClawgateError)):  # of another version
        return InternalError()
    error = kind.__new__(kind, *args)
    error.__dict__.update(given)
    return error
