"""The state of one answer as it is heard, and as the display is told of it: its text, its phase, its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from clawgate.client.events import (
    Ended,
    Event,
    Ping,
    Reconnecting,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    ToolCalls,
    Waiting,
)
from clawgate.terminal import words
from clawgate.terminal.display import Display

QUIET_S = 0.6
"""So long nothing is said of a wait that is as a rule over sooner."""
_OFTEN_SHORT = (words.CONNECTING, words.LOADING, words.INTERRUPTING)
MAX_CALL = 200


class Hearing:
    """Hears the events of one answer.

    is_begun: the gateway has taken the question.
    end: the answer's own.
    Threads: the main one.
    """

    def __init__(self, display: Display, clock: Callable[[], float] = time.monotonic) -> None:
        self.is_begun = False
        self.end: Ended | None = None
        self._display = display
        self._clock = clock
        self._text: list[str] = []
        self._phase = words.CONNECTING
        self._phase_at = clock()
        self._thinks_since: float | None = None
        self._is_interrupted = False

    @property
    def text(self) -> str:
        """All of the answer that was shown."""
        return "".join(self._text)

    def hear(self, event: Event) -> None:
        """Take an event."""
        match event:
            case Started():
                self.is_begun = True
                self._enter(words.LOADING)
                if event.dropped_turns:
                    self._display.note(words.DROPPED.format(count=event.dropped_turns))
            case Text():
                self.say(event.text)
            case Thinking():
                self._thinks_since = self._clock() if self._thinks_since is None else self._thinks_since
                self._enter(words.THINKING)
                self._display.thinking(event.text)
            case Restarted():
                self._display.restarted()
            case ToolCalls():
                self._end_thinking()
                for call in event.calls:
                    self._display.note(f"It calls a tool: {str(call.get('function', call))[:MAX_CALL]}")
            case Waiting():
                self._enter(words.waiting(event))
            case Resumed():
                self._enter("")
            case Reconnecting():
                self._enter(words.RECONNECTING)
            case Reset():
                self.is_begun = True
                self._reset(event)
            case Ended():
                self.end = event
            case Ping():
                if self._phase == words.RECONNECTING:  # and back
                    self._enter("" if self._text else words.LOADING)

    def say(self, text: str) -> None:
        """Take a piece of the answer."""
        if text:
            self._end_thinking()
            self._enter("")
            self._text.append(text)
            self._display.text(text)

    def interrupt(self) -> None:
        """Note that the answer is being interrupted: that is its phase to the end."""
        self._enter(words.INTERRUPTING)
        self._is_interrupted = True

    def show_phase(self) -> None:
        """Have the display show what is waited for, and for how long."""
        since_s = self._clock() - self._phase_at
        is_early = self._phase in _OFTEN_SHORT and since_s < QUIET_S
        self._display.status("" if is_early else self._phase.replace("{s}", str(int(since_s))))

    def show_end(self) -> None:
        """Have the display show how the answer ended; nothing of an error, which its hearer tells."""
        self._end_thinking()
        self._display.status("")
        reason = "interrupted" if self._is_interrupted else ""
        if self.end is not None:
            reason = self.end.done_reason
        if reason in words.ENDS:
            self._display.end()
            self._display.note(words.ENDS[reason])
        elif self.end is not None and self.end.is_empty:
            self._display.note(words.NO_TEXT)
        self._display.end()

    def _reset(self, event: Reset) -> None:
        """Go on from all of the answer so far; where that is another one, it is shown anew."""
        known = self.text
        if not event.text.startswith(known):
            self._display.end()
            self._display.note(words.ANEW)
            self._text.clear()
            known = ""
        self._enter("" if event.text else words.LOADING)
        self.say(event.text[len(known) :])

    def _end_thinking(self) -> None:
        if self._thinks_since is not None:
            self._display.thought(math.ceil(self._clock() - self._thinks_since))
            self._thinks_since = None

    def _enter(self, phase: str) -> None:
        if phase != self._phase and not self._is_interrupted:
            self._phase = phase
            self._phase_at = self._clock()
