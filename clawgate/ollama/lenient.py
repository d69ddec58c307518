"""Frames that are not quite Ollama's: another server's, or another version's, whose types differ.

A whole answer must not be taken for one that broke off, because its last frame has an odd figure. So ndjson.py asks
here for each line that its typed decoder refuses, off the way of a right one. The parts that an answer needs are
understood where their meaning is plain; a figure that is none is dropped, and not its frame. Text is never
guessed: a frame whose content is no text stays wrong, unless it is the end, which counts more. Pure.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

FIGURES = (
    "total_duration",
    "load_duration",
    "prompt_eval_count",
    "prompt_eval_duration",
    "eval_count",
    "eval_duration",
)
"""The members of a frame that are counts and durations."""
LARGEST = 1 << 63
MAX_WORDS = 500


def repaired(line: bytes) -> dict[str, Any]:
    """Return a frame's members with the types that they ought to have, as far as that can be told.

    Errors: ValueError for what is no JSON object; a NaN, which some servers write, is one.
    """
    given = json.loads(line.decode())
    if not isinstance(given, dict):
        raise ValueError("no object")
    reason = given.get("done_reason")
    right = {
        **given,
        "done": _is_true(given.get("done")),
        "done_reason": reason if isinstance(reason, str) else None,
        "error": words_in(given.get("error")) or None,
        **{name: _count_of(given.get(name)) for name in FIGURES},
    }
    if right["done"] or right["error"]:
        right["message"] = _rest_of(given.get("message"))
    return right


def words_in(error: object) -> str:
    """Return the words of an `error` member, which other servers make an object; none where there is no error."""
    words = (error.get("message") or error.get("error") or error) if isinstance(error, dict) else error
    if not words:
        return ""
    return words if isinstance(words, str) else msgspec.json.encode(words).decode()[:MAX_WORDS]


def _is_true(done: object) -> bool:
    return done == 1 or (isinstance(done, str) and done.strip().lower() == "true")


def _count_of(figure: object) -> int | None:
    """Return a count or duration that was written as a float or a text; None for anything else."""
    try:
        number = float(figure) if isinstance(figure, str) else figure
    except ValueError:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return round(number) if 0 <= number < LARGEST else None  # a NaN is not, either


def _rest_of(message: object) -> dict[str, Any] | None:
    """Return what an end's message says in the right types."""
    if not isinstance(message, dict):
        return None
    calls = message.get("tool_calls")
    is_calls = isinstance(calls, list) and all(isinstance(call, dict) for call in calls)
    texts = {name: message.get(name) for name in ("content", "thinking")}
    said: dict[str, Any] = {name: text for name, text in texts.items() if isinstance(text, str)}
    return {**said, "tool_calls": calls} if is_calls else said
