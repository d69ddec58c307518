"""Events as `text/event-stream`: the encoder, apart from any server.

Each event is written in one piece: an `id:` line (run and sequence number; none for pings, which are not part of the
answer), `event: error` for errors, one `data: {json}` line, a blank line. Non-ASCII text stays readable, but for the
characters at which some clients cut lines.
Source: WHATWG HTML, 9.2 "Server-sent events".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from clawgate.relay import events
from clawgate.web.api.answers import (
    DoneReason,
    EndEvent,
    ErrorEvent,
    ResetEvent,
    ResumedEvent,
    StartEvent,
    TextEvent,
    ThinkingEvent,
    ToolCallsEvent,
    WaitingEvent,
)
from clawgate.web.door.accepting import EVENT_STREAM
from clawgate.web.door.responses import Payload, failure_of, one_line

MIMETYPE = EVENT_STREAM
PING = b'data: {"ping":"keepalive"}\n\n'
RETRY = b"retry: 1000\n\n"
"""The ms after which an EventSource that was cut off connects again; a block without data is no event."""


def stream(run_id: str, source: Iterable[events.Event], place: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of each event as it comes.

    place: the number of the last event that a client has which comes back; None for the client that asked. The one that
    comes back gets the head of the answer at once, and is told when to come back again.
    """
    number = place or 0
    prefix = f"id: {run_id}:".encode()
    if place is not None:
        yield RETRY
    for event in source:
        if type(event) is events.Text:  # nine of ten events
            number += 1
            yield b'%b%d\ndata: {"message":%b}\n\n' % (prefix, number, one_line(event.text))
        elif type(event) is events.Ping:
            yield PING
        elif type(event) is events.Reset:
            number = event.number
            yield b"%b%d\n%b" % (prefix, number, encode(event))
        else:
            number += 1
            yield b"%b%d\n%b" % (prefix, number, encode(event))


def encode(event: events.Event) -> bytes:
    """Encode an event without its id."""
    kind = b"event: error\n" if isinstance(event, events.Ended) and event.error is not None else b""
    return b"%bdata: %b\n\n" % (kind, one_line(data_of(event)))


def data_of(event: events.Event) -> Payload:
    """Return an event's data; every one but the ping has `message`, so that a page may append that blindly."""
    return _DATA[type(event)](event)


def _ended(event: events.Ended) -> Payload:
    if event.error is not None:
        return ErrorEvent(
            error=failure_of(event.error),
            done=True,
            done_reason="error",
            session_id=event.session_id,
            run_id=event.run_id,
            stats=event.stats,
            message="",
        )
    return EndEvent(
        done=True,
        done_reason=cast("DoneReason", event.done_reason),
        session_id=event.session_id,
        run_id=event.run_id,
        stats=event.stats,
        message="",
        empty=event.is_empty,
    )


_DATA: dict[type[events.Event], Callable[[Any], Payload]] = {
    events.Started: lambda event: StartEvent(
        event.session_id, event.run_id, event.model, "", event.ignored, event.dropped_turns, event.dropped_images
    ),
    events.Text: lambda event: TextEvent(event.text),
    events.Thinking: lambda event: ThinkingEvent(event.text, ""),
    events.ToolCalls: lambda event: ToolCallsEvent(event.calls, ""),
    events.Waiting: lambda event: WaitingEvent("waiting", event.reason, event.attempt, ""),
    events.Resumed: lambda _: ResumedEvent("resumed", ""),
    events.Restarted: lambda _: ResumedEvent("restarted", ""),
    events.Reset: lambda event: ResetEvent(
        "reset",
        event.started.session_id,
        event.started.run_id,
        event.started.model,
        event.text,
        "",
        event.thinking,
        event.calls,
    ),
    events.Ended: _ended,
}
