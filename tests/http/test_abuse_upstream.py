"""The operator chooses the address and the model that are asked: no request and no answer changes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from clawgate.web.door.chat_body import PASSED_ON
from tests.http.asking import ask, configured, opening, reason, refusal
from tests.support import sse
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_MODEL, Request, ScriptedOllama, drop, raw
from tests.support.pictures import TINY_GIF

CONFIGURED = configured(stream={"retry_seconds": 0}, model={"allowed_models": ["smollm2"]})
ASKED = {"/api/chat", "/api/version", "/api/tags", "/api/ps", "/api/show"}


@pytest.fixture
def elsewhere() -> Iterator[ScriptedOllama]:
    """Another Ollama, which must get no request."""
    with ScriptedOllama() as other:
        yield other
        assert other.requests == [], "the gateway was sent to another address"


def words_for(url: str) -> dict[str, dict[str, Any]]:
    """Return bodies that try to name another address or another model, in every way that a field allows."""
    host = url.rpartition("/")[2]
    call = {"function": {"name": "fetch", "arguments": {"url": url}}, "url": url}
    names = ("endpoint", "base_url", "baseUrl", "url", "host", "api_base", "upstream", "provider", "proxy", "proxies")
    return {
        "fields": {"message": "hi", **dict.fromkeys(names, url)},
        "nested": {
            "message": "hi",
            "config": {"model": {"endpoint": url}},
            "model.endpoint": url,
            "server": {"host": host},
        },
        "options": {"message": "hi", "options": {**dict.fromkeys(names, url), "model": "other", "adapter": url}},
        "format": {"message": "hi", "format": {"$ref": url, "$schema": url, "model": "other"}},
        "tools": {"message": "hi", "tools": [{"type": "function", "url": url, "server_url": url, "model": "other"}]},
        "history": {
            "messages": [
                {"role": "assistant", "content": url, "tool_calls": [call], "model": "other", "url": url},
                {"role": "tool", "content": f"![]({url})", "tool_name": url, "tool_call_id": url},
                {"role": "user", "content": url, "model": "other", "keep_alive": 0},
            ]
        },
        "keep_alive": {"message": "hi", "keep_alive": url},
        "think": {"message": "hi", "think": url},
        "from": {"message": "hi", "from": "other", "modelfile": "FROM other", "name": "other", "adapters": {"a": url}},
        "stream": {"message": "hi", "raw": True, "template": "x", "system": "x", "suffix": "x", "context": [1]},
    }


def assert_asked_as_configured(gate: Gateway, request: Request, model: str = DEFAULT_MODEL) -> None:
    """Assert that a question to Ollama has the operator's address and model, and no field beside Ollama's own."""
    assert (request.method, request.path, request.query) == ("POST", "/api/chat", "")
    assert f"http://{request.headers['Host']}" == gate.config["model"]["endpoint"]
    assert (request.json["model"], request.json["stream"]) == (model, True)
    assert set(request.json) <= {"model", "messages", "stream", *PASSED_ON}
    for message in request.messages:
        assert set(message) <= {"role", "content", "thinking", "images", "tool_calls", "tool_name", "tool_call_id"}
    asked = {name.lower() for name in request.headers}
    assert asked <= {
        "host",
        "user-agent",
        "accept",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "x-request-id",
        "via",
    }
    assert re.fullmatch(r"1\.1 clawgate-[0-9a-f]{16}", request.headers["Via"]), "the gateway's own, nobody else's"


@CONFIGURED
@pytest.mark.parametrize("name", words_for(""))
def test_no_field_names_another_address_or_model(
    gate: Gateway, upstream: ScriptedOllama, elsewhere: ScriptedOllama, name: str
) -> None:
    body = words_for(elsewhere.base_url)[name]
    assert reason(ask(gate, body)) == "stop"
    assert_asked_as_configured(gate, upstream.next_request())
    assert {request.path for request in upstream.requests} <= ASKED


@CONFIGURED
@pytest.mark.parametrize(
    "picture", ["{}", "{}/a.png", "file:///etc/passwd", "//evil.example/a.png", "data:text/uri-list,{}"]
)
def test_no_picture_is_fetched(
    gate: Gateway, upstream: ScriptedOllama, elsewhere: ScriptedOllama, picture: str
) -> None:
    image = picture.format(elsewhere.base_url)
    reply = gate.post("/api/chat", {"message": {"role": "user", "content": "a", "images": [TINY_GIF, image]}})
    assert refusal(reply)[:2] == (400, "bad_request")
    assert reply.json["error"]["message"].startswith("message.images[1]: expected a picture")
    assert elsewhere.base_url not in reply.json["error"]["message"]
    assert upstream.asked == []


@CONFIGURED
@pytest.mark.parametrize(
    "model", ["other", "qwen3:32b ", "QWEN3:8B", "qwen3", "http://127.0.0.1/x", "../smollm2", "smollm2\0"]
)
def test_another_model_is_refused_wherever_it_is_named(gate: Gateway, upstream: ScriptedOllama, model: str) -> None:
    for body in ({"message": "hi"}, opening("s-model"), {"continue": True, "session_id": "s-model"}):
        reply = gate.post("/api/chat", {**body, "model": model})
        assert (reply.status, reply.json["error"]["code"]) == (403, "model_not_allowed")
    assert upstream.asked == []


@CONFIGURED
def test_an_allowed_model_is_for_that_request_alone(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.models.append("smollm2")
    ask(gate, opening("s-allowed", model="smollm2"))
    ask(gate, {"message": "and?", "session_id": "s-allowed", "options": {"model": "smollm2"}})
    first, second = upstream.chats
    assert_asked_as_configured(gate, first, "smollm2")
    assert_asked_as_configured(gate, second)


HEADERS = ["Host", "X-Forwarded-Host", "X-Forwarded-Server", "Forwarded", "Proxy", "X-Upstream", "X-Ollama-Host", "Via"]


@CONFIGURED
@pytest.mark.parametrize("header", HEADERS)
def test_no_header_names_another_address(
    gate: Gateway, upstream: ScriptedOllama, elsewhere: ScriptedOllama, header: str
) -> None:
    given = f"127.0.0.1:{elsewhere.port}"
    with gate.stream(opening("s-header"), headers={header: given}) as stream:
        stream.read_all()
        sse.check(stream.events)
    assert_asked_as_configured(gate, upstream.next_request())


@CONFIGURED
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_of_ollamas_is_followed(
    gate: Gateway, upstream: ScriptedOllama, elsewhere: ScriptedOllama, status: int
) -> None:
    lines = (f"HTTP/1.1 {status} Moved", f"Location: {elsewhere.base_url}/api/chat", "Content-Length: 0")
    upstream.script(raw("\r\n".join((*lines, "Connection: close", "", "")).encode()), drop())
    reply = gate.post("/api/chat", {"message": "hi", "stream": False})
    assert (reply.status, reply.json["error"]["code"]) == (502, "upstream_error")
    assert elsewhere.base_url not in json.dumps(reply.json)


def test_no_proxy_of_the_environment_is_used(gateway: Any, ollama: ScriptedOllama, elsewhere: ScriptedOllama) -> None:
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY")
    gate: Gateway = gateway(env={**dict.fromkeys(names, elsewhere.base_url), "no_proxy": "", "NO_PROXY": ""})
    assert reason(ask(gate, "hi")) == "stop"
    assert gate.get("/api/status").json["upstream"]["reachable"] is True
    assert len(ollama.chats) == 1
