"""The bodies of Ollama's API: what becomes of each field, and the mistakes that are named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clawgate.config import ModelConfig
from clawgate.errors import BadRequest, UpstreamError
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.door.allowed import AllowedModels
from clawgate.web.door.reading import Members, parse_object
from clawgate.web.ollama import requests
from clawgate.web.ollama.models import only_allowed
from tests.support.pictures import photo
from tests.unit.web.bodies import LONG, MODEL, QUESTION, plain

PNG = photo(100)
EXTRAS: dict[str, Any] = {
    "think": "high",
    "options": {"temperature": 0, "stop": ["a"]},
    "format": {"type": "object"},
    "keep_alive": "5m",
    "truncate": False,
    "shift": True,
}


def members(body: Any) -> Members:
    """Return a body's members."""
    return parse_object(json.dumps(body, ensure_ascii=False).encode())


def chat(session_id: str | None = None, **fields: Any) -> tuple[ChatRequest, bool]:
    """Read a chat's body."""
    return requests.read_chat(members(fields), MODEL, session_id)


def generate(session_id: str | None = None, **fields: Any) -> tuple[ChatRequest, bool]:
    """Read a prompt's body."""
    return requests.read_generate(members(fields), MODEL, session_id)


def test_a_chat_without_a_session_keeps_nothing() -> None:
    asked, is_streamed = chat(model="m", messages=[QUESTION], tools=[], **EXTRAS)
    assert asked == ChatRequest(
        model="m",
        messages=(Message(role="user", content="春光"),),
        is_kept=False,
        extras={**EXTRAS, "tools": []},
    )
    assert is_streamed


def test_a_chat_with_a_session_is_kept_there() -> None:
    asked, is_streamed = chat("s-1", messages=[QUESTION], stream=False)
    assert (asked.session_id, asked.is_kept, asked.model, is_streamed) == ("s-1", True, MODEL, False)
    asked, _ = chat("s-1", **{"continue": True})
    assert (asked.session_id, asked.is_continue) == ("s-1", True)


@pytest.mark.parametrize("fields", [{}, {"messages": []}, {"messages": None, "stream": None, "options": None}])
def test_a_chat_without_messages_is_in_no_session(fields: dict[str, Any]) -> None:
    for session_id in (None, "s-1"):
        asked, is_streamed = chat(session_id, model="m", keep_alive=0, **fields)
        assert asked == ChatRequest(model="m", messages=(), is_kept=False, extras={"keep_alive": 0})
        assert is_streamed


def test_a_prompt_is_a_conversation_too() -> None:
    asked, is_streamed = generate(model="m", prompt="春光", system="s", images=[PNG], stream=False, **EXTRAS)
    assert plain(asked.messages) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "春光", "images": [PNG]},
    ]
    assert plain(asked.generate) == {"prompt": "春光", "system": "s", "images": [PNG]}
    assert (asked.extras, asked.is_kept, asked.session_id, is_streamed) == (EXTRAS, False, None, False)
    assert plain(generate("s-1", prompt=LONG)[0].messages) == [{"role": "user", "content": LONG}]
    assert generate("s-1", prompt="a")[0].is_kept


def test_a_prompt_of_a_free_form_goes_as_it_is() -> None:
    free: dict[str, Any] = {
        "prompt": "a",
        "suffix": "b",
        "template": "{{ .Prompt }}",
        "raw": True,
        "context": [1, 2, 3],
    }
    assert plain(generate(**free)[0].generate) == free


def test_empty_fields_are_absent() -> None:
    empty: dict[str, Any] = {
        "suffix": "",
        "system": "",
        "template": "",
        "raw": False,
        "context": [],
        "images": [],
        "options": None,
    }
    assert generate(prompt="a", **empty, format=None, think=None, stream=None)[0] == generate(prompt="a")[0]


@pytest.mark.parametrize("fields", [{}, {"prompt": ""}, {"prompt": None}])
def test_a_request_without_a_prompt_is_in_no_session(fields: dict[str, Any]) -> None:
    asked, _ = generate("s-1", model="m", keep_alive="0s", **fields)
    assert asked == ChatRequest(model="m", messages=(), is_kept=False, generate={}, extras={"keep_alive": "0s"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": 1}, "prompt: expected a text, got int"),
        ({"system": ["a"]}, "system: expected a text, got array"),
        ({"raw": "yes"}, "raw: expected true or false, got str"),
        ({"context": [1, "2"]}, "context: expected a list of whole numbers"),
        ({"context": 1}, "context: expected a list of whole numbers"),
        ({"images": ["nothing"]}, "images[0]: expected a picture"),
        ({"options": {"temperature": "hot"}}, "options.temperature: expected a number, got str"),
        ({"keep_alive": True}, 'keep_alive: expected a duration like "5m", or seconds, got bool'),
        ({"think": 1}, "think: expected true, false or a level, got int"),
        ({"format": 1}, 'format: expected "json" or a JSON schema, got int'),
        ({"stream": "no"}, "stream: expected true or false, got str"),
        ({"shift": 1}, "shift: expected true or false, got int"),
        ({"model": 1}, "model: expected a text, got int"),
        ({"model": "m" * 20_000}, "model: expected a text, got 20002 bytes"),
    ],
)
def test_a_mistake_in_a_prompt_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        generate(**{"prompt": "a", **fields})
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": [{"role": "nobody"}]}, "messages[0].role: expected"),
        ({"messages": [QUESTION], "truncate": "a"}, "truncate: expected true or false"),
        ({"messages": [QUESTION], "message": "a"}, "expected exactly one of"),
    ],
)
def test_a_mistake_in_a_chat_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat(**fields)
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize(
    ("read", "given", "passed"),
    [
        (requests.read_show, {"model": "m", "name": "x", "verbose": True}, {"model": "m", "verbose": True}),
        (requests.read_show, {"name": "m", "model": "", "MODEL": "x"}, {"model": "m"}),
        (requests.read_embed, {"model": "m", "input": ["a", "春"], "Model": "x"}, {"model": "m", "input": ["a", "春"]}),
        (requests.read_embed, {"model": "m", "input": "a", "truncate": None}, {"model": "m", "input": "a"}),
        (requests.read_embed, {"model": "m", "dimensions": 2, "keep_alive": 0}, None),
        (requests.read_embeddings, {"model": "m", "prompt": "a", "options": {"num_ctx": 8}}, None),
    ],
)
def test_only_known_fields_are_passed_on(
    read: Callable[[Members], tuple[str, bytes]], given: dict[str, Any], passed: dict[str, Any] | None
) -> None:
    """Ollama takes `MODEL` for `model`, whichever comes last."""
    model, body = read(members(given))
    assert model == "m"
    assert json.loads(body) == (passed or given)


@pytest.mark.parametrize(
    ("read", "given", "words"),
    [
        (requests.read_show, {"MODEL": "m"}, "model is required"),
        (requests.read_embed, {"model": ""}, "model is required"),
        (requests.read_embed, {"model": "m", "input": 1}, "input: expected a text, or a list of texts, got int"),
        (requests.read_embed, {"model": "m", "input": ["a", 1]}, "input[1]: expected a text, got int"),
        (requests.read_embeddings, {"model": "m", "prompt": []}, "prompt: expected a text, got array"),
    ],
)
def test_a_mistake_in_a_question_is_named(
    read: Callable[[Members], tuple[str, bytes]], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        read(members(given))
    assert caught.value.message == words


ALLOWED = AllowedModels(ModelConfig(model_name="a", allowed_models=("b:1b",)))


def test_a_list_has_the_allowed_models_as_they_came() -> None:
    entries = ['{"name":"a:latest","model":"a:latest","size":1.50}', '{"name": "B:1b"}', '{"model":"a"}']
    others = ['{"name":"c","model":"c"}', '{"name":"a","model":"c"}', "{}"]
    listed = f'{{"models":[{",".join([*others, *entries])}],"more":[1]}}'
    assert only_allowed(listed.encode(), ALLOWED).decode() == f'{{"models":[{",".join(entries)}],"more":[1]}}'


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"models":{}}', b'{"models":[1]}', b"x", b'{"models":[{"name":1}]}'])
def test_what_is_no_list_of_models_is_an_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="cannot be read"):
        only_allowed(body, ALLOWED)
