"""`POST /v1/responses`, OpenAI's newer API: stateless, unless the request names a session."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint, Response

from clawgate.config import ModelConfig
from clawgate.web.door.accepting import EVENT_STREAM
from clawgate.web.door.answering import STREAM_HEADERS, Answering, Asked, WireFormat
from clawgate.web.door.naming import named_session
from clawgate.web.door.reading import Members
from clawgate.web.openai.responses_format import ResponsesFormat
from clawgate.web.openai.responses_requests import read_response


class ResponsesRoutes:
    """`POST /v1/responses`."""

    def __init__(self, model: ModelConfig, answering: Answering, clock: Callable[[], float] = time.time) -> None:
        self._model = model
        self._answering = answering
        self._clock = clock

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/v1/responses", "openai_responses", self.responses, methods=["POST"])

    def responses(self) -> Response:
        """Answer a conversation as OpenAI's responses do: one object, or with `stream: true` a stream of events."""
        return self._answering.answer(self._read)

    def _read(self, given: Members) -> Asked:
        chat, is_streamed, settings = read_response(given, self._model.model_name, named_session(given))
        form = ResponsesFormat(settings, int(self._clock()), self._clock)
        return Asked(
            chat, is_streamed, WireFormat(EVENT_STREAM, STREAM_HEADERS, form.stream, form.whole, holds_head=True)
        )
