"""Ollama's answers, byte for byte as far as a client can tell: frames of an answer, lists, errors.

Pure; routes.py is the only caller. Source: Ollama docs/api.md and api/types.go.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any

import msgspec

from clawgate.embedded.job import Outcome
from clawgate.embedded.weights import Weights

VERSION = "0.24.0-clawgate-embedded"
"""The answer of `/api/version`: the Ollama whose API this is, marked as ours."""

_NS_PER_S = 1_000_000_000
_ESCAPES = (  # Go's encoder; Python's line splitters stumble over the last two when they are not escaped
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def encode(value: object) -> bytes:
    """Encode as JSON the way Go does: compact, UTF-8, five characters escaped."""
    text = msgspec.json.encode(value)
    for raw, escaped in _ESCAPES:
        text = text.replace(raw, escaped)
    return text


def created_at() -> str:
    """The time now in RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), _NS_PER_S)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def message(content: str) -> dict[str, Any]:
    """The text of a frame of `/api/chat`."""
    return {"message": {"role": "assistant", "content": content}}


def response(content: str) -> dict[str, Any]:
    """The text of a frame of `/api/generate`."""
    return {"response": content}


def text_frame(model: str, said: dict[str, Any]) -> dict[str, Any]:
    """One piece of an answer."""
    return {"model": model, "created_at": created_at(), **said, "done": False}


def last_frame(model: str, outcome: Outcome, total_ns: int, said: dict[str, Any]) -> dict[str, Any]:
    """The end of an answer, which says nothing more, or the whole of one that is not streamed."""
    return {
        **text_frame(model, said),
        "done": True,
        "done_reason": outcome.reason,
        "total_duration": total_ns,
        "load_duration": outcome.load_ns,
        "prompt_eval_count": outcome.prompt_count,
        "prompt_eval_duration": outcome.prompt_ns,
        "eval_count": outcome.eval_count,
        "eval_duration": outcome.eval_ns,
    }


def load_frame(model: str, said: dict[str, Any], reason: str) -> dict[str, Any]:
    """The answer to a request without messages or prompt: `load` or `unload`."""
    return {**text_frame(model, said), "done": True, "done_reason": reason}


def error(message: str) -> dict[str, str]:
    """An error, as a body of its own or as a line of a stream."""
    return {"error": message}


def tags(weights: Weights) -> dict[str, Any]:
    """`GET /api/tags`."""
    return {"models": [{**_listed(weights), "modified_at": weights.modified_at}]}


def ps(weights: Weights, context: int | None) -> dict[str, Any]:
    """`GET /api/ps`: the model while it is in memory; it stays there until a `keep_alive` of zero.

    Shape: context is the size of its context in tokens, None while it is not in memory.
    """
    running = {
        **_listed(weights),
        "expires_at": "2318-01-01T00:00:00Z",  # what Ollama shows for a keep_alive without end
        "size_vram": 0,
        "context_length": context,
    }
    return {"models": [running] if context is not None else []}


def show(weights: Weights) -> dict[str, Any]:
    """`POST /api/show`."""
    return {
        "modelfile": f"FROM {weights.path.name}\n",
        "parameters": "",
        "template": "",
        "details": weights.details,
        "model_info": weights.facts,
        "capabilities": ["completion"],
        "modified_at": weights.modified_at,
    }


def _listed(weights: Weights) -> dict[str, Any]:
    return {
        "name": weights.name,
        "model": weights.name,
        "size": weights.size_bytes,
        "digest": weights.digest,
        "details": weights.details,
    }
