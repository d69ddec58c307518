"""One request to the model, and the end of its answer. Pure values: api.py makes jobs, engine.py does them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CONTEXT_TOKENS = 4096
"""The context of a request that names none; Ollama's default on a machine like this."""
_STEP_TOKENS = 256
"""llama.cpp makes a context of a multiple of it."""

Message = dict[str, str]


class EngineFailed(Exception):
    """The engine could not do what was asked; `status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Job:
    """One request to the model.

    Shape: a trailing assistant message is gone on with. `settings` are llama.cpp's sampling parameters, `response`
    its `response_format`. `truncates`: a prompt that is too long is cut, else it is an error. `shifts`: an answer that
    fills the context goes on, and the oldest half of the context is forgotten; else it ends.
    Units: tokens. `limit` is None without one, `context` None for the default; `keep` counts the tokens at the prompt's
    beginning that a shift spares, `lookback` the last ones that `repeat_penalty` and its like look at.
    """

    messages: list[Message]
    settings: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    response: Mapping[str, object] | None = None
    context: int | None = None
    keep: int = 4
    lookback: int = 64
    truncates: bool = True
    shifts: bool = True


@dataclass(frozen=True)
class Outcome:
    """The end of an answer: `stop`, `length` or `gone`. Units: tokens and nanoseconds."""

    reason: str
    load_ns: int = 0
    prompt_count: int = 0
    prompt_ns: int = 0
    eval_count: int = 0
    eval_ns: int = 0


def context_of(asked: int | None, own: int) -> int:
    """Return the size of the context for a request: what it asks for, in llama.cpp's steps, up to the model's own.

    Source: Ollama v0.24 llm/server.go takes a larger one down to the model's own; 0 is the default.
    """
    wanted = max(asked or CONTEXT_TOKENS, 1)
    return min(-(-wanted // _STEP_TOKENS) * _STEP_TOKENS, own)


def limit_of(asked: int | None, context: int) -> int:
    """Return the most tokens that an answer gets: never more than ten contexts, so that none goes on for ever.

    Source: Ollama v0.24 llm/server.go; -1 and -2 mean no limit of one's own there, and so does 0 in its runner.
    """
    most = 10 * context
    return min(asked, most) if asked is not None and asked > 0 else most


def lookback_of(asked: int, context: int) -> int:
    """Return how many of the last tokens the penalties look at; less than 0 means the whole context, as in Ollama.

    llama.cpp refuses what is less than 0, and takes 4 bytes for each: 2 GB where half a billion were asked for.
    """
    return min(asked, context) if asked >= 0 else context


def keep_of(asked: int, context: int) -> int:
    """Return how many tokens a shift spares: less than 0 means the whole prompt, which is -1 to llama.cpp."""
    return max(min(asked, context), -1)
