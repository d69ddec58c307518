"""A scripted answer: its shape, and how its tokens are written and found again.

The upstream writes them, the load generator finds them; both read this module, so that they cannot disagree. A script
travels in the text of the request (``[bench rate=50 tokens=500]``), because a prompt is what every gateway, proxy and
API passes on unchanged. A token is ``000017@000123456789 ``: its place in the answer and the moment it was sent, so
that whoever reads it, merged with others or not, knows its lag and whether it came once and in order. The first is
preceded by ``R000123456780 ``: the moment the request had arrived.

Units: microseconds of CLOCK_MONOTONIC, which all processes of one machine share.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, fields, replace

TOKEN = re.compile(rb"(\d{6})@(\d{12}) ")
RECEIVED = re.compile(rb"R(\d{12}) ")
MODEL = "qwen3:32b"
LOAD_NS = 20_000_000
"""The `load_duration` of every answer."""

_SCRIPT = re.compile(rb"\[bench ([^\]]*)\]")
_TOKEN_FORMAT = b"%06d@%012d "
_CREATED = b"2026-01-01T00:00:00.000000Z"
_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def now_us() -> int:
    """Return the machine-wide monotonic clock in microseconds."""
    return time.monotonic_ns() // 1000


@dataclass(frozen=True)
class Script:
    """One answer: how fast, how long, and where it falls silent.

    Units: rate in frames a second; first_ms is the silence before the first byte; thinking counts the tokens sent as
    `thinking` before the `tokens` of text; after `stall_after` tokens the upstream says no more (0: never).
    """

    rate: float = 50.0
    tokens: int = 100
    first_ms: int = 0
    thinking: int = 0
    stall_after: int = 0
    tag: str = ""

    @property
    def total(self) -> int:
        """Count every token of the answer, thinking included."""
        return self.thinking + self.tokens

    def prompt(self) -> str:
        """Write the script as text that `find` recognises."""
        return "[bench " + " ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self)) + "]"

    def find(self, body: bytes) -> Script:
        """Return the last script in a request's body, with what it leaves out taken from this one.

        Errors: ValueError names the word that is not understood.
        """
        found = _SCRIPT.findall(body)
        return self.with_words(found[-1].decode()) if found else self

    def with_words(self, words: str) -> Script:
        """Return this script changed by words such as ``rate=50 tokens=500``."""
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        changes = {}
        for word in words.split():
            name, _, value = word.partition("=")
            if name not in kinds:
                raise ValueError(f"{word}: expected one of {', '.join(kinds)}")
            changes[name] = kinds[name](value)
        return replace(self, **changes)


def text_chunk() -> bytes:
    """Return the %-template of one text frame as a chunk: it takes the token's place and the time."""
    return _chunk(_frame(b'"content":"' + _TOKEN_FORMAT + b'"'))


def thinking_chunk() -> bytes:
    """Return the %-template of one frame of thinking."""
    return _chunk(_frame(b'"content":"","thinking":"' + _TOKEN_FORMAT + b'"'))


def first_chunk(script: Script, received_us: int) -> bytes:
    """Return the template that opens an answer: headers (Ollama sends none before its first frame) and first frame."""
    content = b"R%012d " % received_us + _TOKEN_FORMAT
    fields_ = b'"content":"","thinking":"%s"' if script.thinking else b'"content":"%s"'
    return _HEAD + _chunk(_frame(fields_.replace(b"%s", content)))


def last_chunks(script: Script, received_us: int) -> bytes:
    """Return the done frame with its statistics and the chunk that ends the body."""
    total_ns = (now_us() - received_us) * 1000
    frame = (
        b'{"model":"%s","created_at":"%s","message":{"role":"assistant","content":""},"done":true,'
        b'"done_reason":"stop","total_duration":%d,"load_duration":%d,"prompt_eval_count":10,'
        b'"prompt_eval_duration":1000000,"eval_count":%d,"eval_duration":%d}\n'
    ) % (MODEL.encode(), _CREATED, total_ns, LOAD_NS, script.total, total_ns)
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(frame), frame)


def _frame(message: bytes) -> bytes:
    return (
        b'{"model":"%s","created_at":"%s","message":{"role":"assistant",' % (MODEL.encode(), _CREATED)
        + message
        + b'},"done":false}\n'
    )


def _chunk(frame: bytes) -> bytes:
    return b"%x\r\n" % len(frame % (0, 0)) + frame + b"\r\n"
