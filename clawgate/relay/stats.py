"""The figures of an answer: Ollama's own, and how full its context window is. Pure."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from clawgate.ollama.lenient import FIGURES
from clawgate.ollama.ndjson import Frame


class Context(msgspec.Struct, frozen=True):
    """The tokens of prompt and answer, and the tokens that the model's context takes (`num_ctx`)."""

    used: int
    size: int


class Stats(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ollama's counts in tokens and its durations in nanoseconds, where its last frame has them.

    context: where its size is known. context_full: the prompt took all of it, as one does that Ollama has cut.
    """

    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
    context: Context | UnsetType = UNSET
    context_full: bool = False


NO_STATS = Stats()


def stats_of(frame: Frame, context_size: int | None) -> Stats:
    """Return the figures of a last frame; context_size: where it is known."""
    figures = {name: figure for name in FIGURES if (figure := getattr(frame, name)) is not None}
    prompt = figures.get("prompt_eval_count", 0)
    if not (context_size and prompt):
        return Stats(**figures)
    context = Context(prompt + figures.get("eval_count", 0), context_size)
    return Stats(**figures, context=context, context_full=prompt >= context_size)
