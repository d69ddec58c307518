"""`POST /v1/messages`, Anthropic's API on the same sessions: stateless unless the request names a session.

No route counts tokens: Ollama has no tokenizer to ask, and an estimate would be taken for a count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flask import Blueprint, Response
from msgspec.structs import replace

from clawgate.config import ModelConfig
from clawgate.ollama.abilities import KnownAbilities
from clawgate.relay.events import Event
from clawgate.relay.prompt import ChatRequest
from clawgate.web.anthropic.events import stream
from clawgate.web.anthropic.requests import read_messages
from clawgate.web.anthropic.whole import whole
from clawgate.web.door.accepting import EVENT_STREAM
from clawgate.web.door.answering import STREAM_HEADERS, Answering, Asked, WireFormat
from clawgate.web.door.naming import named_session
from clawgate.web.door.reading import Members


class MessageFormat(NamedTuple):
    """How one request's answer is encoded; the model has the name that the request gave it."""

    model: str

    def stream(self, run_id: str, source: Iterable[Event], _place: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of each event; none has an id, so no reader has a place to come back to."""
        return stream(run_id, self.model, source)

    def whole(self, run_id: str, source: Iterable[Event]) -> bytes:
        """Take all events of a run and encode the answer as one message.

        Errors: the one that ended the run.
        """
        return whole(run_id, self.model, source)


class MessagesRoutes:
    """`POST /v1/messages`."""

    def __init__(self, model: ModelConfig, answering: Answering, abilities: KnownAbilities) -> None:
        self._model = model
        self._abilities = abilities
        self._answering = answering

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/v1/messages", "anthropic_messages", self.messages, methods=["POST"])

    def messages(self) -> Response:
        """Answer a conversation as Anthropic's API does: one message, or with `stream: true` a stream of events."""
        return self._answering.answer(self._read)

    def _read(self, given: Members) -> Asked:
        chat, is_streamed = read_messages(given, self._model.model_name, named_session(given))
        encoding = MessageFormat(chat.model)
        wire = WireFormat(EVENT_STREAM, STREAM_HEADERS, encoding.stream, encoding.whole, holds_head=True)
        return Asked(self._bearable(chat), is_streamed, wire)

    def _bearable(self, chat: ChatRequest) -> ChatRequest:
        """Let a model that cannot think answer without, as Ollama does on this route: clients want it of any model."""
        if not chat.extras.get("think") or self._abilities.asked(chat.model).thinking is not False:
            return chat
        return replace(chat, extras={name: value for name, value in chat.extras.items() if name != "think"})
