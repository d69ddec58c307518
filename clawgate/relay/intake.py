"""The intake of a run: what the frames of its exchanges say becomes the events of its log.

    frames ─► thinking in the content parted ─► merged ─► the run's log

The pump hands in what it has read in one go, and asks when the next flush is due.
"""

from __future__ import annotations

from clawgate.ollama.client import OllamaClient
from clawgate.ollama.context import ContextSizes
from clawgate.ollama.ndjson import Frame
from clawgate.relay.gauge import ContextGauge
from clawgate.relay.recorder import Recorder
from clawgate.relay.run import Run
from clawgate.relay.smoothing import Window, apart, merge
from clawgate.relay.stats import Stats
from clawgate.relay.thinking import ContentThinking
from clawgate.relay.timeouts import Timeouts


class Intake:
    """Publishes what the frames say, one exchange after the other.

    tokens: the length of the text so far.
    flush_at: the moment before which nothing more is to be taken.
    Units: moments are on the pump's clock.
    Threads: the one that drives the pump.
    """

    __slots__ = (
        "_client",
        "_content_thinking",
        "_gauge",
        "_is_again",
        "_recorder",
        "_run",
        "_timeouts",
        "_window",
        "flush_at",
        "tokens",
    )

    def __init__(
        self,
        run: Run,
        client: OllamaClient,
        window: Window,
        timeouts: Timeouts,
        recorder: Recorder,
        sizes: ContextSizes | None,
    ) -> None:
        self._run = run
        self._client = client
        self._is_again = False
        self._window = window
        self._timeouts = timeouts
        self._recorder = recorder
        self._gauge = ContextGauge(run.prompt, sizes)
        self._content_thinking: ContentThinking | None = None
        self.tokens = 0
        self.flush_at = 0.0

    def note_lateness(self, now: float) -> None:
        """Note that this flush comes now, and not when it was due."""
        self._window.note_lateness(now - self.flush_at, now)

    def note_request(self, client: OllamaClient, is_again: bool) -> None:
        """Note that further frames are those of another request; is_again: it is not the run's first."""
        self._client = client
        self._is_again = is_again

    def take(self, frames: list[Frame], now: float) -> Frame | None:
        """Publish what the frames say; return the one that is the end."""
        run = self._run
        if self._timeouts.heard_at is None:
            self._take_first(now)
        self._timeouts.heard_at = self._recorder.heard_at = now
        self._client.note_answer(run.prompt.model, now)
        parting = self._content_thinking
        said = frames if parting is None else parting.part(frames)
        events, end = merge(said) if self._window.length_s else apart(said)
        if events:
            self._timeouts.note_progress(now)
            self._recorder.note_token(now)
            self.flush_at = now + self._window.length_s
            self.tokens += len(frames)
            if parting is None:
                run.publish(events)
        if parting is not None:
            run.publish_and_hold(events, parting.held)
            if parting.is_over:
                self._content_thinking = None
        return end

    def _take_first(self, now: float) -> None:
        """Take note of a request's first frame."""
        run = self._run
        if self._is_again and not run.resume():
            self.tokens = 0
        has_begun = run.log.has_text or run.prompt.goes_on
        self._content_thinking = None if has_begun or run.prompt.is_free_form else ContentThinking()
        self._timeouts.note_first_frame(now)
        self._recorder.note_return(now)
        self._gauge.note_first_frame(self._client, self._timeouts.asked_at, now)

    def stats(self, end: Frame) -> Stats:
        """Return the figures of the answer, which its last frame tells."""
        return self._gauge.stats(end, self._client)
