"""The events of a run, gathered to a whole answer, and piece by piece for wire formats that take nothing back. Pure.

For a wire format that knows neither places nor resets, what a `Reset` stands for becomes the events that its reader
lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from clawgate.relay.events import Ended, Event, Reset, Restarted, Started, Text, Thinking, ToolCalls

Part = Text | Thinking | ToolCalls
"""A stretch of an answer: all of a text, of a thinking, or the calls that came together."""


class Gathered(NamedTuple):
    """A whole answer: its start, its parts in their order, none empty, and its end."""

    started: Started
    parts: tuple[Part, ...]
    ended: Ended

    @property
    def text(self) -> str:
        """All of the text."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def thinking(self) -> str:
        """All of the thinking."""
        return "".join(part.text for part in self.parts if isinstance(part, Thinking))

    @property
    def calls(self) -> tuple[dict[str, Any], ...]:
        """All calls of tools."""
        return tuple(call for part in self.parts if isinstance(part, ToolCalls) for call in part.calls)


def gather(source: Iterable[Event]) -> Gathered:
    """Take all events of a run; thinking that was void is left out.

    Errors: the one that ended the run.
    """
    parts: list[tuple[type[Event], list[str]] | ToolCalls] = []
    for event in without_resets(source):
        match event:
            case Started():
                started = event
            case Text() | Thinking():
                if not (parts and isinstance(parts[-1], tuple) and parts[-1][0] is type(event)):
                    parts.append((type(event), []))
                pieces = parts[-1]
                assert isinstance(pieces, tuple)
                pieces[1].append(event.text)
            case ToolCalls():
                parts.append(event)
            case Restarted():
                parts = [part for part in parts if isinstance(part, ToolCalls) or part[0] is Text]
            case Ended():
                ended = event
    if ended.error is not None:
        raise ended.error.anew()
    return Gathered(started, tuple(_joined(part) for part in parts), ended)


def _joined(part: tuple[type[Event], list[str]] | ToolCalls) -> Part:
    if isinstance(part, ToolCalls):
        return part
    kind, pieces = part
    return Thinking("".join(pieces)) if kind is Thinking else Text("".join(pieces))


def without_resets(source: Iterable[Event]) -> Iterator[Event]:
    """Yield each event; in place of a `Reset` its start, where there was none, and the rest of what it stands for."""
    said = {Text: 0, Thinking: 0, ToolCalls: 0}
    is_started = False
    for event in source:
        if type(event) is Reset:
            rest: list[Event] = [] if is_started else [event.started]
            rest += [Thinking(event.thinking[said[Thinking] :]), Text(event.text[said[Text] :])]
            rest += [ToolCalls(event.calls[said[ToolCalls] :])]
        else:
            rest = [event]
        for each in rest:
            match each:
                case Started():
                    is_started = True
                case Text(text) | Thinking(text):
                    said[type(each)] += len(text)
                    if not text:
                        continue
                case ToolCalls(calls):
                    said[ToolCalls] += len(calls)
                    if not calls:
                        continue
                case Restarted():
                    said[Thinking] = 0
            yield each
