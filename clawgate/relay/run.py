"""A run: one answer being made, shared by its pump, its readers, and whoever ends it.

Every end passes the same door in three steps: `conclude`, which the first caller wins and after which nothing more is
said; the settling of the partial text in the session; `announce`, by which the one end event closes the log and the
wake event wakes the pump. `end` does all three, and whoever takes the session over does the second step itself. No end
waits for a socket, least of all a reader's; closing the connection to Ollama is another step, `close`, that waits for
nothing but that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from clawgate.errors import ClawgateError
from clawgate.ollama.exchange import Exchange
from clawgate.relay.events import Ended, Event, Restarted, Resumed, Started, Text, Thinking, ToolCalls
from clawgate.relay.prompt import Prompt
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message

Settle = Callable[["Run"], object]
"""Stores what `take_answer` of the run gives, unless somebody else has taken it."""


class Run:
    """One answer being made.

    Threads: `_lock` guards the log, the text, the outcome and the exchange, and is held for memory only. `end` and its
    steps, `close` and the properties may be used from any thread; `publish`, `connect` and `resume` are the pump's. The
    log only grows, so a reader may look at it without the lock.
    """

    def __init__(
        self,
        session_id: str,
        run_id: str,
        prompt: Prompt,
        settle: Settle,
        wake_event: WakeEvent,
        ignored: tuple[str, ...] = (),
        request_id: str = "",
        predecessor: Run | None = None,
    ) -> None:
        self.session_id = session_id
        self.run_id = run_id
        self.prompt = prompt
        self.wake_event = wake_event
        self.request_id = request_id
        self.log: list[Event] = [Started(session_id, run_id, prompt.model, ignored)]
        self.ended: Ended | None = None  # announced: everything of the run is in the session by then
        self._outcome: Ended | None = None
        self._answer: Message | None = None
        self._settle = settle
        self._predecessor = predecessor
        self._lock = threading.Lock()
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._tool_calls: list[ToolCalls] = []
        self._exchange: Exchange | None = None

    @property
    def text(self) -> str:
        """All of the answer's text so far."""
        return "".join(self._text)

    @property
    def thinking(self) -> str:
        """All of the thinking so far."""
        return "".join(self._thinking)

    @property
    def has_text(self) -> bool:
        """True once the answer proper has begun."""
        return bool(self._text)

    @property
    def has_tool_calls(self) -> bool:
        """True once the model has asked for a tool."""
        return bool(self._tool_calls)

    @property
    def can_go_on(self) -> bool:
        """False where no second request could go on with the answer: a grammar cannot be entered in the middle."""
        return not (self.has_tool_calls or (self.has_text and self.prompt.has_format))

    @property
    def is_concluded(self) -> bool:
        """True once it is clear how the run ended, a moment before that is told."""
        return self._outcome is not None

    def publish(self, events: Sequence[Event]) -> None:
        """Append events to the log and keep what they say; nothing after the end."""
        with self._lock:
            if self._outcome is not None:
                return
            for event in events:
                if isinstance(event, Text):
                    self._text.append(event.text)
                elif isinstance(event, Thinking):
                    self._thinking.append(event.text)
                elif isinstance(event, ToolCalls):
                    self._tool_calls.append(event)
                self.log.append(event)

    def resume(self) -> bool:
        """Tell that Ollama is back; False where it begins again, because thinking cannot be gone on with."""
        can_go_on = self.has_text or not self._thinking
        if not can_go_on:
            with self._lock:
                self._thinking.clear()
        self.publish([Resumed() if can_go_on else Restarted()])
        return can_go_on

    def end(self, done_reason: str, error: ClawgateError | None = None, stats: dict[str, int] | None = None) -> bool:
        """End the run, settle its text, and tell so; False when it had ended already, or is ending."""
        if not self.conclude(done_reason, error, stats):
            return False
        try:  # settled before it is announced: a reader of the end finds the text
            self._settle(self)
        finally:  # the reader is told the end, and the connection closed, even where the store fails
            self.announce()
        return True

    def conclude(
        self, done_reason: str, error: ClawgateError | None = None, stats: dict[str, int] | None = None
    ) -> bool:
        """Say how the run ended, once: nothing is published after it; False when that has been said."""
        with self._lock:
            if self._outcome is not None:
                return False
            self._outcome = Ended(self.session_id, self.run_id, done_reason, stats or {}, error)
            self._answer = self._message(is_unfinished=done_reason != "stop")
            return True

    def unsettled(self) -> Message | None:
        """Give what was said so far and is not in the session yet; None where nothing is left to settle."""
        with self._lock:
            return self._message(is_unfinished=True) if self._outcome is None else self._answer

    def _message(self, is_unfinished: bool) -> Message:
        return Message(
            role="assistant",
            content=self.text,
            thinking=self.thinking,
            tool_calls=tuple(call for event in self._tool_calls for call in event.calls),
            interrupted=is_unfinished,
        )

    def take_answer(self) -> Message | None:
        """Take what a concluded run said, to settle it; None where somebody has taken it."""
        with self._lock:
            answer, self._answer = self._answer, None
            return answer

    def announce(self) -> None:
        """Tell the end of a concluded run: everything it said is where it belongs."""
        with self._lock:
            if self.ended is None and self._outcome is not None:
                self.ended = self._outcome
                self.log.append(self._outcome)
                self.wake_event.set()

    def connect(self, exchange: Exchange) -> bool:
        """Make the exchange the run's own, so that an end closes it; False when the run has ended."""
        with self._lock:
            if self._outcome is not None:
                return False
            self._exchange = exchange
            return True

    def close_predecessor(self) -> None:
        """Return once the run that this one superseded has no connection to Ollama any more."""
        if self._predecessor is not None:
            self._predecessor.close()
            self._predecessor = None

    def close(self) -> None:
        """Close the connection to Ollama, and return once that is done; for an ended run."""
        with self._lock:
            exchange, predecessor = self._exchange, self._predecessor
        if predecessor is not None:
            predecessor.close()
        if exchange is not None:
            exchange.close()

    def release(self) -> None:
        """Give back what the run holds, ending it where nobody did; the pump's last act."""
        if not self.end("interrupted"):
            self.wake_event.wait()  # somebody else ended it and may still be settling its text
        self.close_predecessor()
        if self._exchange is not None:
            self._exchange.release()
        self.wake_event.close()
