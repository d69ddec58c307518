"""A model as Ollama holds it in memory: its size, the part of it on the GPU, and its context.

The setup page is the only caller. Ollama does not tell how many answers it makes at a time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from clawgate.errors import UpstreamFailure
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import full_name

QUESTION_TIMEOUT_S = 1.0


class Loaded(msgspec.Struct, frozen=True):
    """What `/api/ps` says of a model; None for what it does not say. is_known: it was asked, and answered."""

    is_known: bool = False
    is_loaded: bool = False
    size_bytes: int | None = None
    gpu_bytes: int | None = None
    context_tokens: int | None = None


def loaded(client: OllamaClient, model: str) -> Loaded:
    """Ask Ollama whether and how it has a model in memory. Source: Ollama docs/api.md, "List Running Models"."""
    try:
        listed = client.ask("/api/ps", QUESTION_TIMEOUT_S)["models"]
        entries = {full_name(str(entry["name"])): entry for entry in listed}
    except (UpstreamFailure, KeyError, TypeError):
        return Loaded()
    entry = entries.get(full_name(model))
    if entry is None:
        return Loaded(is_known=True)
    size = _count(entry.get("size"))
    gpu = _count(entry.get("size_vram"))
    return Loaded(
        True,
        True,
        size or None,
        min(gpu, size) if size and gpu is not None else None,
        _count(entry.get("context_length")),
    )


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
