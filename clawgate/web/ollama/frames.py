"""Events as Ollama's NDJSON frames: the encoder, apart from any server.

Each frame is written in one piece, as Go writes it. A heartbeat is a frame with an empty text. What Ollama has no frame
for (the start, waiting, going on) makes none; an error is a line of its own, and the end.
Source: Ollama docs/api.md, api/types.go; server/routes.go, streamResponse; Go encoding/json.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, cast

import msgspec
from msgspec import UNSET

from clawgate.ollama.lenient import FIGURES
from clawgate.relay import events
from clawgate.web.door.gathering import gather, without_resets
from clawgate.web.door.responses import Payload, one_line
from clawgate.web.ollama.answers import ChatFrame, ChatPiece, DoneReason, GenerateFrame
from clawgate.web.ollama.errors import failure_of

MIMETYPE = "application/x-ndjson"
_NS_PER_S = 1_000_000_000
_ESCAPES = ((b"<", rb"\u003c"), (b">", rb"\u003e"), (b"&", rb"\u0026"))
_NOT_STREAMED = (events.Started, events.Waiting, events.Resumed, events.Restarted)


class Said(msgspec.Struct, frozen=True):
    """What one frame says, before it has the names of an endpoint; `end` is set in the last one."""

    text: str = ""
    thinking: str = ""
    calls: tuple[dict[str, Any], ...] = ()
    end: events.Ended | None = None


class Frames:
    """The frames of one answer.

    frame_of: `chat_frame` or `generate_frame`.
    model: the name that the client gave the model; Ollama repeats it.
    Units: clock is in nanoseconds since the epoch.
    """

    def __init__(
        self, frame_of: Callable[[str, str, Said], Payload], model: str, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._frame_of = frame_of
        self._model = model
        self._clock = clock

    def stream(self, _run_id: str, source: Iterable[events.Event], _place: int | None = None) -> Iterator[bytes]:
        """Yield a line for each event that Ollama has a frame for."""
        for event in without_resets(source):
            if isinstance(event, events.Ended) and event.error is not None:
                yield go_json(failure_of(event.error)) + b"\n"
            elif not isinstance(event, _NOT_STREAMED):
                yield self._encoded(_said(event)) + b"\n"

    def whole(self, _run_id: str, source: Iterable[events.Event]) -> bytes:
        """Take all events of a run and encode the answer as one frame.

        Errors: the one that ended the run.
        """
        answer = gather(source)
        return self._encoded(Said(answer.text, answer.thinking, answer.calls, answer.ended))

    def _encoded(self, said: Said) -> bytes:
        return go_json(self._frame_of(self._model, rfc3339(self._clock()), said))


def _said(event: events.Event) -> Said:
    match event:
        case events.Text():
            return Said(text=event.text)
        case events.Thinking():
            return Said(thinking=event.text)
        case events.ToolCalls():
            return Said(calls=event.calls)
        case events.Ended():
            return Said(end=event)
    return Said()


def chat_frame(model: str, created_at: str, said: Said) -> ChatFrame:
    """Make a frame of `/api/chat`."""
    return ChatFrame(
        model=model,
        created_at=created_at,
        message=ChatPiece("assistant", said.text, said.thinking, said.calls),
        done=said.end is not None,
        **_end_of(said.end),
    )


def generate_frame(model: str, created_at: str, said: Said) -> GenerateFrame:
    """Make a frame of `/api/generate`."""
    context = said.end.context if said.end is not None else None
    return GenerateFrame(
        model=model,
        created_at=created_at,
        response=said.text,
        thinking=said.thinking,
        done=said.end is not None,
        context=UNSET if context is None else context,
        tool_calls=said.calls,
        **_end_of(said.end),
    )


def _end_of(end: events.Ended | None) -> dict[str, Any]:
    if end is None:
        return {}
    return {"done_reason": cast("DoneReason", end.done_reason)} | {name: getattr(end.stats, name) for name in FIGURES}


def go_json(payload: Payload) -> bytes:
    """Encode as Go does: compact, `<`, `>`, `&`, U+2028 and U+2029 escaped; and U+0085, where ollama-python cuts."""
    data = one_line(payload)
    for sign, escaped in _ESCAPES:
        data = data.replace(sign, escaped)  # JSON has these signs in texts alone
    return data


def rfc3339(ns: int) -> str:
    """Write a moment as Go does: UTC, nanoseconds without the zeros at their end."""
    seconds, rest = divmod(ns, _NS_PER_S)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}{fraction}Z"
