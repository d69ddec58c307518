"""The types of what Ollama's API answers: handlers and the encoder build them, OpenAPI describes them.

The order of the fields is Ollama's own; one that may be absent has a default.
Source: Ollama api/types.go, ChatResponse, GenerateResponse, Metrics.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Raw, UnsetType

from clawgate.web.door.responses import Payload

Figure = int | UnsetType
"""A count of tokens, or a duration in nanoseconds. An answer that does not come to the model's own end has none."""
DoneReason = Literal["", "stop", "length", "load", "unload", "interrupted", "superseded", "truncated"]
"""Ollama's own, then ours; empty in a frame that is not the last."""


class OllamaFailed(Payload, frozen=True):
    """An error in Ollama's form: a body of its own, or the last line of a stream."""

    error: str


class ChatPiece(Payload, frozen=True, omit_defaults=True):
    """The message of a frame."""

    role: Literal["assistant"]
    content: str
    thinking: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()


class ChatFrame(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of an answer of `POST /api/chat`, its end, or with `stream: false` the whole; an empty one is a
    heartbeat.
    """

    model: str
    created_at: str
    message: ChatPiece
    done: bool
    done_reason: DoneReason = ""
    total_duration: Figure = UNSET
    load_duration: Figure = UNSET
    prompt_eval_count: Figure = UNSET
    prompt_eval_duration: Figure = UNSET
    eval_count: Figure = UNSET
    eval_duration: Figure = UNSET


class GenerateFrame(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """A piece of an answer of `POST /api/generate`, its end, or with `stream: false` the whole; an empty one is a
    heartbeat.

    context: the tokens of prompt and answer, as Ollama's last frame gives them.
    """

    model: str
    created_at: str
    response: str
    thinking: str = ""
    done: bool
    done_reason: DoneReason = ""
    context: Raw | UnsetType = UNSET
    total_duration: Figure = UNSET
    load_duration: Figure = UNSET
    prompt_eval_count: Figure = UNSET
    prompt_eval_duration: Figure = UNSET
    eval_count: Figure = UNSET
    eval_duration: Figure = UNSET
    tool_calls: tuple[dict[str, Any], ...] = ()
