"""The events of a run, as frozen values; web/ encodes them for its clients.

A run's log holds them in order, and the last of every log is the one `Ended`. A `Ping` is never logged: it says that
the stream lives, and nothing of the answer. A `Reset` is never logged, either: each reader gets its own.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.errors import ClawgateError
from clawgate.relay.stats import NO_STATS, Stats


class Event(msgspec.Struct, frozen=True):
    """The base of all events."""


class Started(Event, frozen=True):
    """The run was admitted; the model has not been asked yet.

    ignored: names of the request's unknown fields.
    dropped_turns, dropped_images: what the stored session has lost since its last start event.
    """

    session_id: str
    run_id: str
    model: str
    ignored: tuple[str, ...] = ()
    dropped_turns: int = 0
    dropped_images: int = 0


class Text(Event, frozen=True, gc=False):
    """A piece of the answer."""

    text: str


class Thinking(Event, frozen=True, gc=False):
    """A piece of the model's thinking, which comes before its answer."""

    text: str


class ToolCalls(Event, frozen=True):
    """Tools that the model calls."""

    calls: tuple[dict[str, Any], ...]


class Waiting(Event, frozen=True):
    """Ollama is away, or at other work; `attempt` is the number of the request that is waited for (the first is 1)."""

    reason: str
    attempt: int


class Resumed(Event, frozen=True):
    """Ollama is back and goes on where it was cut."""


class Restarted(Event, frozen=True):
    """Ollama is back, but was cut while it was thinking: the thinking so far is void and begins again."""


class Ping(Event, frozen=True):
    """A heartbeat."""


class Reset(Event, frozen=True):
    """All that the run has said so far, for a reader whose place in the log is not known.

    number: that of the last event that it stands for.
    """

    started: Started
    number: int
    text: str
    thinking: str = ""
    calls: tuple[dict[str, Any], ...] = ()


class Ended(Event, frozen=True):
    """The one end. `error` is set exactly where done_reason is "error".

    is_empty: the model came to its end without any text.
    done_reason: also "load" and "unload", for a request without messages.
    context: the JSON of the tokens of an answer by `/api/generate`, where Ollama gives them.
    """

    session_id: str
    run_id: str
    done_reason: str
    stats: Stats = NO_STATS
    error: ClawgateError | None = None
    is_empty: bool = False
    context: msgspec.Raw | None = None


PING = Ping()
