"""The pump: the thread that serves the request reads Ollama, and yields what the reader is told.

    begin ─► opening ─► reading ─► (end)
      ▲         │          │
      ├──── backing off ◄──┤   refused, 502, 503, dropped: waited for, then asked to go on from the partial text
      └───── unloading ◄───┘   no first frame in time, because a slot of Ollama's hangs

One state is one method that waits at most once, in `Waiter.wait`. The kernel is the micro-buffer: after a flush the
upstream socket is not looked at until the next flush is due; then all that came in is taken in one non-blocking read,
decoded in one go and told as one event. Wake-ups stay at ten a second whatever the model's speed.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial

from clawgate.config import StreamConfig
from clawgate.errors import (
    ClawgateError,
    InternalError,
    UpstreamBadFrames,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from clawgate.ollama.body import MalformedBody
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.exchange import Exchange
from clawgate.ollama.failures import CannotContinue, OpenFailure
from clawgate.ollama.ndjson import Frame, FrameReader
from clawgate.ollama.silence import UNKNOWN, BackgroundCall, Silence, unload, why_silent
from clawgate.relay.events import PING, Ended, Event, Restarted, Resumed, Waiting
from clawgate.relay.run import Run
from clawgate.relay.smoothing import merge
from clawgate.relay.wait import Waiter
from clawgate.telemetry.logs import NAMED

log = logging.getLogger(__name__)

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 1.0
HELD_BACK_STALL_S = 30.0
"""With `tools` or `format` Ollama gathers frames before it sends them."""


MAX_ANSWER_BYTES = 1 << 25
"""Of Ollama's stream, some 200,000 tokens: a model that never ends would take all memory."""


class Pump:
    """Drives one run to its end.

    client_in_force: asked for at each attempt, so that one at a wrong address is made at the right one after a reload.
    Threads: one, the one that iterates `events`.
    """

    def __init__(
        self,
        run: Run,
        client_in_force: Callable[[], OllamaClient],
        limits: StreamConfig,
        reader_socket: socket.socket | None = None,
        before_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._client_in_force = client_in_force
        self._client = client_in_force()
        self._limits = limits
        self._before_end = before_end
        self._clock = clock
        self._waiter = Waiter(run.wake_event, reader_socket)
        self._stall_s = max(limits.stall_seconds, HELD_BACK_STALL_S * run.prompt.holds_frames_back)
        self._smoothing_s = limits.smoothing_ms / 1000
        self._ping_at = clock() + limits.heartbeat_seconds
        self._step: Callable[[], None] = self._begin
        self._exchange: Exchange | None = None
        self._frames = FrameReader(limits.max_bad_frames)
        self._attempt = 0
        self._failures = 0
        self._tokens = 0
        self._taken_bytes = 0
        self._asked_at = 0.0
        self._heard_at: float | None = None  # the last frame of this exchange
        self._said_at: float | None = None  # the last frame of any that said something; before one, the first failure
        self._flush_at = 0.0
        self._retry_at = 0.0
        self._inquiry: BackgroundCall[Silence] | None = None
        self._unload: BackgroundCall[bool] | None = None

    def events(self) -> Iterator[Event]:
        """Yield the run's log as it grows, and a ping whenever one is due, up to and including the end.

        Closed before the end, it hangs up: a write failed, or took too long. gunicorn would wait 2 s for such a client
        to close, on the loop that serves everybody: ten of them were seen to hold all others up for 20 s.
        """
        told = self._run.log
        position = 0
        try:
            while True:
                while position < len(told):
                    event = told[position]
                    position += 1
                    if type(event) is Ended:
                        self._before_end()
                        yield event
                        return
                    yield event
                if self._clock() >= self._ping_at:
                    self._ping_at = max(self._ping_at + self._limits.heartbeat_seconds, self._clock())
                    yield PING
                self._take_step()
        except GeneratorExit:
            self._waiter.hang_up()
            raise
        finally:
            del self._step  # a method of its own: it would keep the pump, and the prompt, until garbage is collected

    def _take_step(self) -> None:
        try:
            self._step()
        except Exception:
            log.exception(f"answer failed: {NAMED}", self._run.names)
            self._fail(InternalError())

    # --- states ---------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Ask Ollama, on a helper thread: it answers nothing before its first frame."""
        run = self._run
        self._wait(until=0)  # a client that gave up while it queued is not served
        run.close_predecessor()
        self._attempt += 1
        request = run.prompt.request_from(run.text, run.thinking, self._tokens)
        is_going_on = run.has_text or run.prompt.is_continuation
        self._client = self._client_in_force()  # a reload may have corrected the address that was waited for
        self._exchange = self._client.chat(request, is_going_on, run.request_id)
        self._frames = FrameReader(self._limits.max_bad_frames)
        self._asked_at = self._clock()
        self._heard_at = None
        self._inquiry = None
        self._step = self._opening
        if run.connect(self._exchange):
            self._exchange.start(tell=run.wake_event.wake)

    def _opening(self) -> None:
        """Wait for the response to begin, or for the reason why it does not."""
        assert self._exchange is not None
        deadline = self._asked_at + self._limits.first_frame_seconds
        if self._exchange.is_open:
            self._waiter.watch(self._exchange.fileno())
            self._flush_at = 0.0
            self._step = self._reading
        elif self._exchange.failure is not None:
            self._go_away(self._exchange.failure)
        elif self._clock() < deadline:
            self._wait(until=deadline)
        else:
            self._inquire()

    def _reading(self) -> None:
        """Take what has come in once it is due, or wait for it."""
        assert self._exchange is not None
        if self._clock() < self._flush_at:
            self._wait(until=self._flush_at)
            if self._clock() < self._flush_at:
                return
        fault: MalformedBody | None = None
        try:
            payload = self._exchange.read()
        except MalformedBody as error:
            payload, fault = error.payload, error
        self._taken_bytes += len(payload)
        frames = self._frames.feed(payload)
        if frames:
            self._take(frames)
        if fault is not None:
            self._fail(UpstreamBadFrames(f"Ollama's stream cannot be read: {fault}"))
        elif self._frames.is_broken:
            self._fail(UpstreamBadFrames(f"{self._frames.bad} frames of Ollama's stream could not be read"))
        elif self._taken_bytes > MAX_ANSWER_BYTES:
            self._end("length")
        elif self._exchange.is_at_end:
            self._take_end()
        elif not frames:
            self._wait_for_frames()

    def _backing_off(self) -> None:
        """Wait for Ollama to come back."""
        if self._clock() < self._retry_at:
            self._wait(until=self._retry_at)
        else:
            self._step = self._begin

    def _unloading(self) -> None:
        """Wait until the model is gone, to ask once more."""
        assert self._unload is not None
        if self._unload.result is None:
            self._wait(until=self._ping_at)
        elif self._unload.result:
            self._step = self._begin
        else:
            self._fail(self._timeout("a slot of Ollama's hangs and the model could not be unloaded; restart Ollama"))

    # --- steps ----------------------------------------------------------------------------------------------------

    def _wait(self, until: float, for_upstream: bool = False) -> None:
        wake = self._waiter.wait(min(until, self._ping_at) - self._clock(), for_upstream)
        if wake.client_gone:
            self._end("interrupted")

    def _wait_for_frames(self) -> None:
        """Wait for the next frame, with the patience that is left."""
        assert self._exchange is not None
        if self._exchange.fileno() is None:
            return  # reads block: there is nothing to poll
        if self._heard_at is None:
            deadline = self._asked_at + self._limits.first_frame_seconds
        else:
            deadline = self._heard_at + self._stall_s
        if self._clock() < deadline:
            self._wait(until=deadline, for_upstream=True)
        elif self._heard_at is None:
            self._inquire()
        else:
            self._fail(UpstreamStalled(f"Ollama sent nothing for {self._stall_s:g} s in the middle of its answer"))

    def _take(self, frames: list[Frame]) -> None:
        """Tell what the frames say; one of them may be the end."""
        now = self._clock()
        if self._heard_at is None and self._attempt > 1:
            self._tell_resumed()
        self._heard_at = now
        self._client.note_answer(self._run.prompt.model, now)
        events, end = merge(frames)
        if events:
            self._said_at = now
            self._flush_at = now + self._smoothing_s
            self._failures = 0
            self._tokens += len(frames)
            self._run.publish(events)
        if end is not None:
            self._take_done(end)

    def _tell_resumed(self) -> None:
        run = self._run
        if run.thinking and not run.has_text:
            self._tokens = 0
            run.forget_thinking()
            run.publish([Restarted()])
        else:
            run.publish([Resumed()])

    def _take_done(self, frame: Frame) -> None:
        """Take the model's own end: its done frame, or its error."""
        assert self._exchange is not None
        self._exchange.finish()
        if frame.error is not None:
            self._fail(UpstreamError(frame.error))
        else:
            self._end("length" if frame.done_reason == "length" else "stop", frame.stats)

    def _take_end(self) -> None:
        """Take the end of the stream, which is no success: only a done frame is."""
        assert self._exchange is not None
        if self._run.ended is not None:  # it is our own close that reads as an end
            return
        if not self._exchange.is_whole:
            self._go_away(OpenFailure(UpstreamUnreachable("Ollama dropped the connection"), is_retryable=True))
            return
        last = self._frames.finish()
        if last:
            self._take(last)
        self._end("truncated")

    def _go_away(self, failure: OpenFailure) -> None:
        """Wait for an Ollama that is away, as long as that can help."""
        run, now = self._run, self._clock()
        assert self._exchange is not None
        self._waiter.watch(None)
        self._exchange.release()
        if self._said_at is None:
            self._said_at = now
        cannot_go_on = run.has_tool_calls or (run.has_text and run.prompt.has_format)
        if (cannot_go_on and failure.is_retryable) or (run.has_text and isinstance(failure, CannotContinue)):
            self._end("truncated")
        elif not failure.is_retryable or now >= self._said_at + self._limits.retry_seconds:
            self._fail(failure.error)
        else:
            self._retry_at = now + min(FIRST_BACKOFF_S * 2**self._failures, LONGEST_BACKOFF_S)
            self._failures = min(self._failures + 1, 10)
            run.publish([Waiting(failure.error.code, self._attempt + 1)])
            self._step = self._backing_off

    def _inquire(self) -> None:
        """Ask why the first frame is overdue; it is still taken if it comes meanwhile."""
        if self._inquiry is None:
            model, now = self._run.prompt.model, self._clock()
            answers_others = self._client.has_answered_since(model, (self._asked_at + now) / 2)
            ask = partial(why_silent, self._client, model, answers_others)
            self._inquiry = BackgroundCall(ask, UNKNOWN, tell=self._run.wake_event.wake)
        elif self._inquiry.result is None:
            self._wait(until=self._ping_at, for_upstream=True)
        else:
            self._take_silence(self._inquiry.result)

    def _take_silence(self, silence: Silence) -> None:
        """Tell why nothing came; a slot that hangs is freed where that is allowed, once."""
        run = self._run
        assert self._exchange is not None
        if silence.is_wedge:
            run.wedges += 1
        if not silence.is_wedge or not self._limits.unload_wedged or self._unload is not None:
            self._fail(self._timeout(silence.words))
            return
        log.warning(f"a slot of Ollama's hangs, unloading the model: {NAMED}", run.names)
        self._waiter.watch(None)
        self._exchange.release()  # first, because Ollama unloads nothing that is asked something
        run.publish([Waiting(UpstreamTimeout.code, self._attempt + 1)])
        self._unload = BackgroundCall(
            partial(unload, self._client, run.prompt.model, run.wake_event), False, tell=run.wake_event.wake
        )
        self._step = self._unloading

    def _timeout(self, why: str) -> UpstreamTimeout:
        return UpstreamTimeout(f"no first frame from Ollama within {self._limits.first_frame_seconds:g} s: {why}")

    def _end(self, done_reason: str, stats: dict[str, int] | None = None) -> None:
        self._run.end(done_reason, stats=stats)
        self._run.close()

    def _fail(self, error: ClawgateError) -> None:
        if self._run.end("error", error=error):
            log.warning(
                f"answer failed: {NAMED} error=%(error)s", {**self._run.names, "error": f"{error.code}: {error}"}
            )
        self._run.close()
