"""A run: one answer being made, shared by its pump, its readers, and the threads that end it.

Three verbs finish a run, in this order. They mean the same wherever the relay and ollama/ use them:

`end`      decides the outcome: the first caller wins, and nothing is published afterwards. The text is settled in the
           session. Then the end event closes the log and wakes the pump, so that a reader of the end finds the text.
           No end waits for a socket, least of all a reader's.
`close`    closes the connection to Ollama, and waits for nothing: what is too early is done later (closings.py).
`release`  gives back the sockets and fds. The thread that drives the pump does that last.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from msgspec import Raw

from clawgate.errors import ClawgateError, UpstreamRefused
from clawgate.ollama.exchange import Exchange
from clawgate.relay.closings import Closings
from clawgate.relay.events import Ended, Event, Restarted, Resumed, Started, Text, Thinking
from clawgate.relay.log import Log
from clawgate.relay.prompt import Prompt
from clawgate.relay.stats import NO_STATS, Stats
from clawgate.relay.wait import WakeEvent, Wakes
from clawgate.sessions import Message

REFUSAL = Message(role="assistant", interrupted=True, refused=True)
"""The answer that is settled where Ollama has refused the question: it marks that, and adds nothing."""


class Run:
    """One answer being made.

    settle: stores the run's answer in its session; returns something true where that has taken it.
    dropped: how many turns, and pictures of others, the session has lost since its last start event.
    closings: the process's, which all of its runs share.
    is_detachable: the request asked for an answer that waits for its reader to come back.
    is_kept: it belongs to a session that its client knows.
    session_lock: held while the answer is settled, so that a run that takes the session over finds it settled, or
    settles it itself.
    Threads: `_lock` guards the log, the text, the outcome and the exchange, and is held for memory only. `end`,
    `ending`, `close` and the properties may be used from any thread; `make_room`, `publish`, `resume`, `clear_at`,
    `connect`, `disconnect` and `release` are the pump's. Readers see the log by `after`.
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
        dropped: tuple[int, int] = (0, 0),
        closings: Closings | None = None,
        is_detachable: bool = False,
        is_kept: bool = True,
        max_log_bytes: float = math.inf,
    ) -> None:
        self.session_id = session_id
        self.run_id = run_id
        self.prompt = prompt
        self.wake_event = wake_event
        self.request_id = request_id
        self.is_detachable = is_detachable
        self.is_kept = is_kept
        self.is_settled = False  # True once the session has taken the answer from this run
        self.is_forgotten = False  # True once another session has its session's id
        self.log = Log(Started(session_id, run_id, prompt.model, ignored, *dropped), max_log_bytes)
        self.ended: Ended | None = None  # set once the answer is in the session
        self.decided_at = math.inf  # when the outcome was decided, on the monotonic clock
        self._outcome: Ended | None = None
        self._answer: Message | None = None
        self._settle = settle
        self._session_lock = session_lock
        self._predecessor = predecessor
        self._closings = closings or Closings()
        self._lock = threading.Lock()
        self._followers: tuple[Wakes, ...] = ()
        self._held: Text | Thinking | None = None
        self._exchange: Exchange | None = None

    @property
    def text(self) -> str:
        """All of the answer's text so far."""
        return self.log.text

    @property
    def thinking(self) -> str:
        """All of the thinking so far."""
        return self.log.thinking

    @property
    def is_accepted(self) -> bool:
        """True once the model has begun to answer, in this run or before: a refusal is none of the question then."""
        log = self.log
        return self.prompt.is_accepted or log.has_text or log.has_thinking or log.has_calls or self._held is not None

    @property
    def can_go_on(self) -> bool:
        """False where a second request could not go on with the answer, as after tool calls."""
        return not (self.log.has_calls or (self.log.has_text and not self.prompt.can_go_on))

    @property
    def has_outcome(self) -> bool:
        """True once the outcome is decided, a moment before `ended` is set."""
        return self._outcome is not None

    def make_room(self) -> None:
        """Let the log's oldest events fall out where there are too many; the reader that drives the run has them."""
        if self.log.is_full:  # without the lock, since the pump alone makes it so
            with self._lock:
                if self._outcome is None:
                    self.log.make_room()

    def publish(self, events: Sequence[Event]) -> None:
        """Append events to the log and gather the answer; after the end do nothing."""
        with self._lock:
            if self._outcome is None:
                self._append(events)

    def publish_and_hold(self, events: Sequence[Event], held: Text | Thinking | None) -> None:
        """Publish events and keep what else the model has said, for an end that comes before the next call."""
        with self._lock:
            if self._outcome is None:
                self._held = held
                self._append(events)

    def _append(self, events: Sequence[Event]) -> None:
        for event in events:
            self.log.append(event)
        if self._followers:
            self._wake_followers()

    def _wake_followers(self) -> None:
        for follower in self._followers:
            follower.wake()

    def after(self, number: int) -> Sequence[Event]:
        """Return the events behind this number, or a `Reset` where that is no place in the log."""
        if self.log.last == number:  # without the lock: what is added a moment later wakes the reader
            return ()
        with self._lock:
            return self.log.after(number)

    def follow(self, wake_event: Wakes) -> None:
        """Wake this event whenever the log grows."""
        with self._lock:
            self._followers += (wake_event,)

    def unfollow(self, wake_event: Wakes) -> None:
        """Wake this event no more; again is harmless."""
        with self._lock:
            self._followers = tuple(each for each in self._followers if each is not wake_event)

    def resume(self) -> bool:
        """Publish that Ollama is back; False where it begins again, since thinking cannot be continued."""
        can_go_on = self.log.has_text or not self.log.has_thinking
        self.publish_and_hold([Resumed() if can_go_on else Restarted()], None)  # what was held back comes again, too
        return can_go_on

    def end(
        self,
        done_reason: str,
        error: ClawgateError | None = None,
        stats: Stats = NO_STATS,
        context: Raw | None = None,
    ) -> bool:
        """End the run; False when it has ended already, or another thread is ending it.

        context: the tokens of a generated answer, as Ollama gave them.

        Errors: those of settling, after the end event.
        """
        if not self._decide(done_reason, error, stats, context):
            return False
        try:
            with self._session_lock():
                answer = self._take_answer()
                if answer is not None:
                    self.is_settled = bool(self._settle(answer))
        finally:
            self._announce()
        return True

    @contextmanager
    def ending(self, done_reason: str) -> Iterator[Message | None]:
        """End the run around a block that puts its answer into the session, or drops it, in place of `end`.

        The caller holds the session's lock. The block gets the answer, or None where that is settled; the end event
        follows the block. If the block fails, the answer is settled as `end` does it.
        """
        self._decide(done_reason)
        answer = self._take_answer()
        try:
            yield answer
        except BaseException:
            if answer is not None:
                self.is_settled = bool(self._settle(answer))
            raise
        finally:
            self._announce()

    def _decide(
        self,
        done_reason: str,
        error: ClawgateError | None = None,
        stats: Stats = NO_STATS,
        context: Raw | None = None,
    ) -> bool:
        with self._lock:
            if self._outcome is not None:
                return False
            self._let_go(is_finished=done_reason == "stop")
            is_empty = done_reason == "stop" and self._is_empty()
            self._answer = self.log.answer(is_unfinished=done_reason != "stop")
            if isinstance(error, UpstreamRefused) and not self.is_accepted:
                refused = UpstreamRefused(error.words, is_of_question=self.is_kept)
                error, self._answer = refused.said_by_ollama(error.upstream_words, error.upstream_status), REFUSAL
            self.decided_at = time.monotonic()
            self._outcome = Ended(self.session_id, self.run_id, done_reason, stats, error, is_empty, context)
            return True

    def _let_go(self, is_finished: bool) -> None:
        """Publish what is held back, but for the beginning of a tag in an answer that is not finished.

        Going on behind that, the model would write its thinking as text; so it is asked anew.
        """
        if isinstance(self._held, Thinking) or (self._held is not None and is_finished):
            self._append((self._held,))

    def _is_empty(self) -> bool:
        """Tell whether the answer has no text; white space is none, tool calls stand for one."""
        has_text = any(piece.strip() for piece in self.log.pieces)
        return not (has_text or self.log.has_calls or self.prompt.goes_on)

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
                self._wake_followers()

    def unsettled(self) -> Message | None:
        """Return the answer so far that is not in the session yet; None where nothing is left to settle."""
        with self._lock:
            return self.log.answer(is_unfinished=True) if self._outcome is None else self._answer

    def clear_at(self) -> float | None:
        """Return the moment from which the run may ask Ollama; None where it may ask now.

        The superseded run, and an earlier one whose close has to wait, must have no connection any more: a session has
        one at a time. Call again at that moment.
        """
        self._close_predecessor()
        return self._closings.clear_at(self.session_id)

    def connect(self, exchange: Exchange) -> bool:
        """Make the exchange the run's own, so that `close` closes it; False when the run has ended."""
        with self._lock:
            if self._outcome is not None:
                return False
            self._exchange = exchange
            return True

    def disconnect(self) -> None:
        """Give the connection to Ollama up, to make another."""
        if self._exchange is not None:
            self._closings.release(self.session_id, self._exchange)

    def close(self) -> None:
        """Close an ended run's connection to Ollama, and those of the runs that it superseded; again is harmless."""
        run: Run | None = self
        while run is not None:
            with run._lock:
                exchange, predecessor = run._exchange, run._predecessor
            if exchange is not None:
                self._closings.close(self.session_id, exchange)
            run = predecessor

    def _close_predecessor(self) -> None:
        if self._predecessor is not None:
            self._predecessor.close()
            self._predecessor = None

    def release(self) -> None:
        """Give back the sockets and fds, and end the run where nothing else did."""
        try:
            if not self.end("interrupted"):
                self.wake_event.wait()  # another thread has ended it and may still be settling its text
        finally:
            self._close_predecessor()
            self.disconnect()
            self.wake_event.release()
