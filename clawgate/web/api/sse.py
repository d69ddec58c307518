"""Events as `text/event-stream`: the encoder, apart from any server.

Each event is written in one piece: an `id:` line (run and sequence number; none for pings, which are not part of the
answer), `event: error` for errors, one `data: {json}` line, a blank line. Non-ASCII text stays readable.
Source: WHATWG HTML, 9.2 "Server-sent events".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from clawgate.relay import events
from clawgate.web.door.guard import error_of

MIMETYPE = "text/event-stream"
PING = b'data: {"ping":"keepalive"}\n\n'
HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx passes each event on, whatever its own proxy_buffering says
}

_json = msgspec.json.Encoder().encode


def stream(run_id: str, told: Iterable[events.Event]) -> Iterator[bytes]:
    """Yield the bytes of each event as it comes."""
    number = 0
    prefix = f"id: {run_id}:".encode()
    for event in told:
        if type(event) is events.Text:  # nine of ten events
            number += 1
            yield b'%b%d\ndata: {"message":%b}\n\n' % (prefix, number, _json(event.text))
        elif type(event) is events.Ping:
            yield PING
        else:
            number += 1
            yield b"%b%d\n%b" % (prefix, number, encode(event))


def encode(event: events.Event) -> bytes:
    """Give an event's lines without its id."""
    kind = b"event: error\n" if isinstance(event, events.Ended) and event.error is not None else b""
    return b"%bdata: %b\n\n" % (kind, _json(data_of(event)))


def data_of(event: events.Event) -> dict[str, Any]:
    """Give an event's data; every one but the ping has `message`, so that a page may append that blindly."""
    return _DATA[type(event)](event)


def _started(event: events.Started) -> dict[str, Any]:
    start = {"session_id": event.session_id, "run_id": event.run_id, "model": event.model, "message": ""}
    return start | ({"ignored": event.ignored} if event.ignored else {})


def _ended(event: events.Ended) -> dict[str, Any]:
    end = {
        "done": True,
        "done_reason": event.done_reason,
        "session_id": event.session_id,
        "run_id": event.run_id,
        "stats": event.stats,
        "message": "",
    }
    return end if event.error is None else {"error": error_of(event.error)} | end


_DATA: dict[type[events.Event], Callable[[Any], dict[str, Any]]] = {
    events.Started: _started,
    events.Text: lambda event: {"message": event.text},
    events.Thinking: lambda event: {"thinking": event.text, "message": ""},
    events.ToolCalls: lambda event: {"tool_calls": event.calls, "message": ""},
    events.Waiting: lambda event: {
        "status": "waiting",
        "reason": event.reason,
        "attempt": event.attempt,
        "message": "",
    },
    events.Resumed: lambda _: {"status": "resumed", "message": ""},
    events.Restarted: lambda _: {"status": "restarted", "message": ""},
    events.Ended: _ended,
}
