"""A window's frames into as few events as keep their order: pure.

Neighbouring pieces of text become one Text, neighbouring pieces of thinking one Thinking; a change of kind and tool
calls begin a new event. Ollama's empty frames make none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clawgate.ollama.ndjson import Frame
from clawgate.relay.events import Event, Text, Thinking, ToolCalls


def merge(frames: Iterable[Frame]) -> Iterator[Event]:
    """Yield the events of some frames, in their order."""
    kind: type[Text] | type[Thinking] = Text
    pieces: list[str] = []
    for frame in frames:
        message = frame.message
        if message is None:
            continue
        for piece_kind, piece in ((Thinking, message.thinking), (Text, message.content)):
            if not piece:
                continue
            if piece_kind is not kind and pieces:
                yield kind("".join(pieces))
                pieces = []
            kind = piece_kind
            pieces.append(piece)
        if message.tool_calls:
            if pieces:
                yield kind("".join(pieces))
                pieces = []
            yield ToolCalls(tuple(message.tool_calls))
    if pieces:
        yield kind("".join(pieces))
