"""The frames of a run: their source turns the bytes of its exchanges into frames, and finds faults in them."""

from __future__ import annotations

from clawgate.errors import UpstreamBadFrames
from clawgate.ollama.body import MalformedBody
from clawgate.ollama.exchange import Exchange
from clawgate.ollama.ndjson import Frame, FrameReader, as_chat
from clawgate.relay.recorder import Recorder

MAX_ANSWER_BYTES = 1 << 25
"""A limit on Ollama's stream, some 200,000 tokens: a model that never ends would take all memory."""
ELEMENT_BYTES = 100
"""The memory that a member or an item of a tool call takes, which counts as so much of the stream."""


class FrameSource:
    """Reads one exchange after the other, without blocking, and counts for the recorder.

    Threads: the one that drives the pump.
    """

    __slots__ = (
        "_bad",
        "_exchange",
        "_frames",
        "_is_generated",
        "_max_bad_frames",
        "_recorder",
        "_taken_bytes",
        "fault",
    )

    def __init__(self, max_bad_frames: int, recorder: Recorder, *, is_generated: bool = False) -> None:
        """is_generated: some of the frames may be those of `/api/generate`."""
        self._is_generated = is_generated
        self._max_bad_frames = max_bad_frames
        self._recorder = recorder
        self._bad = 0
        self._taken_bytes = 0
        self._exchange: Exchange | None = None
        self._frames = FrameReader(max_bad_frames)
        self.fault: UpstreamBadFrames | None = None

    @property
    def is_too_long(self) -> bool:
        """True once the answer is beyond `MAX_ANSWER_BYTES`."""
        return self._taken_bytes + ELEMENT_BYTES * self._frames.elements > MAX_ANSWER_BYTES

    def read_from(self, exchange: Exchange) -> None:
        """Read this exchange from now on."""
        self._exchange = exchange
        self._frames = FrameReader(self._max_bad_frames)
        self._bad = 0

    def read(self) -> list[Frame]:
        """Return the frames that are complete; set `fault` where the stream cannot be read any further."""
        assert self._exchange is not None
        try:
            payload = self._exchange.read()
        except MalformedBody as error:
            payload = error.payload
            self.fault = UpstreamBadFrames(f"Ollama's stream cannot be read: {error}")
        self._taken_bytes += len(payload)
        frames = self._taken(self._frames.feed(payload))
        if self._frames.is_broken and self.fault is None:
            self.fault = UpstreamBadFrames(f"{self._frames.bad} frames of Ollama's stream could not be read")
        return frames

    def finish(self) -> list[Frame]:
        """Return the last frame where the stream ended without its line end."""
        return self._taken(self._frames.finish())

    def _taken(self, frames: list[Frame]) -> list[Frame]:
        """Count frames that were read, and return them as those of a chat."""
        self._recorder.frames += len(frames)
        if self._frames.bad > self._bad:
            self._recorder.bad_frames += self._frames.bad - self._bad
            self._bad = self._frames.bad
        return [as_chat(frame) for frame in frames] if self._is_generated else frames
