"""The events in which an answer is told, as frozen values: docs/api.md describes each. A stream has one `Ended`.

`Reconnecting` is the client's own: the gateway does not send it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """The base of all events."""


class Started(Event, frozen=True):
    """The gateway has taken the question; the model has not been asked yet."""

    session_id: str
    run_id: str
    model: str = ""
    dropped_turns: int = 0
    dropped_images: int = 0
    ignored: tuple[str, ...] = ()


class Text(Event, frozen=True):
    """A piece of the answer."""

    text: str


class Thinking(Event, frozen=True):
    """A piece of the model's thinking."""

    text: str


class ToolCalls(Event, frozen=True):
    """Tools that the model calls."""

    calls: tuple[dict[str, Any], ...]


class Waiting(Event, frozen=True):
    """Ollama is away, or at other work."""

    reason: str
    attempt: int


class Resumed(Event, frozen=True):
    """Ollama is back, and goes on where it was cut."""


class Restarted(Event, frozen=True):
    """Ollama is back, and thinks anew: the thinking so far is void."""


class Reset(Event, frozen=True):
    """All of the answer so far; it takes the place of what came before."""

    text: str
    thinking: str = ""
    calls: tuple[dict[str, Any], ...] = ()
    session_id: str = ""
    run_id: str = ""


class Ping(Event, frozen=True):
    """A heartbeat."""


class Failure(msgspec.Struct, frozen=True):
    """The error that ended an answer: a code for programs, a message for people; words are Ollama's own."""

    code: str
    message: str
    words: str = ""


class Ended(Event, frozen=True):
    """The one end. `failure` is set exactly where done_reason is "error"; is_empty: the answer has no text."""

    done_reason: str
    failure: Failure | None = None
    stats: dict[str, Any] = {}
    is_empty: bool = False


class Reconnecting(Event, frozen=True):
    """The connection was cut, or is silent: the answer is asked for again, from where it was."""

    attempt: int


class _Data(msgspec.Struct, frozen=True):
    """The members of every event's data."""

    message: str = ""
    thinking: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    ping: str | None = None
    status: str = ""
    reason: str = ""
    attempt: int = 0
    text: str = ""
    session_id: str = ""
    run_id: str = ""
    model: str = ""
    dropped_turns: int = 0
    dropped_images: int = 0
    ignored: tuple[str, ...] = ()
    done: bool = False
    done_reason: str = ""
    error: Failure | None = None
    stats: dict[str, Any] = {}
    empty: bool = False


_decode = msgspec.json.Decoder(_Data).decode


def event_of(data: str) -> Event | None:
    """Return the event that a data line is; None for one that has nothing to say, or that is not known yet.

    Errors: ValueError for what is not a gateway's.
    """
    try:
        given = _decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"not an event of a gateway's: {error}") from error
    if given.ping is not None:
        return Ping()
    if given.done:
        reason = "error" if given.error is not None else given.done_reason
        return Ended(reason, given.error, given.stats, given.empty)
    if given.status:
        return _of_status(given)
    if given.tool_calls:
        return ToolCalls(given.tool_calls)
    if given.thinking:
        return Thinking(given.thinking)
    if given.message:
        return Text(given.message)
    if given.run_id:
        counts = given.dropped_turns, given.dropped_images
        return Started(given.session_id, given.run_id, given.model, *counts, given.ignored)
    return None


def _of_status(given: _Data) -> Event | None:
    match given.status:
        case "waiting":
            return Waiting(given.reason, given.attempt)
        case "resumed":
            return Resumed()
        case "restarted":
            return Restarted()
        case "reset":
            return Reset(given.text, given.thinking, given.tool_calls, given.session_id, given.run_id)
    return None
