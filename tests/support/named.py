"""A strict reader of other APIs' event streams, whose events have names: `event:` and `data:` lines, and comments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.client import StreamClient

Data = dict[str, Any]
"""The data of an event; its `type` is the event's name."""


def parse(stream: bytes) -> list[Data]:
    """Return the events of a whole stream, and a comment as {"type": "comment"}.

    Errors: AssertionError for a line that has no place there, and for a stream that ends within an event.
    """
    *blocks, rest = stream.split(b"\n\n")
    assert not rest, f"the stream ends within an event: {rest!r}"
    return [_event(block) for block in blocks]


def read_events(stream: StreamClient) -> Iterator[Data]:
    """Yield each event as it comes, until the stream ends."""
    block = b""
    while line := stream.read_line():
        if line != b"\n":
            block += line
        elif block:
            yield _event(block[:-1])
            block = b""
    assert not block, f"the stream ends within an event: {block!r}"


def read_until(stream: StreamClient, kind: str) -> Data:
    """Read up to and with the first event of this name, and return it.

    Errors: AssertionError where none comes.
    """
    for event in read_events(stream):
        if event["type"] == kind:
            return event
    raise AssertionError(f"the stream ended without {kind}")


def _event(block: bytes) -> Data:
    if block.startswith(b":"):
        assert b"\n" not in block, f"a comment is one line: {block!r}"
        return {"type": "comment"}
    name, _, data = block.partition(b"\n")
    assert name.startswith(b"event: "), f"an event begins with its name: {block!r}"
    assert data.startswith(b"data: "), f"its data follows: {block!r}"
    assert b"\n" not in data, f"data is one line: {block!r}"
    event: Data = json.loads(data[len(b"data: ") :])
    assert event["type"] == name[len(b"event: ") :].decode(), f"the name is the type: {block!r}"
    return event
