"""A strict reader of the gateway's event streams: it raises AssertionError for all that the contract forbids.

`parse` takes a whole stream; `SseReader` takes it in pieces of any size and yields events as they are whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PING = b'data: {"ping":"keepalive"}\n\n'
RETRY = b"retry: 1000"
"""The block without data that a reader who comes back gets first."""
_ESCAPED = "\u0085\u2028\u2029"


@dataclass(frozen=True)
class Event:
    """One event of a stream.

    Units: `at` is `time.monotonic()` when its last byte was read, 0.0 where nobody looked at the clock.
    """

    id: str | None
    event: str | None
    data: dict[str, Any]
    raw: bytes = field(repr=False)
    at: float = field(default=0.0, compare=False, repr=False)

    @property
    def is_ping(self) -> bool:
        """True where it is a heartbeat."""
        return "ping" in self.data

    @property
    def is_end(self) -> bool:
        """True where it is the stream's one end."""
        return self.data.get("done") is True

    @property
    def is_text(self) -> bool:
        """True where it carries text of the answer."""
        return bool(self.data.get("message"))

    @property
    def text(self) -> str:
        """The text it adds to the answer."""
        return str(self.data.get("message", ""))


class SseReader:
    """Cut a byte stream into events, at blank lines alone, and check each one's framing.

    Errors: AssertionError that shows the offending bytes.
    """

    def __init__(self) -> None:
        self.rest = b""
        """The beginning of an event that is not whole yet."""
        self.is_coming_back = False
        """True where the stream says when to connect again."""
        self._has_begun = False

    def feed(self, data: bytes, at: float = 0.0) -> list[Event]:
        """Take the next bytes and return the events that they complete."""
        *blocks, self.rest = (self.rest + data).split(b"\n\n")
        if blocks and not self._has_begun:
            self._has_begun = True
            self.is_coming_back = blocks[0] == RETRY
            blocks = blocks[self.is_coming_back :]
        return [_event(block, at) for block in blocks]


def parse(data: bytes, *, is_whole: bool = True) -> list[Event]:
    """Return the events of a stream.

    Shape: a whole stream ends with its one end event; `is_whole=False` is for one that was left early.
    Errors: AssertionError.
    """
    reader = SseReader()
    events = reader.feed(data)
    assert not reader.rest, f"the stream ends within an event: {reader.rest!r}"
    check(events, is_whole=is_whole)
    return events


def check(events: list[Event], *, is_whole: bool = True) -> None:
    """Assert what holds for the events of one stream together: ids never repeat, exactly one end, and it is last."""
    ids = [event.id for event in events if event.id is not None]
    assert len(ids) == len(set(ids)), f"an id comes twice: {ids}"
    ends = [index for index, event in enumerate(events) if event.is_end]
    assert all(index == len(events) - 1 for index in ends), f"events follow the end: {events[ends[0] :]}"
    if is_whole:
        assert ends, f"the stream has no end event; its last events: {events[-3:]}"


def text_of(events: Iterable[Event]) -> str:
    """Return the text of the answer, as a page sees it that appends `message` (a `reset` starts it anew)."""
    text = ""
    for event in events:
        text = event.data["text"] if event.data.get("status") == "reset" else text + event.text
    return text


def thinking_of(events: Iterable[Event]) -> str:
    """Return the thinking; `restarted` makes what came before void."""
    text = ""
    for event in events:
        text = "" if event.data.get("status") == "restarted" else text + event.data.get("thinking", "")
    return text


def end_of(events: Iterable[Event]) -> dict[str, Any]:
    """Return the data of the end event.

    Errors: AssertionError when there is none, or more than one.
    """
    ends = [event.data for event in events if event.is_end]
    assert len(ends) == 1, f"expected one end event, got {len(ends)}"
    return ends[0]


def _event(block: bytes, at: float) -> Event:
    raw = block + b"\n\n"
    *fields, data_line = block.decode("utf-8").split("\n")
    assert "\r" not in block.decode("utf-8"), f"a carriage return in an event: {raw!r}"
    assert data_line.startswith("data: "), f"an event ends with its one data line: {raw!r}"
    data = json.loads(data_line[len("data: ") :])
    assert isinstance(data, dict), f"data is not an object: {raw!r}"
    if "ping" in data:
        assert raw == PING, f"a ping is exactly {PING!r}, not {raw!r}"
        return Event(None, None, data, raw, at)
    named = _fields(fields, raw)
    assert "id" in named, f"every event but a ping has an id: {raw!r}"
    assert isinstance(data.get("message"), str), f"every event but a ping carries a message: {raw!r}"
    assert (named.get("event") == "error") == ("error" in data), f"`event: error` goes with errors alone: {raw!r}"
    assert named.get("event") in (None, "error"), f"an unknown kind of event: {raw!r}"
    assert "error" not in data or data.get("done") is True, f"an error is the end: {raw!r}"
    _check_readable(data, data_line)
    return Event(named["id"], named.get("event"), data, raw, at)


def _fields(lines: list[str], raw: bytes) -> dict[str, str]:
    named: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        assert (colon, name) in ((": ", "id"), (": ", "event")), f"a line that is neither id, event nor data: {raw!r}"
        assert name not in named, f"two {name} lines: {raw!r}"
        assert value.strip("\0"), f"an empty {name}: {raw!r}"
        named[name] = value
    return named


def _check_readable(data: dict[str, Any], line: str) -> None:
    assert not set(_ESCAPED) & set(line), f"some clients cut this line: {line!r}"
    for character in set(json.dumps(data, ensure_ascii=False)):
        is_escaped_rightly = character in _ESCAPED or "\ud800" <= character <= "\udfff"
        if ord(character) > 127 and not is_escaped_rightly:
            assert character in line, f"non-ASCII text is escaped: {line!r}"
