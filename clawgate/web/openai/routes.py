"""OpenAI's routes: chat completions, models, embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint, Response, request

from clawgate.config import ModelConfig
from clawgate.ollama.failures import failure_of
from clawgate.sockets import Clients
from clawgate.web.door.accepting import EVENT_STREAM
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.answering import STREAM_HEADERS, Answering, Asked, WireFormat
from clawgate.web.door.naming import named_session
from clawgate.web.door.passing import Passing
from clawgate.web.door.reading import JSON, Members, read_object
from clawgate.web.door.responses import json_response
from clawgate.web.openai.completions import CompletionFormat
from clawgate.web.openai.embeddings import read_embedding, write_embeddings
from clawgate.web.openai.models import model_list, one_model
from clawgate.web.openai.requests import read_completion


class OpenAIRoutes:
    """`POST /v1/chat/completions`, `GET /v1/models`, `GET /v1/models/<id>`, `POST /v1/embeddings`."""

    def __init__(
        self,
        model: ModelConfig,
        max_body_bytes: int,
        answering: Answering,
        passing: Passing,
        clients: Clients,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._model_name = model.model_name
        self._allowed = AllowedModels(model)
        self._max_body_bytes = max_body_bytes
        self._answering = answering
        self._passing = passing
        self._clients = clients
        self._clock = clock

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        add = blueprint.add_url_rule
        add("/v1/chat/completions", "openai_chat", self.chat, methods=["POST"])
        add("/v1/models", "openai_models", self.models, methods=["GET"])
        add("/v1/models/<path:model>", "openai_model", self.model, methods=["GET"])
        add("/v1/embeddings", "openai_embeddings", self.embeddings, methods=["POST"])

    def chat(self) -> Response:
        """Answer a conversation: a stream of chunks, or one object when the answer is complete."""
        return self._answering.answer(self._read)

    def models(self) -> Response:
        """List the models that a request may name, and that Ollama has."""
        return json_response(model_list(self._tags(), self._allowed))

    def model(self, model: str) -> Response:
        """Describe one of these models."""
        return json_response(one_model(self._tags(), self._allowed, model))

    def embeddings(self) -> Response:
        """Compute the embeddings of texts."""
        asked = read_embedding(read_object(request, self._max_body_bytes, self._clients), self._model_name)
        self._allowed.check(asked.model)
        answer = self._passing.call("/api/embed", asked.body, asked.model)
        return Response(write_embeddings(answer, asked), mimetype=JSON)

    def _read(self, given: Members) -> Asked:
        asked = read_completion(given, self._model_name, named_session(given))
        form = CompletionFormat(asked.chat.model, int(self._clock()), asked.includes_usage)
        wire = WireFormat(EVENT_STREAM, STREAM_HEADERS, form.stream, form.whole, holds_head=True)
        return Asked(asked.chat, asked.is_streamed, wire)

    def _tags(self) -> bytes:
        """Ask Ollama for its models.

        Errors: Busy, ShuttingDown, UpstreamFailure, UpstreamRefused.
        """
        fetched = self._passing.fetch("/api/tags")
        if fetched.status != 200:
            raise failure_of(fetched.status, fetched.body).error
        return fetched.body
