"""The API as a blueprint: under a prefix of another Flask application, beside that one's own routes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from clawgate import create_blueprint
from clawgate.config import Config, ModelConfig, ServerConfig
from tests.support import sse
from tests.support.ollama import ScriptedOllama

PREFIX = "/llm"
TOKEN = "s3cret-token"


def other_app(config: Config) -> Flask:
    """Make another application with the gateway under a prefix."""
    app = Flask("other")
    app.register_blueprint(create_blueprint(config), url_prefix=PREFIX)
    app.add_url_rule("/", "home", lambda: "home")
    app.add_url_rule("/own-error", "own_error", lambda: abort(418))
    app.register_error_handler(418, lambda _: ("their teapot", 418))
    return app


@pytest.fixture
def config(ollama: ScriptedOllama) -> Config:
    return Config(model=ModelConfig(endpoint=ollama.base_url))


@pytest.fixture
def client(config: Config) -> Iterator[FlaskClient]:
    with other_app(config).test_client() as client:
        yield client


def test_chat_answers_under_the_prefix(client: FlaskClient, ollama: ScriptedOllama) -> None:
    reply = client.post(f"{PREFIX}/api/chat", json={"message": "hi"}, buffered=True)
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    events = sse.parse(reply.data)
    assert sse.text_of(events) == "Hello."
    session_id = events[0].data["session_id"]
    view = client.get(f"{PREFIX}/api/sessions/{session_id}")
    assert view.json is not None
    assert view.json["turns"] == 1
    assert client.post(f"{PREFIX}/api/interrupt", json={"session_id": session_id}).status_code == 200
    assert client.delete(f"{PREFIX}/api/sessions/{session_id}").status_code == 204
    assert len(ollama.chats) == 1


def test_health_and_status_answer_under_the_prefix(client: FlaskClient) -> None:
    for path in ("/healthz", "/readyz", "/api/status"):
        assert client.get(PREFIX + path).status_code == 200
        assert client.get(path).status_code == 404


def test_links_of_the_page_lead_somewhere(client: FlaskClient) -> None:
    page = client.get(f"{PREFIX}/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    links = re.findall(r'(?:href|src|data-base)="([^"#]+)"', page.text)
    assert links
    for link in links:
        address = urljoin(f"http://localhost{PREFIX}/", link)
        if address.startswith("http://localhost/"):
            assert address.startswith(f"http://localhost{PREFIX}/"), link
            reply = client.get(address)
            assert reply.status_code == 200, link
            reply.close()


def test_errors_of_the_gateway_are_json_and_the_others_are_theirs(client: FlaskClient) -> None:
    reply = client.post(f"{PREFIX}/api/chat", json={"message": 5})
    assert reply.json is not None
    assert (reply.status_code, reply.json["error"]["code"]) == (400, "bad_request")
    assert client.get("/").text == "home"
    assert "Content-Security-Policy" not in client.get("/").headers
    assert client.get("/own-error").text == "their teapot"
    assert "text/html" in client.get("/nothing").headers["Content-Type"]


def test_the_token_guards_the_prefix_alone(ollama: ScriptedOllama) -> None:
    config = Config(model=ModelConfig(endpoint=ollama.base_url), server=ServerConfig(auth_token=TOKEN))
    with other_app(config).test_client() as client:
        assert client.get(f"{PREFIX}/api/status").status_code == 401
        assert client.get(f"{PREFIX}/api/status", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get(f"{PREFIX}/").status_code == 200
        assert client.get("/").status_code == 200


def test_two_gateways_live_side_by_side(ollama: ScriptedOllama, config: Config) -> None:
    app = Flask("other")
    app.register_blueprint(create_blueprint(config), url_prefix="/one")
    app.register_blueprint(create_blueprint(config), url_prefix="/two", name="second")
    with app.test_client() as client:
        body = {"messages": [{"role": "user", "content": "hi"}], "session_id": "s", "stream": False}
        assert client.post("/one/api/chat", json=body).status_code == 200
        assert client.get("/one/api/sessions/s").status_code == 200
        assert client.get("/two/api/sessions/s").status_code == 404
        for path in ("/one/", "/two/"):
            links = re.findall(r'(?:href|src)="(/[^"#]+)"', client.get(path).text)
            assert links
            assert all(link.startswith(path) for link in links)
    assert len(ollama.chats) == 1
