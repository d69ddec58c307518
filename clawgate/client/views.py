"""The answers of the gateway that are one object, as frozen values; members that they do not name are left out."""

from __future__ import annotations

from typing import Any

import msgspec


class Interruption(msgspec.Struct, frozen=True):
    """The outcome of an interrupt; partial is the text of the answer that it hit."""

    session_id: str | None
    run_id: str | None
    interrupted: bool
    partial: str = ""


class SessionView(msgspec.Struct, frozen=True):
    """A session: its messages as `messages` of a question takes them, and its state."""

    session_id: str
    messages: list[dict[str, Any]]
    turns: int = 0
    streaming: bool = False
    run_id: str | None = None


class Upstream(msgspec.Struct, frozen=True):
    """Ollama, as the gateway sees it."""

    reachable: bool
    version: str | None = None
    model_ready: bool = False


class Status(msgspec.Struct, frozen=True):
    """The state of the gateway."""

    model: str
    upstream: Upstream
    streams: int = 0
    max_streams: int = 0
    version: str = ""
