"""`POST /v1/messages` lets a model that cannot think answer without; Ollama would refuse the request."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from flask import Flask, Response

from clawgate.config import ModelConfig
from clawgate.ollama.abilities import UNKNOWN, Abilities, KnownAbilities
from clawgate.web.anthropic.routes import MessagesRoutes
from clawgate.web.door.answering import Answering, Asked
from clawgate.web.door.reading import parse_object


class Able:
    """What is known of one model; it counts who asks."""

    def __init__(self, abilities: Abilities) -> None:
        self.abilities = abilities
        self.asked_for: list[str] = []

    def asked(self, model: str) -> Abilities:
        self.asked_for.append(model)
        return self.abilities


def asked(able: Able, **fields: Any) -> Asked:
    """Return what the route asks for."""
    seen: list[Asked] = []

    class Reading:
        def answer(self, read: Any) -> Response:
            body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], **fields}
            seen.append(read(parse_object(json.dumps(body).encode())))
            return Response()

    routes = MessagesRoutes(ModelConfig(), cast("Answering", Reading()), cast("KnownAbilities", able))
    with Flask("test").test_request_context("/v1/messages", method="POST"):
        routes.messages()
    return seen[0]


@pytest.mark.parametrize(
    ("abilities", "think"), [(Abilities(thinking=False), None), (Abilities(thinking=True), True), (UNKNOWN, True)]
)
def test_a_model_that_cannot_think_answers_without(abilities: Abilities, think: bool | None) -> None:
    able = Able(abilities)
    chat, _, wire = asked(able, thinking={"type": "adaptive"}, temperature=0)
    assert chat.extras.get("think") is think
    assert chat.extras["options"] == {"num_predict": 9, "temperature": 0}
    assert able.asked_for == ["m"]
    assert wire.holds_head


@pytest.mark.parametrize("fields", [{}, {"thinking": {"type": "disabled"}}])
def test_ollama_is_not_asked_where_nothing_depends_on_it(fields: dict[str, Any]) -> None:
    able = Able(UNKNOWN)
    assert asked(able, **fields).chat.extras.get("think") in (None, False)
    assert able.asked_for == []
