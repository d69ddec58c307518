"""The answers of the model: every answer can be recognised, and each of its characters has one place.

The question has a tag, "L7q3": the fourth question of the seventh life. The answer is a beginning of the
endless text "L7q3.0春 L7q3.1春 …", so that text which is lost, repeated or another's is
seen at once. The plan, which the client does not send, decides how the answer goes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count

FRAME = 7
"""Characters in a frame: no whole word, so that a cut answer ends within one."""
TAG = re.compile(r"L(\d+)q\d+")
ENDINGS = (
    *("done", "length", "slow", "loads", "drop", "reset", "unavailable", "error", "bad", "one bad"),
    *("truncated", "empty", "refused"),
)
REASONS = {
    "length": "length",
    "truncated": "truncated",
    "error": "upstream_error",
    "refused": "upstream_refused",
    "bad": "upstream_bad_frames",
}
"""The reasons of answers that nobody cuts, where they are not `stop`."""
RECOVERED = ("drop", "reset", "unavailable")
"""Faults of an answer's first request, which is then made again."""


@dataclass(frozen=True)
class Plan:
    """The fate of an answer.

    Units: `silent` and `pace` are in the load's own unit of time, about a round trip; `thoughts`, `words` and `at` (the
    frame of text at which it goes wrong) are frames.
    """

    ending: str = "done"
    silent: float = 0.0
    thoughts: int = 0
    words: int = 4
    pace: float = 0.0
    at: int = 0

    @property
    def reason(self) -> str:
        """The reason with which it ends where nobody cuts it."""
        return REASONS.get(self.ending, "stop")


def says(tag: str, start: int, end: int) -> str:
    """Return the characters from start to end of what the model says to a question."""
    return _endless(f"{tag}.{{}}春 ", end)[start:end]


def thinks(tag: str, end: int) -> str:
    """Return the first characters of what the model thinks of a question."""
    return _endless(f"{tag}~{{}} ", end)[:end]


def _endless(word: str, length: int) -> str:
    text = ""
    for number in count():
        if len(text) >= length:
            return text
        text += word.format(number)
    raise AssertionError


def tag_of(content: str) -> str:
    """Return the tag that a message names first; "" where it names none."""
    match = TAG.search(content)
    return match[0] if match else ""


def strangers(text: str, life: int) -> set[str]:
    """Return the tags in a text that are another life's."""
    return {match[0] for match in TAG.finditer(text) if int(match[1]) != life}
