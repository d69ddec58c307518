"""Ollama's frames as a client reads them: each a line of JSON, of which some figures change with every answer."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.client import StreamClient
from tests.support.tools import DEADLINE_S

NDJSON = {"Accept": "application/x-ndjson"}
"""The header with which Ollama's own clients ask."""
Frame = dict[str, Any]
_MOMENT = re.compile(rb'"created_at":"[^"]+"')
_DURATION = re.compile(rb'_duration":\d+')


def frames_in(body: bytes) -> list[Frame]:
    """Return the frames of a stream's body.

    Errors: AssertionError for a line that is blank, and for a last one without its end.
    """
    assert body.endswith(b"\n"), f"the last line has no end: {body[-200:]!r}"
    lines = body[:-1].split(b"\n")
    assert all(lines), f"a blank line, at which ollama-python fails: {body!r}"
    return [json.loads(line) for line in lines]


def read_frame(stream: StreamClient, timeout: float = DEADLINE_S) -> Frame:
    """Read the next frame of a stream."""
    frame: Frame = json.loads(stream.read_line(timeout))
    return frame


def read_frames(stream: StreamClient) -> list[Frame]:
    """Read a stream to its proper end and return all of its frames."""
    body = stream.read_body()
    assert stream.complete, "the terminating chunk is missing"
    return frames_in(body)


def text_in(frames: list[Frame]) -> str:
    """Return the text of an answer's frames, of a chat or of a prompt."""
    return "".join(frame["message"]["content"] if "message" in frame else frame["response"] for frame in frames)


def timeless(frames: bytes) -> bytes:
    """Return frames with a moment and durations that are the same in each."""
    return _DURATION.sub(b'_duration":0', _MOMENT.sub(b'"created_at":""', frames))
