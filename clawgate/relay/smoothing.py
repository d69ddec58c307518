"""Smoothing makes as few events of a window's frames as keep their order. Pure.

Neighbouring pieces of text become one Text, neighbouring pieces of thinking one Thinking; a change of kind and tool
calls begin a new event. Ollama's empty frames make none.
"""

from __future__ import annotations

from clawgate.ollama.ndjson import Frame
from clawgate.relay.events import Event, Text, Thinking, ToolCalls


def merge(frames: list[Frame]) -> tuple[list[Event], Frame | None]:
    """Return the events of some frames, in order, and the frame that is the end; frames behind that are dropped."""
    events: list[Event] = []
    kind: type[Text] | type[Thinking] = Text
    pieces: list[str] = []
    end = None
    for frame in frames:
        message = frame.message
        if message is not None:
            if message.thinking:
                if kind is not Thinking and pieces:
                    events.append(kind("".join(pieces)))
                    pieces = []
                kind = Thinking
                pieces.append(message.thinking)
            if message.content:
                if kind is not Text and pieces:
                    events.append(kind("".join(pieces)))
                    pieces = []
                kind = Text
                pieces.append(message.content)
            if message.tool_calls:
                if pieces:
                    events.append(kind("".join(pieces)))
                    pieces = []
                events.append(ToolCalls(tuple(message.tool_calls)))
        if frame.done or frame.error is not None:
            end = frame
            break
    if pieces:
        events.append(kind("".join(pieces)))
    return events, end
