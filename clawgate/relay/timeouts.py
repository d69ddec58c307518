"""The time-outs of one run. Pure: every moment is handed in.

A request has `first_frame_s` until its first frame, and each frame has `stall_s` until the next. An Ollama that is away
is asked again with growing pauses for `retry_s`, counted from the last frame that said something: empty frames are no
progress. An answer as a whole ends at `ends_at`, which counts from the very first frame, through every recovery: it
bounds the time for which one answer keeps a slot and a reader, whatever the time is spent on.
"""

from __future__ import annotations

import math

from clawgate.config import StreamConfig
from clawgate.ollama.failures import OpenFailure

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 1.0
HELD_BACK_STALL_S = 30.0
"""With `tools` or `format` Ollama gathers frames before it sends them."""
_MOST_FAILURES = 10
MAX_RELOADS = 2
"""A prompt at which every runner dies is asked again so often."""


class Timeouts:
    """Keeps the moments from which the time-outs of one run count.

    Units: moments are on the pump's clock.
    Threads: the one that drives the pump.
    """

    __slots__ = (
        "_deaths",
        "_died_behind",
        "_failures",
        "_max_answer_s",
        "_said_at",
        "asked_at",
        "ends_at",
        "first_frame_s",
        "heard_at",
        "retry_s",
        "stall_s",
    )

    def __init__(self, limits: StreamConfig, holds_frames_back: bool) -> None:
        self.first_frame_s = limits.first_frame_seconds
        self.stall_s = max(limits.stall_seconds, HELD_BACK_STALL_S * holds_frames_back)
        self.retry_s = limits.retry_seconds
        self._max_answer_s = limits.max_answer_seconds or math.inf
        self.ends_at = math.inf
        self.asked_at = 0.0
        self.heard_at: float | None = None  # the last frame of this request
        self._said_at: float | None = None  # the last frame that said something; before one, the first failure
        self._failures = 0
        self._died_behind = 0  # the length of the text behind which the model's runner died last
        self._deaths = 0  # how often it died there

    @property
    def frame_due_at(self) -> float:
        """The moment at which the wait for this request's next frame is over."""
        return self.asked_at + self.first_frame_s if self.heard_at is None else self.heard_at + self.stall_s

    def note_request(self, now: float) -> None:
        """Note that a request begins."""
        self.asked_at, self.heard_at = now, None

    def note_first_frame(self, now: float) -> None:
        """Note a request's first frame; that of the first request begins the answer."""
        if self.ends_at == math.inf:
            self.ends_at = now + self._max_answer_s

    def note_progress(self, now: float) -> None:
        """Note that a frame has said something."""
        self._said_at = now
        self._failures = 0

    def next_attempt_at(self, now: float) -> float | None:
        """Return the moment of the next request to an Ollama that is away; None when it has been away for too long."""
        if self._said_at is None:
            self._said_at = now
        if now >= self._said_at + self.retry_s:
            return None
        backoff_s = min(FIRST_BACKOFF_S * 2.0**self._failures, LONGEST_BACKOFF_S)
        self._failures = min(self._failures + 1, _MOST_FAILURES)
        return now + backoff_s

    def retry_at(self, failure: OpenFailure, now: float, text_length: int) -> float | None:
        """Return the moment of the next request after a failure; None when it has lasted, or come, too often.

        A runner may die `MAX_RELOADS` times behind a text of that length. Thinking does not count, since it begins
        again.
        """
        if failure.is_runner_dead:
            if text_length > self._died_behind:
                self._died_behind, self._deaths = text_length, 0
            self._deaths += 1
            if self._deaths > MAX_RELOADS:
                return None
        return self.next_attempt_at(now)
