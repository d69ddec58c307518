"""The gateway under a path: `server.path_prefix`, whether a proxy takes it off or not."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient

from clawgate import create_app, create_blueprint
from clawgate.config import Config, ModelConfig, ServerConfig
from tests.http.asking import configured, path_of, routes_of, template_of
from tests.support import sse
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama

TOKEN = "s3cret-token"
LOCKED = {"X-Clawgate-Token": TOKEN}
PREFIXES = ["/chat", "/a/b.c/d_e", "/api", "/api/llm", "/v1", "/static", "/setup", "/healthz"]
"""Ordinary ones, and those that begin an address of our own."""


def client_of(prefix: str, endpoint: str = "http://127.0.0.1:9", **server: object) -> FlaskClient:
    config = Config(
        model=ModelConfig(endpoint=endpoint),
        server=ServerConfig(path_prefix=prefix, **server),  # type: ignore[arg-type]
    )
    return create_app(config).test_client()


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("is_taken_off", [True, False], ids=["off", "on"])
def test_every_link_of_the_pages_has_the_prefix_and_leads_somewhere(prefix: str, is_taken_off: bool) -> None:
    client = client_of(prefix)

    def ask(address: str) -> tuple[int, bytes]:
        assert address.startswith(f"{prefix}/"), "a browser would leave the prefix"
        reply = client.get(address.removeprefix(prefix) if is_taken_off else address)
        with reply:
            return reply.status_code, reply.get_data()

    for page in (f"{prefix}/", f"{prefix}/setup"):
        status, body = ask(page)
        text = body.decode()
        links = re.findall(r'(?:href|src|data-base)="([^"#]+)"', text)
        assert status == 200
        assert f'data-base="{prefix}/"' in text
        for link in links:
            assert ask(urljoin(f"http://localhost{page}", link).removeprefix("http://localhost"))[0] == 200, link
    for path in ("/api/chat", "/api/status", "/healthz", "/openapi.json"):
        assert ask(prefix + path)[0] == 200, path


@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_route_is_the_same_one_with_the_prefix_and_without(prefix: str) -> None:
    app = create_app(Config(server=ServerConfig(path_prefix=prefix)))
    seen: list[str | None] = []
    app.url_value_preprocessor(lambda endpoint, _: seen.append(endpoint))
    for method, rule in routes_of(app):
        for path in (path_of(rule), prefix + path_of(rule)):
            app.test_client().open(path, method=method, buffered=True).close()
            assert seen.pop() == rule.endpoint, (method, path)


@pytest.mark.parametrize(
    ("path", "status", "leads_to"),
    [
        ("/chat", 308, "/chat/"),
        ("/chat?a=b", 308, "/chat/?a=b"),
        ("/chatter", 404, None),
        ("/chathealthz", 404, None),
        ("/chatter/healthz", 404, None),
        ("/CHAT/healthz", 404, None),
        ("/chat/chat/healthz", 404, None),
        ("/chat/healthz/", 404, None),
        ("//healthz", 200, None),
        ("//chat//healthz", 200, None),
        ("/chat//healthz", 200, None),
        ("/chat%2Fhealthz", 200, None),
        ("/%63hat/healthz", 200, None),
        ("/chat/../healthz", 404, None),
        ("/chat/api//status", 308, "/chat/api/status"),
        ("//evil.example//api//status", 404, None),
        ("/chat//evil.example//api", 404, None),
    ],
)
@configured(server={"path_prefix": "/chat"})
def test_no_other_spelling_is_the_prefix(gate: Gateway, path: str, status: int, leads_to: str | None) -> None:
    reply = gate.get(path)
    assert (reply.status, reply.headers["Location"]) == (status, leads_to)


@pytest.mark.parametrize("prefix", ["/chat", "/api", "/v1/api", "/static", "/healthz"])
def test_the_token_holds_under_the_prefix(prefix: str) -> None:
    app = create_app(Config(server=ServerConfig(path_prefix=prefix, auth_token=TOKEN)))
    described = app.test_client().get(f"{prefix}/openapi.json").get_json()
    assert described["servers"] == [{"url": prefix}]
    for method, rule in routes_of(app):
        is_closed = "security" in described["paths"][template_of(rule)][method.lower()]
        for path in (path_of(rule), prefix + path_of(rule), f"/{prefix}/{path_of(rule)}"):
            asked = {"PATH_INFO": path}  # the client would take "//chat" for a host
            with app.test_client().open(method=method, buffered=True, environ_overrides=asked) as reply:
                assert (reply.status_code == 401) is is_closed, (method, path)
    paths = [f"{prefix}/api/nothing", f"{prefix}/api/"] if prefix != "/static" else []  # these name static files
    for path in (*paths, "/api/sessions/x/y"):
        assert app.test_client().get(path).status_code == 401, path
        assert app.test_client().get(path, headers=LOCKED).status_code == 404, path
    assert app.test_client().post(f"{prefix}/healthz").status_code == 405


def test_a_chat_is_streamed_and_its_session_found_under_the_prefix(ollama: ScriptedOllama) -> None:
    client = client_of("/chat", ollama.base_url)
    events = sse.parse(client.post("/chat/api/chat", json={"message": "hi"}, buffered=True).data)
    assert sse.text_of(events) == "Hello."
    session_id = events[0].data["session_id"]
    for prefix in ("/chat", ""):
        assert client.get(f"{prefix}/api/sessions/{session_id}").get_json()["turns"] == 1
        assert client.post(f"{prefix}/api/interrupt", json={"session_id": session_id}).status_code == 200
    assert client.get("/api/chat").get_json()["endpoint"] == "/chat/api/chat"
    assert client.delete(f"/chat/api/sessions/{session_id}").status_code == 204


def test_the_setup_page_names_the_address_that_a_browser_uses() -> None:
    text = client_of("/chat").get("/setup").text
    assert "<code>http://localhost/chat</code>" in text
    assert '<th scope="row"><code>server.path_prefix</code></th><td><code>/chat</code>' in text


def test_the_log_shows_an_address_without_the_prefix_and_routine_not_at_all(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway(server={"path_prefix": "/chat/"})
    for path in ("/chat/healthz", "/chat/static/page/chat.js", "/chat/api/status", "/chat"):
        started.get(path)
    started.wait_for_line(r'path="" status=308')  # a line is written behind its answer
    started.get("/chatter")
    started.wait_for_line(r'path="/chatter" status=404')
    session_id = started.post("/chat/api/chat", {"message": "hi", "stream": False}).json["session_id"]
    started.wait_for_line(r'path="/api/chat" status=200')
    assert started.get(f"/chat/api/sessions/{session_id}").status == 200
    started.wait_for_line(r'path="/api/sessions/[0-9a-f]{10}" status=200')
    asked = re.findall(r'method=(\w+) path="([^"]*)" status=(\d+)', started.log)
    assert asked[:3] == [("GET", "", "308"), ("GET", "/chatter", "404"), ("POST", "/api/chat", "200")]
    assert session_id not in started.log
    assert len(ollama.chats) == 1


def test_a_reload_changes_the_prefix(gateway: Callable[..., Gateway]) -> None:
    started = gateway()
    assert started.get("/chat/healthz").status == 404
    text = started.config_file.read_text()
    started.config_file.write_text(text.replace('"server": {', '"server": {"path_prefix": "/chat", '))
    started.signal(signal.SIGHUP)
    started.wait_for_line(r"reloaded: server\.path_prefix$")
    assert 'data-base="/chat/"' in started.get("/chat/").json


@pytest.mark.parametrize("script_name", ["", "/outer"])
def test_in_another_application_its_own_prefix_counts(script_name: str) -> None:
    """`path_prefix` is for the gateway's own port; the other application knows its own path."""
    other = Flask("other")
    other.register_blueprint(create_blueprint(Config(server=ServerConfig(path_prefix="/chat"))), url_prefix="/llm")
    environ = {"SCRIPT_NAME": script_name}
    page = other.test_client().get("/llm/", environ_overrides=environ)
    assert f'data-base="{script_name}/llm/"' in page.text
    assert re.search(rf'src="{script_name}/llm/static/v-\w+/page/chat.js"', page.text)
    described = other.test_client().get("/llm/openapi.json", environ_overrides=environ).get_json()
    assert described["servers"] == [{"url": script_name or "/"}]
    assert "/llm/api/chat" in described["paths"]
    assert other.test_client().get("/llm/api/chat").get_json()["endpoint"] == "/llm/api/chat"
    assert other.test_client().get("/chat/llm/").status_code == 404


def test_below_another_applications_mount_both_count() -> None:
    app = create_app(Config(server=ServerConfig(path_prefix="/chat")))
    page = app.test_client().get("/chat/", environ_overrides={"SCRIPT_NAME": "/outer"})
    assert 'data-base="/outer/chat/"' in page.text
