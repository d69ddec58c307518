"""Ollama's clients with a real model behind the gateway; frames of direct and of relayed answers side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ollama import Client, ResponseError

from tests.http.asking import interrupt
from tests.support.client import StreamClient
from tests.support.embedded import Embedded
from tests.support.gateway import Gateway
from tests.support.ndjson import NDJSON, frames_in, timeless

GREEDY = {"temperature": 0, "num_predict": 16}
QUESTION = [{"role": "user", "content": "Name three sights in Beijing."}]
PROMPT: dict[str, Any] = {"system": "Be brief.", "prompt": "Name three sights in Beijing."}


@pytest.fixture(scope="module")
def embedded() -> Iterator[Embedded]:
    """The module's model."""
    with Embedded() as started:
        yield started


@pytest.fixture(scope="module")
def gate(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway in front of it, which gathers no text."""
    model = {"endpoint": embedded.base_url, "model_name": embedded.model}
    config: dict[str, dict[str, Any]] = {"model": model, "stream": {"smoothing_ms": 0, "heartbeat_seconds": 600}}
    with Gateway(config, tmp_path_factory.mktemp("gate")) as gateway:
        yield gateway


@pytest.fixture
def client(gate: Gateway) -> Iterator[Client]:
    """A client whose connections end with the test."""
    with Client(gate.base_url) as made:
        yield made


@pytest.mark.parametrize(
    ("path", "asked"),
    [("/api/chat", {"messages": QUESTION}), ("/api/generate", PROMPT), ("/api/generate", {"keep_alive": "5m"})],
    ids=["chat", "prompt", "load"],
)
def test_a_relayed_answer_has_the_frames_of_a_direct_one(
    embedded: Embedded, gate: Gateway, path: str, asked: dict[str, Any]
) -> None:
    body = {"model": embedded.model, "options": GREEDY, **asked}
    bodies = []
    for base_url in (embedded.base_url, gate.base_url):
        with StreamClient(base_url, body, path=path, headers=NDJSON) as stream:
            bodies.append(timeless(stream.read_body()).rstrip(b"\n"))  # a load is no stream: it has no line end
            assert (stream.status, stream.complete) == (200, True)
    direct, relayed = bodies
    assert relayed == direct
    assert len(frames_in(direct + b"\n")) == (1 if "keep_alive" in asked else GREEDY["num_predict"] + 1)


def test_a_whole_answer_says_what_a_stream_says(embedded: Embedded, client: Client) -> None:
    parts = list(client.generate(embedded.model, **PROMPT, options=GREEDY, stream=True))
    whole = client.generate(embedded.model, **PROMPT, options=GREEDY)
    assert whole.response == "".join(part.response or "" for part in parts)
    assert (whole.done_reason, whole.eval_count) == (parts[-1].done_reason, parts[-1].eval_count) == ("length", 16)


def test_an_answer_has_the_form_that_is_asked_for(embedded: Embedded, client: Client) -> None:
    form = {"type": "object", "properties": {"city": {"enum": ["Beijing"]}}, "required": ["city"]}
    answer = client.chat(embedded.model, QUESTION, format=form, options=GREEDY)
    assert json.loads(answer.message.content or "") == {"city": "Beijing"}


def test_what_the_model_cannot_is_refused_in_its_words(embedded: Embedded, client: Client) -> None:
    with pytest.raises(ResponseError, match="does not support thinking") as caught:
        client.chat(embedded.model, QUESTION, think=True)
    assert caught.value.status_code == 400
    with pytest.raises(ResponseError, match="is not supported by the embedded model") as caught:
        client.generate(embedded.model, "hi", raw=True)
    assert caught.value.status_code == 400


def test_an_interrupted_answer_keeps_its_text(embedded: Embedded, gate: Gateway) -> None:
    with Client(gate.base_url, headers={"X-Session-Id": "s-real"}) as client:
        parts = client.chat(embedded.model, QUESTION, options={**GREEDY, "num_predict": 1000}, stream=True)
        said = [next(parts).message.content]
        partial = interrupt(gate, "s-real")["partial"]
        rest = list(parts)
    assert rest[-1].done_reason == "interrupted"
    assert "".join(map(str, [*said, *(part.message.content for part in rest)])) == partial


def test_the_model_is_listed_while_it_is_loaded(embedded: Embedded, client: Client) -> None:
    assert [each.model for each in client.list().models] == [embedded.model]
    assert client.generate(embedded.model).done_reason == "load"
    assert [each.model for each in client.ps().models] == [embedded.model]
    assert client.show(embedded.model).capabilities == ["completion"]
    assert client.generate(embedded.model, keep_alive=0).done_reason == "unload"
    assert client.ps().models == []
