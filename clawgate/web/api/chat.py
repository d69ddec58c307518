"""The chat's routes, and our own wire format: JSON in, server-sent events or one JSON object out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from flask import Blueprint, Response, request, url_for

from clawgate.config import ModelConfig
from clawgate.relay import events
from clawgate.web.api import sse
from clawgate.web.api.answers import DoneReason, Endpoint, Whole
from clawgate.web.api.sessions import checked
from clawgate.web.door.accepting import takes
from clawgate.web.door.answering import STREAM_HEADERS, Answering, Asked, WireFormat
from clawgate.web.door.chat_body import read_chat
from clawgate.web.door.gathering import gather
from clawgate.web.door.naming import session_id_in
from clawgate.web.door.reading import Members
from clawgate.web.door.responses import encode, json_response


class ChatRoutes:
    """`GET` and `POST /api/chat`, and `GET /api/sessions/<id>/stream`."""

    def __init__(
        self, model: ModelConfig, answering: Answering, for_others: Callable[[], Response] | None = None
    ) -> None:
        """for_others: answers a client that takes no event stream, as Ollama does."""
        self._model = model
        self._answering = answering
        self._for_others = for_others

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        blueprint.add_url_rule("/api/chat", "describe", self.describe, methods=["GET"])
        blueprint.add_url_rule("/api/chat", "chat", self.chat, methods=["POST"])
        blueprint.add_url_rule("/api/sessions/<session_id>/stream", "follow", self.follow, methods=["GET"])

    def describe(self) -> Response:
        """Say what the endpoint is, for people who point curl at it."""
        return json_response(
            Endpoint(
                endpoint=url_for(".chat"),
                model=self._model.model_name,
                usage='POST {"message": "…"} or {"messages": [{"role": "user", "content": "…"}]}',
                answers=sse.MIMETYPE,
            )
        )

    def chat(self) -> Response:
        """Answer a message: a stream of events, or with `stream: false` one JSON object when it is complete.

        A client that does not take `text/event-stream` gets Ollama's own frames.
        """
        if self._for_others is not None and not takes(request, sse.MIMETYPE):
            return self._for_others()
        return self._answering.answer(self._read)

    def follow(self, session_id: str) -> Response:
        """Go on with the session's answer behind the event that the client has last, or replay it."""
        return self._answering.follow(EVENT_STREAM, checked(session_id))

    def _read(self, given: Members) -> Asked:
        session_id_in(given)
        return Asked(*read_chat(given, self._model.model_name), EVENT_STREAM)


def whole(_run_id: str, source: Iterable[events.Event]) -> bytes:
    """Take all events of a run and encode the answer as one JSON object.

    Errors: the one that ended the run.
    """
    answer = gather(source)
    started, ended = answer.started, answer.ended
    return encode(
        Whole(
            session_id=ended.session_id,
            run_id=ended.run_id,
            model=started.model,
            message=answer.text,
            thinking=answer.thinking,
            tool_calls=answer.calls,
            done=True,
            done_reason=cast("DoneReason", ended.done_reason),
            stats=ended.stats,
            empty=ended.is_empty,
            dropped_turns=started.dropped_turns,
            dropped_images=started.dropped_images,
        )
    )


EVENT_STREAM = WireFormat(sse.MIMETYPE, STREAM_HEADERS, sse.stream, whole)
