"""The types of everything that our routes send: handlers and the event encoder build them, OpenAPI describes them.

The order of the fields is the order on the wire. A field that may be absent has a default.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from clawgate.ollama.finding import Kind
from clawgate.relay.stats import Stats
from clawgate.sessions import Message
from clawgate.web.door.naming import SessionId
from clawgate.web.door.responses import Failure, Payload

Count = Annotated[int, Meta(ge=0)]
DoneReason = Literal["stop", "length", "interrupted", "superseded", "truncated"]


class Endpoint(Payload, frozen=True):
    """A description of `/api/chat`."""

    endpoint: str
    model: str
    usage: str
    answers: str


class Whole(Payload, frozen=True, kw_only=True, omit_defaults=True):
    """An answer with `stream: false`; `empty`: the model came to its end without any text."""

    session_id: SessionId
    run_id: str
    model: str
    message: str
    thinking: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()
    done: Literal[True]
    done_reason: DoneReason
    stats: Stats
    empty: bool = False
    dropped_turns: Count = 0
    dropped_images: Count = 0


class Interrupted(Payload, frozen=True):
    """The outcome of an interrupt."""

    session_id: SessionId | None
    run_id: SessionId | None
    interrupted: bool
    partial: str | UnsetType = UNSET


class SessionView(Payload, frozen=True):
    """The messages of a session, and its state."""

    session_id: SessionId
    messages: list[Message]
    turns: Count
    digest: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    created_at: str
    last_active: str
    streaming: bool
    run_id: str | None


class Model(Payload, frozen=True):
    """A model that a request may name, and its abilities; null where Ollama has not said."""

    name: str
    thinking: bool | None
    vision: bool | None


class Upstream(Payload, frozen=True):
    """Ollama's state; `problem` is the kind of thing that is there in its place.

    `embedded`: `clawgate embedded` answers, with a small model to try the gateway with.
    """

    reachable: bool
    version: str | None
    model_ready: bool
    embedded: bool
    problem: Kind | UnsetType = UNSET


class Status(Payload, frozen=True):
    """The state of the chain; `models`: `model`, then those of `model.allowed_models`."""

    model: str
    provider: str
    upstream: Upstream
    streams: Count
    max_streams: Annotated[int, Meta(ge=1)]
    version: str
    models: list[Model]


class Health(Payload, frozen=True):
    """The process lives."""

    status: Literal["ok"]


class Ready(Payload, frozen=True):
    """A chat would be answered."""

    status: Literal["ready"]


class NotReady(Payload, frozen=True):
    """A chat would not be answered now."""

    status: Literal["unavailable"]
    reason: Literal["shutting_down", "session_store_unavailable", "upstream_unreachable"]


class StartEvent(Payload, frozen=True, omit_defaults=True):
    """The first event."""

    session_id: SessionId
    run_id: str
    model: str
    message: Literal[""]
    ignored: tuple[str, ...] = ()
    dropped_turns: Count = 0
    dropped_images: Count = 0


class TextEvent(Payload, frozen=True):
    """A piece of the answer."""

    message: str


class ThinkingEvent(Payload, frozen=True):
    """A piece of the model's thinking."""

    thinking: str
    message: Literal[""]


class ToolCallsEvent(Payload, frozen=True):
    """Tool calls that the model asks for."""

    tool_calls: tuple[dict[str, Any], ...]
    message: Literal[""]


class PingEvent(Payload, frozen=True):
    """A heartbeat, the only event without `message`."""

    ping: Literal["keepalive"]


class WaitingEvent(Payload, frozen=True):
    """Ollama is away and waited for; reason `upstream_timeout`: the model is unloaded, because a slot hangs; reason
    `evaluating`: the loaded model evaluates a prompt, first one whose answer was given up.
    """

    status: Literal["waiting"]
    reason: str
    attempt: Annotated[int, Meta(ge=1)]
    message: Literal[""]


class ResumedEvent(Payload, frozen=True):
    """Ollama is back; `restarted`: the thinking so far is void."""

    status: Literal["resumed", "restarted"]
    message: Literal[""]


class ResetEvent(Payload, frozen=True, omit_defaults=True):
    """All of the answer so far, in place of what the reader has: its place is not known, or not kept any more."""

    status: Literal["reset"]
    session_id: SessionId
    run_id: str
    model: str
    text: str
    message: Literal[""]
    thinking: str = ""
    tool_calls: tuple[dict[str, Any], ...] = ()


class EndEvent(Payload, frozen=True, omit_defaults=True):
    """The one end; `empty`: the model came to its end without any text."""

    done: Literal[True]
    done_reason: DoneReason
    session_id: SessionId
    run_id: str
    stats: Stats
    message: Literal[""]
    empty: bool = False


class ErrorEvent(Payload, frozen=True):
    """The one end of an answer that failed."""

    error: Failure
    done: Literal[True]
    done_reason: Literal["error"]
    session_id: SessionId
    run_id: str
    stats: Stats
    message: Literal[""]


EVENTS = (
    StartEvent,
    TextEvent,
    ThinkingEvent,
    ToolCallsEvent,
    PingEvent,
    WaitingEvent,
    ResumedEvent,
    ResetEvent,
    EndEvent,
    ErrorEvent,
)
