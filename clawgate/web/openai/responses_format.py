"""An answer as OpenAI's responses have it: a stream of named events, or one object.

Each event is written in one piece: an `event:` line with its type, one `data: {json}` line, a blank line; they are
numbered from 0. A heartbeat is a comment. There is no `[DONE]`: `response.completed`, `.incomplete` or `.failed` is the
last one. Thinking that was void when the model began anew stays, as an item of its own: this format takes nothing back.

    created ─ in_progress ─ (output_item.added ─ … ─ output_item.done) … ─ completed

Source: OpenAI API reference, "Streaming events"; Ollama openai/responses.go, ResponsesStreamConverter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from msgspec import Raw
from msgspec.structs import replace

from clawgate.relay import events
from clawgate.web.door.gathering import gather, without_resets
from clawgate.web.door.responses import Payload, encode, one_line
from clawgate.web.openai import responses_events as told
from clawgate.web.openai.responses_answers import (
    Item,
    ItemStatus,
    Response,
    ResponseMessage,
    ResponseReasoning,
    ResponseSummary,
    ResponseText,
)
from clawgate.web.openai.responses_tools import Qualified
from clawgate.web.openai.responses_whole import (
    Settings,
    begun,
    calls_of,
    items_of,
    message_id,
    over,
    reasoning_id,
    status_of_last,
)

PING = b": keepalive\n\n"
ENDS: dict[str, type[told.OfResponse]] = {
    "completed": told.ResponseCompleted,
    "incomplete": told.ResponseIsIncomplete,
    "failed": told.ResponseFailed,
}
"""The last event of a stream, by the status of its response."""


class ResponsesFormat(NamedTuple):
    """How one request's answer is encoded.

    Units: created_at is in seconds since 1970, as the clock is.
    """

    settings: Settings
    created_at: int
    clock: Callable[[], float]

    def stream(self, run_id: str, source: Iterable[events.Event], _place: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of each event; none has an id, so no reader has a place to come back to."""
        response = begun(run_id, self.settings, self.created_at)
        encoder = Encoder(run_id, response, self.clock, self.settings.qualified)
        yield from encoder.begin()
        for event in without_resets(source):
            yield from encoder.encode(event)

    def whole(self, run_id: str, source: Iterable[events.Event]) -> bytes:
        """Take all events of a run and encode the answer as one object.

        Errors: the one that ended the run.
        """
        answer = gather(source)
        output = items_of(run_id, answer.parts, answer.ended.done_reason, self.settings.qualified)
        response = begun(run_id, self.settings, self.created_at)
        return encode(over(response, answer.ended, output, self.clock))


class Encoder:
    """Encodes the events of one stream: it knows which item is open, and those that are over."""

    def __init__(
        self, run_id: str, response: Response, clock: Callable[[], float], qualified: Mapping[str, Qualified]
    ) -> None:
        self._run_id = run_id
        self._qualified = qualified
        self._response = response
        self._clock = clock
        self._number = 0
        self._over: list[Raw] = []
        self._open_item: Item | None = None
        self._pieces: list[str] = []
        self._called = 0

    def begin(self) -> Iterator[bytes]:
        """Yield the events that come before the answer."""
        yield _event(told.ResponseCreated(self._next(), self._response))
        yield _event(told.ResponseInProgress(self._next(), self._response))

    def encode(self, event: events.Event) -> Iterator[bytes]:
        """Yield the events for one of a run's; there are none for what only our own clients are told."""
        match event:
            case events.Text(text):
                yield from self._begin_text()
                self._pieces.append(text)
                yield _event(told.ResponseTextDelta(*self._place(), text, ()))
            case events.Thinking(text):
                yield from self._begin_thinking()
                self._pieces.append(text)
                yield _event(told.ResponseSummaryDelta(*self._place(), text))
            case events.ToolCalls():
                yield from self._close("completed")
                yield from self._calls(event)
            case events.Restarted():
                yield from self._close("incomplete")
            case events.Ping():
                yield PING
            case events.Ended():
                yield from self._close(status_of_last(event.done_reason))
                response = over(self._response, event, self._over, self._clock)
                yield _event(ENDS[response.status](self._next(), response))

    def _begin_text(self) -> Iterator[bytes]:
        """Open an item of text, unless one is open."""
        if isinstance(self._open_item, ResponseMessage):
            return
        yield from self._close("completed")
        yield self._add(ResponseMessage(message_id(self._run_id, len(self._over)), "in_progress", "assistant", ()))
        yield _event(told.ResponsePartAdded(*self._place(), ResponseText("")))

    def _begin_thinking(self) -> Iterator[bytes]:
        """Open an item of thinking, unless one is open."""
        if isinstance(self._open_item, ResponseReasoning):
            return
        yield from self._close("completed")
        yield self._add(ResponseReasoning(reasoning_id(self._run_id, len(self._over)), (), "in_progress"))
        yield _event(told.ResponseSummaryAdded(*self._place(), ResponseSummary("")))

    def _close(self, status: ItemStatus) -> Iterator[bytes]:
        """Close the item that is open, if there is one: its text is told again, in each of three events."""
        text = "".join(self._pieces)
        match self._open_item:
            case ResponseMessage() as item:
                part = ResponseText(text)
                yield _event(told.ResponseTextDone(*self._place(), text, ()))
                yield _event(told.ResponsePartDone(*self._place(), part))
                yield self._finish(replace(item, status=status, content=(part,)))
            case ResponseReasoning() as item:
                summary = ResponseSummary(text)
                yield _event(told.ResponseSummaryTextDone(*self._place(), text))
                yield _event(told.ResponseSummaryDone(*self._place(), summary))
                yield self._finish(replace(item, status=status, summary=(summary,)))

    def _calls(self, event: events.ToolCalls) -> Iterator[bytes]:
        for item in calls_of(self._run_id, event, len(self._over), self._called, self._qualified):
            yield self._add(replace(item, status="in_progress", arguments=""))
            place = (item.id, len(self._over))
            yield _event(told.ResponseArgumentsDelta(self._next(), *place, item.arguments))
            yield _event(told.ResponseArgumentsDone(self._next(), *place, item.name, item.arguments))
            yield self._finish(item)
        self._called += len(event.calls)

    def _add(self, item: Item) -> bytes:
        self._open_item = item
        return _event(told.ResponseItemAdded(self._next(), len(self._over), item))

    def _finish(self, item: Item) -> bytes:
        self._open_item = None
        self._pieces.clear()
        self._over.append(Raw(one_line(item)))
        return _event(told.ResponseItemDone(self._next(), len(self._over) - 1, self._over[-1]))

    def _place(self) -> tuple[int, str, int, Literal[0]]:
        """Return what an event in the open item begins with; its number is used up."""
        assert self._open_item is not None
        return self._next(), self._open_item.id, len(self._over), 0

    def _next(self) -> int:
        self._number += 1
        return self._number - 1


def _event(event: Payload) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (str(event.__struct_config__.tag).encode(), one_line(event))
