"""The other processes that serve the same sessions, as the relay knows them.

A run belongs to the process that admitted it, and its id says which that is. Another process that is asked about the
run asks its owner (`end`), or reads what the owner writes down (`log_of`, `more`). The other half is a process's
word about its own runs (`Teller`): relay/mirror.py gives it, and `Peers` asks for it on threads of its own.

With sessions in this process's memory there are no others: `Alone`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from clawgate.relay.events import Event
from clawgate.relay.log import Log


class Batch(NamedTuple):
    """Events of one run's log, in order, to be written down for other processes.

    session_id: None for a run whose session nobody knows.
    first, last: the numbers of the first and the last event; without events, that of the next one, and the one before.
    is_anew: this is all that there is to say; what was written before is void, and the first event may be a `Reset`.
    is_wanted: a reader elsewhere waits for it.
    """

    run_id: str
    session_id: str | None
    first: int
    last: int
    events: Sequence[Event]
    is_anew: bool
    is_wanted: bool


class Fate(NamedTuple):
    """The outcome of a batch.

    is_written: False where what was written before is gone, so that all of it has to be written anew.
    owner: the state of the run's session: True where the run owns it, the id of the run that has taken it over, and
    False where nobody owns it: the run is settled, or the session is not there any more.
    """

    is_written: bool
    owner: bool | str = True


class Outcome(NamedTuple):
    """The outcome of a run that another process was asked to end; session_id is None for one that nobody knows."""

    session_id: str | None
    partial: str


class Teller(Protocol):
    """The own runs of this process, for the others.

    Threads: any.
    """

    def end(self, run_id: str, session_id: str | None, done_reason: str) -> Outcome | None:
        """End a run of this process; None where it has ended already, or is not known.

        session_id: its session, where that is known: the run may just be being admitted.
        """

    def want(self, run_id: str, reader: str, is_anew: bool) -> bool:
        """Write a run down as it grows, for a reader elsewhere; False where it is not known (any more).

        reader: its name; it counts as a reader of the run until it leaves, or does not ask again.
        is_anew: the reader has found a gap: all has to be written again.
        """

    def leave(self, run_id: str, reader: str) -> None:
        """Count a reader elsewhere no more."""

    def knows(self, run_id: str) -> bool:
        """Tell whether a run of this process is in flight, or has yet to be written down."""

    def batches(self, is_everything: bool) -> Sequence[Batch]:
        """Return what has yet to be written down: of the runs with a reader elsewhere, or of all."""

    def note(self, batches: Iterable[tuple[Batch, Fate]]) -> None:
        """Take note of what has been written."""

    def wait(self, timeout_s: float) -> None:
        """Wait until a run with a reader elsewhere has said something."""

    def wake(self) -> None:
        """End that wait."""


class Peers(Protocol):
    """The other processes.

    has_others: False where there can be none; then nothing else is asked here.
    Threads: any.
    Errors: SessionStoreUnavailable from `end`, `log_of`, `more` and `ask`.
    """

    @property
    def has_others(self) -> bool: ...

    def start(self, teller: Teller) -> None:
        """Begin to listen to the others; again is harmless. Call in the process that serves, after a fork."""

    def stop(self) -> None:
        """Say that this process serves no more; it has written down all that there is."""

    def name_run(self) -> str:
        """Return a new run's id, with 128 random bits."""

    def is_elsewhere(self, run_id: str) -> bool:
        """Tell whether a run's id names another process."""

    def is_sibling(self, run_id: str) -> bool:
        """Tell whether a run's id names a process of the same master, which counts the same slots."""

    def end(self, run_id: str, session_id: str | None, done_reason: str) -> Outcome | None:
        """Have its process end a run, and return once its answer is settled; None where it has ended by itself.

        A process that is dead, or does not answer in time, loses the run: what it has written down is settled for it.
        """

    def log_of(self, run_id: str, reader: str) -> Log | None:
        """Return what is written down of a run of another process; None where nothing is, and nothing will be.

        reader: a name, under which that process counts a reader of a run in flight from now on.
        """

    def more(self, run_id: str, log: Log, timeout_s: float) -> bool:
        """Wait for what else a run says, and append it to the log; False where there is a gap behind the log."""

    def ask(self, run_id: str, reader: str, is_anew: bool = False) -> bool:
        """Ask a run's process to write it down as it grows, for some seconds from now on.

        False where that process does not know the run, or is dead: what is written down is all.
        """

    def leave(self, run_id: str, reader: str) -> None:
        """Tell a run's process that a reader has left; it finds out by itself otherwise."""


class Alone:
    """No other process."""

    has_others = False

    def start(self, teller: Teller) -> None:
        """Listen to nobody."""

    def stop(self) -> None:
        """Tell nobody."""

    def name_run(self) -> str:
        """Return a new run's id, with 128 random bits."""
        return f"run_{secrets.token_hex(16)}"

    def is_elsewhere(self, run_id: str) -> bool:  # noqa: ARG002
        """Every run is here."""
        return False

    def is_sibling(self, run_id: str) -> bool:  # noqa: ARG002
        """Every run is here."""
        return False

    def end(self, run_id: str, session_id: str | None, done_reason: str) -> Outcome | None:  # noqa: ARG002
        """Know of no run."""
        return None

    def log_of(self, run_id: str, reader: str) -> Log | None:  # noqa: ARG002
        """Know of no run."""
        return None

    def more(self, run_id: str, log: Log, timeout_s: float) -> bool:  # noqa: ARG002
        """Know of no run."""
        return False

    def ask(self, run_id: str, reader: str, is_anew: bool = False) -> bool:  # noqa: ARG002
        """Ask nobody."""
        return False

    def leave(self, run_id: str, reader: str) -> None:
        """Tell nobody."""
