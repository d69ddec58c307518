"""Thinking inside the content: a model that Ollama does not know to think writes `<think>…</think>` before its answer.

Older templates and many imported models do. The blocks before the answer's text become thinking, as Ollama does it for
the models that it knows; an empty one, and the blank lines behind one, are nothing. Pure; the pump feeds it until the
text has begun, and leaves it out from then on.

    before ─ <think> ─► inside ─ </think> ─► before ─ anything else ─► over

The tags are those of the models' own training, in this spelling alone: `<thinking>` and `< think>` are text, and so is
every tag behind the beginning of the text. Source: Ollama thinking/parser.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec.structs import replace

from clawgate.ollama.ndjson import Frame, FrameMessage
from clawgate.relay.events import Text, Thinking

OPENING = "<think>"
CLOSING = "</think>"
_OPENING = re.compile(rf"\s*{OPENING}")
MAX_HELD = 256
"""The most characters that are held back; white space that goes on longer is the answer's text."""


class ContentThinking:
    """Parts the thinking in the content of one request's frames from the text.

    is_over: the text has begun; nothing more is parted.
    Threads: the one that drives the pump.
    """

    __slots__ = ("_held", "_is_behind", "_is_blank", "_is_inside", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self._held = ""
        self._is_inside = False
        self._is_blank = True  # the block has said nothing yet
        self._is_behind = False  # a block has begun; once it is over, text is what stands behind it

    @property
    def held(self) -> Text | Thinking | None:
        """The part that is held back, as it is to be understood where nothing follows."""
        if self._is_inside:
            return Thinking(self._held) if self._held else None
        text = _without_blank_lines(self._held) if self._is_behind else self._held
        return Text(text) if text else None

    def part(self, frames: list[Frame]) -> list[Frame]:
        """Return these frames with the thinking where Ollama puts it, and without what is held back."""
        parted: list[Frame] = []
        for index, frame in enumerate(frames):
            if self.is_over:
                return parted + frames[index:]
            parted += self._parted(frame)
        return parted

    def _parted(self, frame: Frame) -> Iterator[Frame]:
        message = frame.message
        if message is None:
            yield frame
        elif message.thinking and not self._is_inside:  # Ollama knows the tags of this model, so none are left
            yield from self._let_go()
            self.is_over = True
            yield frame
        else:
            if message.thinking:
                yield _thinking(message.thinking)
            yield from self._take(message.content or "")
            if message.tool_calls:
                yield from self._let_go()
            yield replace(frame, message=FrameMessage(tool_calls=message.tool_calls))

    def _take(self, content: str) -> Iterator[Frame]:
        rest, self._held = self._held + content, ""
        start = 0  # of what is left: cutting it off would copy a long frame once for each of its blocks
        while start < len(rest):
            if self._is_inside:
                end = rest.find(CLOSING, start)
                yield from self._think(rest[start:end] if end >= 0 else self._hold_end(rest[start:]))
                start = end + len(CLOSING) if end >= 0 else len(rest)
                self._is_inside = end < 0
            elif opening := _OPENING.match(rest, start):
                self._is_inside = self._is_behind = self._is_blank = True
                start = opening.end()
            else:
                yield from self._begin(rest[start:])
                return

    def _begin(self, rest: str) -> Iterator[Frame]:
        """Hold what may become a block, or begin the text."""
        if OPENING.startswith(rest.lstrip()):
            self._held = rest[max(rest.rfind("\n"), 0) :] if self._is_behind else rest
            if len(self._held) <= MAX_HELD:
                return
            rest, self._held = self._held, ""
        self.is_over = True
        text = _without_blank_lines(rest) if self._is_behind else rest
        if text:
            yield _text(text)

    def _hold_end(self, rest: str) -> str:
        """Hold back an end that may become the closing tag; return the part before it."""
        start = rest.rfind("<", max(len(rest) - len(CLOSING), 0))
        if start < 0 or not CLOSING.startswith(rest[start:]):
            return rest
        self._held = rest[start:]
        return rest[:start]

    def _think(self, thought: str) -> Iterator[Frame]:
        if self._is_blank:
            thought = thought.lstrip()
        if thought:
            self._is_blank = False
            yield _thinking(thought)

    def _let_go(self) -> Iterator[Frame]:
        """Give what is held back, since something else than content follows."""
        held, self._held = self.held, ""
        if isinstance(held, Thinking):
            yield from self._think(held.text)
        elif held is not None:
            self.is_over = True
            yield _text(held.text)


def _without_blank_lines(text: str) -> str:
    """Take the blank lines off the beginning, but not a first line's indentation: it may be code."""
    visible = text.lstrip()
    space = text[: len(text) - len(visible)]
    return space[space.rfind("\n") + 1 :] + visible if visible and "\n" in space else visible


def _text(content: str) -> Frame:
    return Frame(FrameMessage(content=content))


def _thinking(thought: str) -> Frame:
    return Frame(FrameMessage(thinking=thought))
