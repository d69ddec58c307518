"""What the routes answer, as types: for described/openapi.py alone, and held against real answers by tests.

The handlers build their answers as plain dictionaries; these are what clients may rely on.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from clawgate.ollama.state import UpstreamState
from clawgate.sessions import Message
from clawgate.web.api.requests import SessionId

DoneReason = Literal["stop", "length", "interrupted", "superseded", "truncated"]


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of what is answered: nothing but these fields."""


class Endpoint(Answer, frozen=True):
    """What GET /api/chat says."""

    endpoint: str
    model: str
    usage: str
    answers: str


class Whole(Answer, frozen=True, kw_only=True):
    """An answer with `stream: false`."""

    session_id: SessionId
    run_id: str
    model: str
    message: str
    thinking: str = ""
    tool_calls: list[dict[str, Any]] = []
    done: Literal[True]
    done_reason: DoneReason
    stats: dict[str, int]


class Interrupted(Answer, frozen=True):
    """What an interrupt did."""

    session_id: SessionId | None
    run_id: SessionId | None
    interrupted: bool
    partial: str = ""


class SessionView(Answer, frozen=True):
    """What has been said."""

    session_id: SessionId
    messages: list[Message]
    turns: Annotated[int, Meta(ge=0)]
    digest: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    created_at: str
    last_active: str
    streaming: bool
    run_id: str | None


class Status(Answer, frozen=True):
    """The state of the chain."""

    model: str
    provider: str
    upstream: UpstreamState
    streams: Annotated[int, Meta(ge=0)]
    max_streams: Annotated[int, Meta(ge=1)]
    version: str


class Health(Answer, frozen=True):
    """The process lives."""

    status: Literal["ok"]


class Ready(Answer, frozen=True):
    """A chat would be answered."""

    status: Literal["ready"]


class NotReady(Answer, frozen=True):
    """A chat would not be answered now."""

    status: Literal["unavailable"]
    reason: Literal["shutting_down", "upstream_unreachable"]


class Rendered(Answer, frozen=True):
    """Markdown as HTML."""

    html: str


class StartEvent(Answer, frozen=True, kw_only=True):
    """The first event."""

    session_id: SessionId
    run_id: str
    model: str
    ignored: list[str] = []
    message: Literal[""]


class TextEvent(Answer, frozen=True):
    """A piece of the answer."""

    message: str


class ThinkingEvent(Answer, frozen=True):
    """A piece of what the model thinks."""

    thinking: str
    message: Literal[""]


class ToolCallsEvent(Answer, frozen=True):
    """Calls that the model wants made."""

    tool_calls: list[dict[str, Any]]
    message: Literal[""]


class PingEvent(Answer, frozen=True):
    """A heartbeat, the only event without `message`."""

    ping: Literal["keepalive"]


class WaitingEvent(Answer, frozen=True):
    """Ollama is away and waited for; reason `upstream_timeout`: the model is unloaded, because a slot hangs."""

    status: Literal["waiting"]
    reason: str
    attempt: Annotated[int, Meta(ge=2)]
    message: Literal[""]


class ResumedEvent(Answer, frozen=True):
    """Ollama is back; `restarted`: the thinking so far is void."""

    status: Literal["resumed", "restarted"]
    message: Literal[""]


class EndEvent(Answer, frozen=True):
    """The one end."""

    done: Literal[True]
    done_reason: DoneReason
    session_id: SessionId
    run_id: str
    stats: dict[str, int]
    message: Literal[""]


class Failure(Answer, frozen=True):
    """A code for programs, and words for people: the field and the cure."""

    code: str
    message: str


class ErrorEvent(Answer, frozen=True):
    """The one end of an answer that failed."""

    error: Failure
    done: Literal[True]
    done_reason: Literal["error"]
    session_id: SessionId
    run_id: str
    stats: dict[str, int]
    message: Literal[""]


EVENTS = (
    StartEvent,
    TextEvent,
    ThinkingEvent,
    ToolCallsEvent,
    PingEvent,
    WaitingEvent,
    ResumedEvent,
    EndEvent,
    ErrorEvent,
)
