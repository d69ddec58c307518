"""Other pages, other hosts and requests without the token are refused; every answer has the browser's headers."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest

from clawgate.config import Config
from tests.http.asking import configured, exchange, finish, opening
from tests.support import client
from tests.support.client import Reply, call
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, hang

TOKEN = "s3cret-token"
OURS = "https://chat.example.org"
WITHOUT = configured()
WITH_TOKEN = configured(server={"auth_token": TOKEN})
WITH_EVERYTHING = configured(
    server={"auth_token": TOKEN, "cors_allowed_origins": [OURS], "trusted_hosts": ["127.0.0.1"], "max_body_bytes": 4096}
)
ANSWERS: dict[str, tuple[str, str, bytes | None, dict[str, str], int]] = {
    "page": ("GET", "/", None, {}, 200),
    "file": ("GET", "/static/page/chat.js", None, {}, 200),
    "part of a file": ("GET", "/static/page/chat.js", None, {"Range": "bytes=0-9"}, 206),
    "impossible part": ("GET", "/static/page/chat.js", None, {"Range": "bytes=9999999-"}, 416),
    "no such file": ("GET", "/static/nothing", None, {}, 404),
    "health": ("GET", "/healthz", None, {}, 200),
    "ready": ("GET", "/readyz", None, {}, 200),
    "description": ("GET", "/openapi.json", None, {}, 200),
    "no such address": ("GET", "/nothing", None, {}, 404),
    "no token": ("GET", "/api/status", None, {"Authorization": "x"}, 401),
    "no token for the setup": ("GET", "/setup", None, {"Authorization": "x", "Accept": "text/html"}, 401),
    "another host": ("GET", "/healthz", None, {"Host": "evil.example"}, 400),
    "preflight": ("OPTIONS", "/api/chat", None, {"Origin": OURS}, 204),
    "another method": ("PUT", "/api/chat", None, {}, 405),
    "status": ("GET", "/api/status", None, {}, 200),
    "head": ("HEAD", "/api/chat", None, {}, 200),
    "setup": ("GET", "/setup", None, {}, 200),
    "unknown session": ("GET", "/api/sessions/s-nobody", None, {}, 404),
    "not JSON": ("POST", "/api/chat", b"{", {}, 400),
    "another model": ("POST", "/api/chat", b'{"message": "a", "model": "b"}', {}, 403),
    "too large": ("POST", "/api/chat", b" " * 5000, {}, 413),
    "another type": ("POST", "/api/chat", b"{}", {"Content-Type": "text/plain"}, 415),
    "render": ("POST", "/render", b'{"text": "a"}', {}, 200),
    "answer": ("POST", "/api/chat", b'{"message": "a", "stream": false}', {}, 200),
}


def ask(gate: Gateway, name: str) -> Reply:
    """Send a named request, with the token unless the request has one of its own."""
    method, path, body, headers, status = ANSWERS[name]
    reply = call(method, gate.base_url, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
    assert reply.status == status, reply.json
    return reply


def assert_guarded(headers: object) -> None:
    """Assert the headers that every answer carries."""
    found = {name.lower(): value for name, value in headers.items()}  # type: ignore[attr-defined]
    policy = {part.split()[0]: part.split()[1:] for part in found["content-security-policy"].split(";")}
    assert (
        policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == ["'none'"]
    )
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "no-referrer"
    assert re.fullmatch(r"[0-9a-f]{32}", found["x-request-id"])
    assert not re.search(r"\d", found.get("server", "")), "a version"
    assert not {"x-powered-by", "via", "x-aspnet-version", "set-cookie"} & set(found)


@WITH_EVERYTHING
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_guarded(gate: Gateway, upstream: ScriptedOllama, name: str) -> None:  # noqa: ARG001
    assert_guarded(ask(gate, name).headers)


@WITHOUT
def test_streams_and_deletions_are_guarded(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    with gate.stream(opening("s-guarded")) as stream:
        assert_guarded(stream.headers)
        finish(stream)
    reply = gate.delete("/api/sessions/s-guarded")
    assert reply.status == 204
    assert_guarded(reply.headers)


def test_failures_of_ours_and_of_ollama_are_guarded(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    ollama.stop()
    gate = gateway(stream={"retry_seconds": 0}, server={"max_streams": 1})
    failed = gate.post("/api/chat", {"message": "hi", "stream": False})
    assert (failed.status, failed.headers["x-should-retry"]) == (502, "false")
    assert_guarded(failed.headers)
    assert_guarded(gate.get("/readyz").headers)
    ollama.start()
    ollama.default(hang())
    with gate.stream("hi") as stream:
        stream.read_event()
        busy = gate.post("/api/chat", {"message": "hi"})
        assert (busy.status, busy.headers["Retry-After"]) == (503, "1")
        assert_guarded(busy.headers)


def test_nothing_on_the_way_through_nginx_says_a_version(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama
) -> None:
    ollama.default(hang())
    gate = gateway()
    front = nginx(gate)
    replies = [client.get(front.base_url, path) for path in ("/", "/healthz", "/nothing", "/static/page/chat.js")]
    replies.append(client.post(front.base_url, "/api/chat", b" " * (17 << 20)))
    gate.stop()
    replies.append(client.get(front.base_url, "/healthz"))
    assert [reply.status for reply in replies] == [200, 200, 404, 200, 413, 502]
    for reply in replies:
        assert not re.search(r"\d", reply.headers.get("Server", "")), reply.headers["Server"]
        assert not re.search(r"(nginx|gunicorn)/\d", str(reply.json))


@WITHOUT
@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_foreign_page_cannot_start_a_chat(gate: Gateway, upstream: ScriptedOllama, content_type: str | None) -> None:
    """A request without a preflight is refused for its type, and the preflight of any other is not allowed."""
    headers = {"Origin": "https://evil.example", "Cookie": "clawgate_language=en"}
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines += [f"Content-Type: {content_type}"] if content_type else []
    head = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + "\r\n".join(lines)
    answer = exchange(gate, head.encode() + b"\r\nContent-Length: 17\r\n\r\n" + b'{"message": "hi"}')
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"Access-Control-" not in answer
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    preflight = call("OPTIONS", gate.base_url, "/api/chat", headers={**headers, **asked})
    assert not [name for name in preflight.headers if name.startswith("Access-Control-")]
    assert upstream.asked == []


@WITHOUT
def test_no_get_changes_anything(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A page can always make a browser GET any address."""
    for path in ("/api/chat?message=hi", "/api/sessions/s?delete=1", "/api/interrupt?session_id=s", "/render?text=a"):
        assert gate.get(path).status in (200, 404, 405)
    for override in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert gate.get("/api/chat?_method=POST", {override: "POST"}).json["endpoint"] == "/api/chat"
    assert upstream.chats == []


def raw_authorization(gate: Gateway, value: bytes) -> int:
    """Ask for the status with these bytes as the header, and return the HTTP status."""
    answer = exchange(
        gate, b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: %b\r\n\r\n" % value
    )
    assert TOKEN.encode() not in answer
    return int(answer.split(b" ")[1])


@WITH_TOKEN
@pytest.mark.parametrize(
    "value",
    [
        b"Bearer " + TOKEN.encode()[:-1],
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer " + TOKEN.encode() * 100,
        b"Bearer " + TOKEN.encode().upper(),
        b"Bearer " + TOKEN.encode().replace(b"s", b"\xc5\xbf"),
        b"Bearer \xff\xfe",
        b"Bearer \xc3\xa9",
        b"Bearer " + TOKEN.encode() + b", Bearer x",
        b"Bearer x, Bearer " + TOKEN.encode(),
        b"Bearer=" + TOKEN.encode(),
        b"\xa0Bearer " + TOKEN.encode(),
        b"Bearer " + b"x" * 7000,
    ],
    ids=lambda value: repr(value)[2:30],
)
def test_no_wrong_token_is_more_than_a_401(gate: Gateway, value: bytes) -> None:
    assert raw_authorization(gate, value) == 401
    assert raw_authorization(gate, b"bearer   " + TOKEN.encode() + b" ") == 200


@WITH_TOKEN
@pytest.mark.parametrize(
    "path",
    [
        "/api/status",
        "//api/status",
        "/api//status",
        "/./api/status",
        "/x/../api/status",
        "/%61pi/status",
        "/api%2fstatus",
        "/api/status/",
        "/api/status?",
        "/api/status;x",
        "/API/status",
        "/static/../api/status",
        "/static/%2e%2e/api/status",
        "/healthz/../api/status",
        "/setup",
        "//setup",
        "/%73etup",
    ],
)
def test_no_spelling_of_a_path_goes_round_the_token(gate: Gateway, path: str) -> None:
    reply = call("GET", gate.base_url, path)
    assert reply.status in (401, 404, 308)
    assert "max_streams" not in str(reply.json)


@WITH_TOKEN
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Original-URL": "/healthz"},
        {"X-Rewrite-URL": "/healthz"},
        {"X-Forwarded-Prefix": "/static"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"SCRIPT_NAME": "/api"},
        {"Script-Name": "/api"},
        {"PATH_INFO": "/healthz"},
        {"Cookie": f"token={TOKEN}; auth_token={TOKEN}"},
        {"X-Auth-Token": TOKEN},
        {"Proxy-Authorization": f"Bearer {TOKEN}"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_other_header_goes_round_the_token(gate: Gateway, headers: dict[str, str]) -> None:
    assert call("GET", gate.base_url, "/api/status", headers=headers).status in (401, 404)
    assert call("GET", gate.base_url, f"/api/status?token={TOKEN}", headers=headers).status in (401, 404)


@pytest.mark.parametrize("is_up", [True, False], ids=["up", "down"])
def test_health_and_status_say_nothing_private(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, is_up: bool
) -> None:
    gate = gateway(model={"model_name": "qwen3:32b"}, logging={"level": "debug"})
    with gate.stream(opening("s-private", "a private question")) as stream:
        finish(stream)
    if not is_up:
        ollama.stop()
    private = [
        "127.0.0.1",
        str(ollama.port),
        str(gate.port),
        "s-private",
        "a private question",
        "Hello",
        "/tmp",
        "/home",
    ]
    private += [socket.gethostname(), str(gate.pid), str(gate.worker_pid), gate.config_file.name, "python", "Python"]
    shapes = {
        "/healthz": {"status"},
        "/readyz": {"status", "reason"},
        "/api/status": {"model", "provider", "upstream", "streams", "max_streams", "version", "models"},
        "/api/chat": {"endpoint", "model", "usage", "answers"},
    }
    for path, names in shapes.items():
        reply = gate.get(path)
        assert set(reply.json) <= names
        assert not [word for word in private if word and word in str(reply.json)], reply.json
    state = gate.get("/api/status").json["upstream"]
    assert set(state) == {"reachable", "version", "model_ready", "embedded"} | ({"problem"} if not is_up else set())


def test_by_default_only_this_machine_is_served_and_no_other_page() -> None:
    assert Config().server.host == "127.0.0.1"
    assert Config().server.cors_allowed_origins == ()
