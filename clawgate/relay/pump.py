"""The pump: a state machine that turns what Ollama sends into one run's answer.

    begin ─► opening ─► reading ─► (end)
      ▲         │          │
      ├──── backing off ◄──┤   refused, 502, 503, dropped: asked again, to go on from the partial text
      └───── unloading ◄───┘   no first frame in time, because a slot of Ollama's hangs

Each state is a method that waits at most once, in `Waiter.wait`. The kernel is the micro-buffer: after a flush the pump
does not look at the upstream socket until the next flush is due; then it takes all that has come in one non-blocking
read, decodes it in one go and publishes one event. Wake-ups stay at ten a second whatever the model's speed.

The pump knows no reader: it writes to the run's log. A reader drives it by taking its steps (reader.py); without a
reader a run is driven by `while run.ended is None: pump.step(until=math.inf)`.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from typing import NamedTuple

from clawgate.config import StreamConfig
from clawgate.errors import ClawgateError, InternalError, UpstreamStalled, UpstreamTimeout
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.connecting import not_reached
from clawgate.ollama.context import ContextSizes
from clawgate.ollama.exchange import Exchange
from clawgate.ollama.failures import CannotContinue, OpenFailure, failure_in
from clawgate.ollama.ndjson import Frame, tokens_in
from clawgate.ollama.silence import Places
from clawgate.relay.diagnosis import EVALUATING, MAX_LOOKING, NOT_UNLOADED, Diagnosis
from clawgate.relay.events import Waiting
from clawgate.relay.frames import FrameSource
from clawgate.relay.intake import Intake
from clawgate.relay.prompt import CHAT
from clawgate.relay.recorder import Recorder
from clawgate.relay.run import Run
from clawgate.relay.smoothing import Load, Window
from clawgate.relay.stats import NO_STATS, Stats
from clawgate.relay.timeouts import Timeouts
from clawgate.relay.wait import Waiter

_REASONS = (("length",), ("length", "load", "unload"))
"""Ollama's own reasons of an end beside "stop": for requests with messages, and for those without."""


class Shared(NamedTuple):
    """The parts that all pumps of a process share; sizes is None where no context's size is asked for."""

    load: Load
    sizes: ContextSizes | None
    looking: Places


class Pump:
    """Drives one run to its end, a step at a time.

    client_in_force: called at each attempt, so that a reload can correct the address meanwhile.
    Threads: any may take a step, one at a time.
    """

    def __init__(
        self,
        run: Run,
        client_in_force: Callable[[], OllamaClient],
        limits: StreamConfig,
        recorder: Recorder,
        clock: Callable[[], float] = time.monotonic,
        shared: Shared | None = None,
    ) -> None:
        self._run = run
        self._client_in_force = client_in_force
        self._client = client_in_force()
        self._recorder = recorder
        self._clock = clock
        shared = shared or Shared(Load(), None, Places(MAX_LOOKING))
        self._timeouts = Timeouts(limits, run.prompt.holds_frames_back)
        is_generated = run.prompt.generate is not None
        self._frame_source = FrameSource(limits.max_bad_frames, recorder, is_generated=is_generated)
        self._diagnosis = Diagnosis(run.prompt.model, run.wake_event, limits, shared.looking)
        window = Window(limits.smoothing_ms / 1000, shared.load)
        self._intake = Intake(run, self._client, window, self._timeouts, recorder, shared.sizes)
        self._waiter = Waiter(run.wake_event)
        self._state: Callable[[Pump], None] = Pump._begin  # a bound method would be a reference cycle
        self._until = math.inf
        self._is_client_gone = False
        self._exchange: Exchange | None = None
        self._attempt = 0
        self._retry_at = 0.0

    def watch_client(self, client: socket.socket | None) -> None:
        """Watch from now on whether this client hangs up; None for no client."""
        self._waiter.watch_client(client)

    def step(self, until: float) -> bool:
        """Go one step on; return whether the watched client has hung up.

        Units: until is the moment, on the pump's clock, at which a wait ends; math.inf for no such moment.
        """
        self._until = until
        self._is_client_gone = False
        self._run.make_room()  # here alone: who takes the step has read all so far, and is never reset
        try:
            self._state(self)
        except Exception as fault:  # noqa: BLE001 - the one broad catch; an observer logs the traceback
            self._recorder.report_fault(fault)
            self._fail(InternalError())
        return self._is_client_gone

    def _begin(self) -> None:
        """Ask Ollama, which answers nothing before its first frame."""
        run = self._run
        if self._wait(until=0) or run.has_outcome:
            return  # the client gave up while it queued, and is not served; or the answer has taken too long
        clear_at = run.clear_at()
        if clear_at is not None:
            self._wait(until=clear_at)
            return
        self._attempt += 1
        request = run.prompt.request_from(run.text, run.log.thinking, self._intake.tokens)
        is_going_on = run.log.has_text or run.prompt.is_continuation
        self._client = self._client_in_force()  # a reload may have corrected the address
        self._exchange = self._client.chat(
            request, is_going_on, run.request_id, CHAT if run.log.has_text else run.prompt.path
        )
        self._frame_source.read_from(self._exchange)
        self._intake.note_request(self._client, is_again=self._attempt > 1)
        now = self._clock()
        self._timeouts.note_request(now)
        self._diagnosis.note_request(self._client, now)
        self._state = Pump._opening
        if run.connect(self._exchange):
            self._recorder.note_request(self._exchange)
            self._exchange.start(wake=run.wake_event.wake)

    def _opening(self) -> None:
        """Wait for the response to begin, or for its failure."""
        assert self._exchange is not None
        if self._exchange.is_open:
            self._waiter.watch(self._exchange.fileno())
            self._intake.flush_at = 0.0
            self._state = Pump._reading
        elif self._exchange.failure is not None:
            self._go_away(self._exchange.failure)
        elif self._clock() < self._timeouts.frame_due_at:
            if self._diagnosis.is_evaluating(self._client, self._clock()):
                self._run.publish([Waiting(EVALUATING, self._attempt)])
                return  # a reader gets it now, and not after the wait
            self._waiter.watch(self._exchange.fileno())
            until = min(self._timeouts.frame_due_at, self._exchange.refused_by, self._diagnosis.looks_at)
            self._wait(until, for_upstream=True)
            self._exchange.advance()
        else:
            self._inquire()

    def _reading(self) -> None:
        """Take the frames that have come once a flush is due, or wait for some."""
        assert self._exchange is not None
        intake = self._intake
        if self._clock() < intake.flush_at:
            self._wait(until=intake.flush_at)
            now = self._clock()
            if now < intake.flush_at:
                return
            intake.note_lateness(now)
        frames = self._frame_source.read()
        now = self._clock()
        end = intake.take(frames, now) if frames else None
        if end is not None:
            self._take_done(end)
        elif frames and now >= self._timeouts.ends_at:  # a model that is never waited for
            self._end("length")
        elif self._frame_source.fault is not None:
            self._fail(self._frame_source.fault)
        elif self._frame_source.is_too_long:
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
            self._state = Pump._begin

    def _unloading(self) -> None:
        """Wait until the model is unloaded, to ask once more."""
        is_freed = self._diagnosis.is_freed
        if is_freed is None:
            self._wait(until=math.inf)
        elif is_freed:
            self._state = Pump._begin
        else:
            self._fail(self._diagnosis.error(NOT_UNLOADED))

    def _wait(self, until: float, for_upstream: bool = False) -> bool:
        ends_at, now = self._timeouts.ends_at, self._clock()
        if now >= ends_at:
            self._end("length")
            return False
        self._is_client_gone = self._waiter.wait(min(until, self._until, ends_at) - now, for_upstream)
        return self._is_client_gone

    def _wait_for_frames(self) -> None:
        """Wait for the next frame as long as its time-out allows."""
        assert self._exchange is not None
        if self._exchange.fileno() is None:
            return  # there is nothing to poll: reads block
        if self._clock() < self._timeouts.frame_due_at:
            self._wait(until=self._timeouts.frame_due_at, for_upstream=True)
        elif self._timeouts.heard_at is None:
            self._inquire()
        else:
            stall_s = self._timeouts.stall_s
            self._fail(UpstreamStalled(f"Ollama sent nothing for {stall_s:g} s in the middle of its answer"))

    def _take_done(self, frame: Frame) -> None:
        """Take the model's own end: a done frame, or an error."""
        assert self._exchange is not None
        self._client.note_load(self._run.prompt.model, frame.load_duration)
        if frame.error:
            self._go_away(failure_in(frame.error))
        else:
            run = self._run
            reason = frame.done_reason if frame.done_reason in _REASONS[not run.prompt.messages] else "stop"
            context = tokens_in(frame) if run.prompt.generate is not None else None
            run.end(str(reason), stats=self._intake.stats(frame), context=context)
            run.close()

    def _take_end(self) -> None:
        """Take the end of the stream, which is no success: only a done frame is one."""
        assert self._exchange is not None
        if self._run.ended is not None:  # our own close reads as an end
            return
        if not self._exchange.is_whole:
            self._go_away(not_reached(None))
            return
        last = self._frame_source.finish()
        end = self._intake.take(last, self._clock()) if last else None
        if end is not None:
            self._take_done(end)
        else:
            self._end("truncated")

    def _go_away(self, failure: OpenFailure) -> None:
        """Leave an Ollama that does not answer, or not to the end; ask it again later where that can help."""
        run = self._run
        self._release_exchange()
        retry_at = self._timeouts.retry_at(failure, self._clock(), len(run.text))
        if run.log.has_text and isinstance(failure, CannotContinue):
            self._end("truncated")
        elif not failure.is_retryable:
            self._fail(failure.error)
        elif not run.can_go_on:
            self._end("truncated")
        elif retry_at is None:
            self._fail(failure.error)
        else:
            self._retry_at = retry_at
            self._recorder.note_absence(self._clock())
            self._run.publish([Waiting(failure.error.code, self._attempt + 1)])
            self._state = Pump._backing_off

    def _release_exchange(self) -> None:
        """Give up the exchange, to make another."""
        self._waiter.watch(None)
        self._run.disconnect()

    def _inquire(self) -> None:
        """Ask why the first frame is overdue, and free a slot that hangs; a frame may still come meanwhile."""
        assert self._exchange is not None
        silence = self._diagnosis.reason(self._client, self._timeouts.asked_at, self._clock())
        if silence is None:
            self._wait(until=math.inf, for_upstream=True)
            self._exchange.advance()
            return
        self._recorder.wedges += silence.is_wedge
        if not self._diagnosis.can_free(silence):
            self._fail(self._diagnosis.error(silence.words))
            return
        self._recorder.report_unload()
        self._recorder.note_absence(self._clock())
        self._release_exchange()  # first, because Ollama does not unload a model that has a request
        self._run.publish([Waiting(UpstreamTimeout.code, self._attempt + 1)])
        self._diagnosis.free(self._client)
        self._state = Pump._unloading

    def _end(self, done_reason: str, stats: Stats = NO_STATS) -> None:
        self._run.end(done_reason, stats=stats)
        self._run.close()

    def _fail(self, error: ClawgateError) -> None:
        self._run.end("error", error=error)
        self._run.close()
