"""Bytes of Ollama's stream into frames: pure, so that every split can be tested without a socket.

relay/frames.py is the only caller.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from clawgate.ollama.lenient import LARGEST, repaired

MAX_LINE_BYTES = 8 << 20
"""Longest line that is put together; Ollama's own longest frames (tool calls, final contexts) stay under 1 MiB."""
MAX_DEPTH = 100
"""The deepest nesting of JSON, in a frame's tool calls and in a request: encoding bears less than decoding."""
MAX_ELEMENTS = 1 << 16
"""The most members and items of a frame's tool calls: 700,000 calls in 2 MiB became 0.7 GB of events."""
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Decoding raises these for bytes that are no JSON, the last for JSON that is nested too deeply."""


Figure = Annotated[int, msgspec.Meta(ge=0, le=LARGEST - 1)]
"""A count or a duration: lenient.py drops another number, which no arithmetic could bear."""


class FrameMessage(msgspec.Struct, frozen=True, gc=False):
    """The `message` of a frame."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One NDJSON object of Ollama's stream; `{"error": …}` is a frame too, and an end, unless the error is empty.

    `/api/generate` has `response`, `thinking` and `context` in place of a message.

    Units: durations in nanoseconds, counts in tokens.
    Source: Ollama docs/api.md, "Generate a chat completion", Response.
    """

    message: FrameMessage | None = None
    response: str | None = None
    thinking: str | None = None
    context: msgspec.Raw = msgspec.Raw()
    done: bool = False
    done_reason: str | None = None
    error: str | None = None
    total_duration: Figure | None = None
    load_duration: Figure | None = None
    prompt_eval_count: Figure | None = None
    prompt_eval_duration: Figure | None = None
    eval_count: Figure | None = None
    eval_duration: Figure | None = None


_decoder = msgspec.json.Decoder(Frame)


def as_chat(frame: Frame) -> Frame:
    """Return a frame of `/api/generate` as one of `/api/chat`."""
    if frame.message is not None or not (frame.response or frame.thinking):
        return frame
    return msgspec.structs.replace(frame, message=FrameMessage(frame.response, frame.thinking))


def tokens_in(frame: Frame) -> msgspec.Raw | None:
    """Return a copy of a frame's context, which would keep all that was read with it; None where it is no list of
    numbers: as it is passed on unread, nothing else may be in it.
    """
    context = bytes(frame.context)
    is_list = context.startswith(b"[") and not context.translate(None, b"0123456789-,[] ")
    return msgspec.Raw(context) if is_list else None


def _elements_of(frame: Frame) -> int:
    """Count the members and items of a frame's tool calls.

    Errors: RecursionError where they are too many, or nested too deeply.
    """
    level: list[Any] = list((frame.message and frame.message.tool_calls) or ())
    count = 0
    for _ in range(MAX_DEPTH):
        if not level:
            return count
        count += len(level)
        if count > MAX_ELEMENTS:
            break
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    raise RecursionError


def _read_one(line: bytes) -> tuple[Frame, int]:
    """Read a line, and where the types are not Ollama's, what it means; count the elements of its tool calls.

    Errors: those in UNREADABLE.
    """
    try:
        frame = _decoder.decode(line)
    except msgspec.DecodeError as error:
        try:
            frame = msgspec.convert(repaired(line), Frame)
            msgspec.json.encode(frame)  # Python's own decoder takes what no event could carry
        except (ValueError, OverflowError):
            raise error from None
    return frame, _elements_of(frame)


class FrameReader:
    """Puts lines together wherever the reads were cut, and reads each as a frame.

    A line that is no frame is dropped and counted; `max_bad` of them in a row, or one line without end, and the
    stream `is_broken`: nothing after that is read. Lines end at LF only: str.splitlines would also cut at U+0085 and
    U+2028, which are text. Empty lines are nothing.

    elements: the members and items of all tool calls so far.
    """

    def __init__(self, max_bad: int, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self.bad = 0
        self.elements = 0
        self.is_broken = False
        self._bad_in_a_row = 0
        self._max_bad = max_bad
        self._max_line_bytes = max_line_bytes
        self._open: list[bytes] = []
        self._open_bytes = 0

    def feed(self, data: bytes) -> list[Frame]:
        """Take what came in and return the frames that are whole now."""
        if self.is_broken:
            return []
        end = data.rfind(b"\n") + 1
        if end == 0:
            self._keep(data)
            return []
        lines = data[:end]
        if self._open:
            lines = self._take_open() + lines
        if end < len(data):
            self._keep(data[end:])
        try:
            if b'"tool_calls"' in lines:  # rare, and the only part of a frame that can be nested
                return self._read_one_by_one(lines)
            frames = _decoder.decode_lines(lines)  # 0.5 µs a frame
        except UNREADABLE:
            return self._read_one_by_one(lines)
        if frames:
            self._bad_in_a_row = 0
        return frames

    def finish(self) -> list[Frame]:
        """Return the last frame where the stream ended without its LF."""
        rest = self._take_open()
        return [] if self.is_broken else self._read_one_by_one(rest)

    def _keep(self, piece: bytes) -> None:
        self._open.append(piece)
        self._open_bytes += len(piece)
        if self._open_bytes > self._max_line_bytes:
            self.bad += 1
            self.is_broken = True
            self._take_open()

    def _take_open(self) -> bytes:
        line = b"".join(self._open)
        self._open.clear()
        self._open_bytes = 0
        return line

    def _read_one_by_one(self, lines: bytes) -> list[Frame]:
        frames: list[Frame] = []
        for line in lines.split(b"\n"):
            if not line.strip():
                continue
            try:
                frame, elements = _read_one(line)
                frames.append(frame)
                self.elements += elements
                self._bad_in_a_row = 0
            except UNREADABLE:
                self.bad += 1
                self._bad_in_a_row += 1
                if self._bad_in_a_row >= self._max_bad:
                    self.is_broken = True
                    break
        return frames
