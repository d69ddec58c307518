"""Smoothing: the time for which text is gathered, and the fewest events that keep its order. Pure.

Neighbouring pieces of text become one Text, neighbouring pieces of thinking one Thinking; a change of kind and tool
calls begin a new event. Ollama's empty frames make none.
"""

from __future__ import annotations

from clawgate.ollama.ndjson import Frame
from clawgate.relay.events import Event, Text, Thinking, ToolCalls

WIDEST = 4
"""The widest window, as a multiple of the one that was set."""
IN_TIME_S = 0.0025
"""A flush that is no later is in time: a quiet gateway's threads wake up within 1 ms, and polls count in ms."""
WINDOW_PER_LATENESS = 40
"""A window lasts at least so many times the lateness, so one of 100 ms widens beyond 2.5 ms. A longer one may be as
much later as it is longer."""
KEPT = 0.85
"""The part of a window that a flush in time leaves: after some ten of those it is as it was set, after any lateness."""
BUSY_S = 0.003
"""A mean lateness that tells of too much work; 400 answers of 50 tokens a second stay below it on two cores."""
MOST_S = 0.02
"""The part of a lateness that counts in the mean: one pause of the machine is no sign of too much work."""
FLUSHES = 50
"""A new lateness makes up one such part of the mean."""
HALF_S = 0.25
"""Half of the mean is forgotten in this time, so that a burst that is over slows down no text."""


class Load:
    """Whether the process has more to do than it can, by the mean lateness of all flushes.

    Threads: any, without a lock: of two latenesses that are noted at once one may be lost, which changes nothing.
    """

    def __init__(self) -> None:
        self._mean_s = 0.0
        self._noted_at = 0.0

    @property
    def is_too_much(self) -> bool:
        """True while flushes are late on the whole."""
        return self._mean_s > BUSY_S

    def note_lateness(self, late_s: float, now: float) -> None:
        """Note how late a flush is."""
        left_s = self._mean_s * 0.5 ** ((now - self._noted_at) / HALF_S)
        self._mean_s = left_s + (min(late_s, MOST_S) - left_s) / FLUSHES
        self._noted_at = now


class Window:
    """The time for which text is gathered: the time that was set, and up to four times that while flushes are late.

    Flushes are late where more threads want the interpreter than it can serve, as when many answers are opened at once.
    Each turn of a thread then costs more, and all fall behind. Fewer flushes end that, and leave the interpreter to the
    first text of other answers, which readers wait for most. One late flush among many in time widens nothing.
    """

    def __init__(self, set_s: float, load: Load) -> None:
        self.length_s = set_s
        self._set_s = set_s
        self._load = load
        self._per_lateness = min(set_s / IN_TIME_S, WINDOW_PER_LATENESS)

    def note_lateness(self, late_s: float, now: float) -> None:
        """Note how late a flush is; the length of the next windows follows from it."""
        self._load.note_lateness(late_s, now)
        asked_s = self._per_lateness * late_s if self._load.is_too_much else 0.0
        self.length_s = min(max(self._set_s, asked_s, KEPT * self.length_s), WIDEST * self._set_s)


def apart(frames: list[Frame]) -> tuple[list[Event], Frame | None]:
    """Return the events of some frames as `merge` does, each frame's apart: the reader wants them as they come."""
    events: list[Event] = []
    for frame in frames:
        its_events, end = merge([frame])
        events += its_events
        if end is not None:
            return events, end
    return events, None


def merge(frames: list[Frame]) -> tuple[list[Event], Frame | None]:
    """Return the events of some frames, in order, and the frame that is the end; frames behind that are dropped."""
    events: list[Event] = []
    kind: type[Text] | type[Thinking] = Text
    pieces: list[str] = []
    end = None
    for frame in frames:
        message = frame.message
        if message is not None:
            if message.thinking:
                if kind is not Thinking and pieces:
                    events.append(kind("".join(pieces)))
                    pieces = []
                kind = Thinking
                pieces.append(message.thinking)
            if message.content:
                if kind is not Text and pieces:
                    events.append(kind("".join(pieces)))
                    pieces = []
                kind = Text
                pieces.append(message.content)
            if message.tool_calls:
                if pieces:
                    events.append(kind("".join(pieces)))
                    pieces = []
                events.append(ToolCalls(tuple(message.tool_calls)))
        if frame.done or frame.error:
            end = frame
            break
    if pieces:
        events.append(kind("".join(pieces)))
    return events, end
