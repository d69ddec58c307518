"""The log of a run: its events in order, each with its number, and the answer whole.

A reader of the run names its place by the number of the last event that it has. The log is bounded: its oldest events
fall out. The answer stays whole, and a reader whose next event has fallen out gets that, as a `Reset`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from clawgate.relay.events import Ended, Event, Reset, Restarted, Started, Text, Thinking, ToolCalls
from clawgate.sessions import Message

EVENT_BYTES = 80
"""The memory that an event takes beside its text: the object, and its places in lists."""
KEPT_PART = 0.75
"""The part of its bound that a log keeps when it overflows: an event is moved a few times at the most."""


class Log:
    """Keeps what a run has said.

    Events are numbered from 1, which is the start event.

    Threads: the run's lock guards it until the run has ended; after that it does not change.
    Units: max_bytes bounds the memory of the events, but for those since the last `make_room`; that of the answer comes
    on top once some have fallen out.
    """

    __slots__ = ("_calls", "_events", "_fallen", "_texts", "_thinking", "event_bytes", "last", "max_bytes", "started")

    def __init__(self, started: Started, max_bytes: float) -> None:
        self.started = started
        self.event_bytes = EVENT_BYTES
        self.last = 1  # the number of the last event
        self.max_bytes = max_bytes
        self._events: list[Event] = [started]
        self._fallen = 0
        self._texts: list[str] = []
        self._thinking: list[str] = []
        self._calls: list[dict[str, Any]] = []

    @property
    def is_full(self) -> bool:
        """True once the events take more than they may."""
        return self.event_bytes > self.max_bytes

    @property
    def has_fallen(self) -> bool:
        """True once the oldest events have fallen out, so that all from the start is one `Reset`."""
        return self._fallen > 0

    @property
    def ended(self) -> Ended | None:
        """Return the end, once it is in the log."""
        last = self._events[-1] if self._events else None
        return last if isinstance(last, Ended) else None

    @property
    def is_ended(self) -> bool:
        """True once the end is in the log."""
        return self.ended is not None

    @property
    def text(self) -> str:
        """Return all of the answer's text so far."""
        return "".join(self._texts)

    @property
    def thinking(self) -> str:
        """Return all of the thinking so far."""
        return "".join(self._thinking)

    @property
    def calls(self) -> tuple[dict[str, Any], ...]:
        """Return the tool calls so far."""
        return tuple(self._calls)

    @property
    def pieces(self) -> Sequence[str]:
        """Return the text so far as it came."""
        return self._texts

    @property
    def has_text(self) -> bool:
        """True once the answer proper has begun."""
        return bool(self._texts)

    @property
    def has_thinking(self) -> bool:
        """True once the model has thought."""
        return bool(self._thinking)

    @property
    def has_calls(self) -> bool:
        """True once the model has asked for a tool."""
        return bool(self._calls)

    def answer(self, *, is_unfinished: bool) -> Message:
        """Return the answer so far as a message of its session."""
        return Message(
            role="assistant",
            content=self.text,
            thinking=self.thinking,
            tool_calls=self.calls,
            interrupted=is_unfinished,
        )

    def append(self, event: Event) -> None:
        """Add an event."""
        if isinstance(event, Text):
            self._texts.append(event.text)
        elif isinstance(event, Thinking):
            self._thinking.append(event.text)
        elif isinstance(event, ToolCalls):
            self._calls.extend(event.calls)
        elif isinstance(event, Restarted):
            self._thinking.clear()
        self._events.append(event)
        self.event_bytes += size_of(event)
        self.last += 1

    def make_room(self) -> None:
        """Let the oldest events fall out where there are too many."""
        if self.is_full:
            self._shorten()

    def join(self) -> None:
        """Keep the answer's text in one piece where its events have fallen out: each piece takes 50 bytes more."""
        if self._fallen:
            self._texts = [self.text] if self._texts else []
            self._thinking = [self.thinking] if self._thinking else []

    def append_from(self, first: int, events: Sequence[Event]) -> bool:
        """Append events of the same run's log, as another process has written them down, but those that are here.

        A `Reset` comes first, and stands for all before it.

        first: the number of the first event, but for a `Reset`, which has its own.
        Returns False where events are missing between.
        """
        begin = events[0] if events else None
        if isinstance(begin, Reset):
            if begin.number > self.last:
                self._begin_with(begin)
            first, events = begin.number + 1, events[1:]
        if first > self.last + 1:
            return False
        for event in events[self.last + 1 - first :]:
            self.append(event)
        return True

    def _begin_with(self, reset: Reset) -> None:
        self._events.clear()
        self._fallen = self.last = reset.number
        self._texts = [reset.text] if reset.text else []
        self._thinking = [reset.thinking] if reset.thinking else []
        self._calls = list(reset.calls)
        self.event_bytes = 0

    def after(self, number: int) -> Sequence[Event]:
        """Return the events behind this number; a `Reset` first where some of them have fallen out.

        A number that was never given has no place in the log, either.
        """
        if self._fallen <= number <= self.last:
            return self._events[number - self._fallen :]
        end = self._events[-1:] if self.is_ended else []
        return [self._reset(self.last - len(end)), *end]

    def memory_bytes(self) -> int:
        """Return the memory that the log takes: the answer is shared with the events that are still there."""
        if not self._fallen:
            return self.event_bytes
        texts = sum(map(sys.getsizeof, (*self._texts, *self._thinking)))
        return self.event_bytes + texts + len(msgspec.json.encode(self._calls))

    def _reset(self, number: int) -> Reset:
        return Reset(self.started, number, self.text, self.thinking, self.calls)

    def _shorten(self) -> None:
        going = 0
        while self.event_bytes > KEPT_PART * self.max_bytes and going < len(self._events) - 1:
            self.event_bytes -= size_of(self._events[going])
            going += 1
        del self._events[:going]
        self._fallen += going


def size_of(event: Event) -> int:
    """Return the memory that an event takes in a log; a `Reset` takes that of the answer so far."""
    if isinstance(event, Reset):
        texts = sys.getsizeof(event.text) + sys.getsizeof(event.thinking)
        return EVENT_BYTES + texts + len(msgspec.json.encode(event.calls))
    if isinstance(event, Text | Thinking):
        return EVENT_BYTES + sys.getsizeof(event.text)
    if isinstance(event, ToolCalls):
        return EVENT_BYTES + len(msgspec.json.encode(event.calls))
    if isinstance(event, Ended) and event.context is not None:
        return EVENT_BYTES + len(event.context)
    return EVENT_BYTES
