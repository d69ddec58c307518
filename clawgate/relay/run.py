"""A run: one answer being made, shared by its pump, its readers, and whoever ends it.

Three verbs take a run apart, in this order, and mean the same wherever the relay and ollama/ use them:

`end`      decides the outcome. The first caller wins, and from then on nothing more is published; the partial text is
           settled in the session; then the end event closes the log and wakes the pump, so that whoever reads of the
           end finds the text. No end waits for a socket, least of all a reader's.
`close`    closes the connection to Ollama, and waits for nothing but that.
`release`  gives back what the run holds: its sockets and fds. It is the last act, of whoever drives the pump.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from clawgate.errors import ClawgateError
from clawgate.ollama.exchange import Exchange
from clawgate.relay.events import Ended, Event, Restarted, Resumed, Started, Text, Thinking, ToolCalls
from clawgate.relay.prompt import Prompt
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message


class Run:
    """One answer being made.

    settle: stores what the run said.
    session_lock: is held while that is settled, so that it is settled before another run takes the session over, or
    by that run.
    Threads: `_lock` guards the log, the text, the outcome and the exchange, and is held for memory only. `end`,
    `ending`, `close` and the properties may be used from any thread; `publish`, `resume`, `connect` and `release` are
    the pump's. The log only grows, so a reader may look at it without the lock.
    """

    def __init__(
        self,
        session_id: str,
        run_id: str,
        prompt: Prompt,
        settle: Callable[[Message], object],
        wake_event: WakeEvent,
        ignored: tuple[str, ...] = (),
        request_id: str = "",
        predecessor: Run | None = None,
        session_lock: Callable[[], AbstractContextManager[object]] = nullcontext,
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
        self._session_lock = session_lock
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
    def has_outcome(self) -> bool:
        """True once it is decided how the run ended, a moment before `ended` says so."""
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
        """End the run; False when it has ended already, or somebody else is ending it.

        Errors: whatever settling raises, once the end is told.
        """
        if not self._decide(done_reason, error, stats):
            return False
        try:
            with self._session_lock():
                answer = self._take_answer()
                if answer is not None:
                    self._settle(answer)
        finally:
            self._announce()
        return True

    @contextmanager
    def ending(self, done_reason: str) -> Iterator[Message | None]:
        """End the run around a block that takes its answer into the session, or drops it, in place of `end`.

        The block is given the answer, or None where it has been settled, and runs with the session's lock held. The
        end is told behind it. Where the block fails, the answer is settled as `end` does it.
        """
        self._decide(done_reason)
        answer = self._take_answer()
        try:
            yield answer
        except BaseException:
            if answer is not None:
                self._settle(answer)
            raise
        finally:
            self._announce()

    def _decide(
        self, done_reason: str, error: ClawgateError | None = None, stats: dict[str, int] | None = None
    ) -> bool:
        with self._lock:
            if self._outcome is not None:
                return False
            self._outcome = Ended(self.session_id, self.run_id, done_reason, stats or {}, error)
            self._answer = self._message(is_unfinished=done_reason != "stop")
            return True

    def _take_answer(self) -> Message | None:
        with self._lock:
            answer, self._answer = self._answer, None
            return answer

    def _announce(self) -> None:
        with self._lock:
            if self.ended is None and self._outcome is not None:
                self.ended = self._outcome
                self.log.append(self._outcome)
                self.wake_event.set()

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

    def connect(self, exchange: Exchange) -> bool:
        """Make the exchange the run's own, so that `close` closes it; False when the run has ended.

        Returns once the run that this one superseded has no connection any more: a session has one at a time.
        """
        self._close_predecessor()
        with self._lock:
            if self._outcome is not None:
                return False
            self._exchange = exchange
            return True

    def close(self) -> None:
        """Close the connection to Ollama of an ended run, and return once that is done; again is harmless."""
        with self._lock:
            exchange, predecessor = self._exchange, self._predecessor
        if predecessor is not None:
            predecessor.close()
        if exchange is not None:
            exchange.close()

    def _close_predecessor(self) -> None:
        if self._predecessor is not None:
            self._predecessor.close()
            self._predecessor = None

    def release(self) -> None:
        """Give back what the run holds, ending it where nobody did."""
        try:
            if not self.end("interrupted"):
                self.wake_event.wait()  # somebody else ended it and may still be settling its text
        finally:
            self._close_predecessor()
            if self._exchange is not None:
                self._exchange.release()
            self.wake_event.release()
