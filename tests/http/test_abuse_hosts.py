"""Pages whose name points here, and pages of other sites: neither reaches a handler."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from clawgate import create_app
from tests.http.asking import configured, exchange, finish, path_of, reason
from tests.support.client import Reply, call
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama

ELSEWHERE = "https://evil.example"
OURS = "https://chat.example.org"
TOKEN = "s3cret-token"
WITHOUT = configured()
WITH_ORIGIN = configured(server={"cors_allowed_origins": [OURS]})
WITH_STAR = configured(server={"cors_allowed_origins": ["*"]})
WITH_TOKEN = configured(server={"auth_token": TOKEN})
CHAT = {"message": "hi", "stream": False}
EVERYTHING = [
    (method, path_of(rule)) for rule in create_app().url_map.iter_rules() for method in sorted(rule.methods or ())
] + [("GET", "/nothing"), ("PUT", "/api/chat"), ("GET", "/api//status")]


def body_of(method: str) -> dict[str, object] | None:
    return CHAT if method == "POST" else None


def has_code(reply: Reply, code: str) -> bool:
    """Tell whether a refusal has this code, wherever its form has it; Ollama's form has words alone."""
    error = reply.json["error"]
    return isinstance(error, str) or code == (error.get("code") or error["details"]["error_code"])


@WITHOUT
def test_a_name_that_points_here_opens_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    for method, path in EVERYTHING:
        reply = call(method, gate.base_url, path, body_of(method), {"Host": f"evil.example:{gate.port}"})
        assert reply.status == 400, (method, path)
        if method != "HEAD":
            assert has_code(reply, "untrusted_host"), (method, path)
            assert "server.trusted_hosts" in str(reply.json["error"])
        assert "Access-Control-Allow-Origin" not in reply.headers
    assert upstream.asked == []


@WITHOUT
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "localhost"},
        {"X-Forwarded-Server": "localhost"},
        {"Forwarded": "host=localhost"},
        {"X-Original-Host": "localhost"},
        {"X-Host": "localhost"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_no_header_that_a_page_can_set_lets_its_name_in(
    gate: Gateway, upstream: ScriptedOllama, headers: dict[str, str]
) -> None:
    assert gate.post("/api/chat", CHAT, {"Host": "evil.example", **headers}).status == 400
    # such a header does not shut out our own name either
    assert gate.get("/healthz", {"X-Forwarded-Host": "evil.example"}).status == 200
    assert upstream.asked == []


@WITHOUT
@pytest.mark.parametrize(
    "head", ["GET /healthz HTTP/1.0\r\n", "GET /healthz HTTP/1.0\r\nHost:\r\n", "GET /healthz HTTP/1.1\r\nHost:\r\n"]
)
def test_a_health_check_that_names_no_host_is_answered(gate: Gateway, head: str) -> None:
    assert exchange(gate, f"{head}Connection: close\r\n\r\n".encode()).split()[1] == b"200"


def test_an_open_port_is_served_by_any_name_and_warns_once(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    gate = gateway(server={"host": "0.0.0.0"})
    assert gate.post("/api/chat", CHAT, {"Host": "gate.example"}).json["message"] == "Hello."
    gate.kill_worker()
    assert gate.get("/healthz", {"Host": "gate.example"}).status == 200
    assert gate.log.count("server.trusted_hosts is empty") == 1
    assert "WARNING clawgate: server.host is 0.0.0.0 " in gate.log
    assert len(ollama.chats) == 1


@WITHOUT
def test_a_port_on_loopback_warns_of_nothing(gate: Gateway) -> None:
    assert gate.get("/healthz", {"Host": "evil.example"}).status == 400
    assert "server.trusted_hosts" not in gate.log


def test_an_open_port_that_has_its_names_is_checked_and_warns_of_nothing(gateway: Callable[..., Gateway]) -> None:
    gate = gateway(server={"host": "0.0.0.0", "trusted_hosts": ["127.0.0.1"]})
    assert gate.get("/healthz").status == 200
    assert gate.get("/healthz", {"Host": "evil.example"}).status == 400
    assert "server.trusted_hosts" not in gate.log


def fetched(mode: str, destination: str = "empty", **more: str) -> dict[str, str]:
    """Return the headers that a browser puts on a request of another site's page."""
    return {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination, **more}


ATTEMPTS = {
    "fetch": fetched("cors", Origin=ELSEWHERE),
    "fetch without CORS": fetched("no-cors", Origin=ELSEWHERE),
    "picture": fetched("no-cors", "image"),
    "script": fetched("no-cors", "script"),
    "frame": fetched("navigate", "iframe"),
    "sandbox": fetched("cors", Origin="null"),
    "an old browser": {"Sec-Fetch-Site": "Cross-Site"},
}


@WITHOUT
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_page_of_another_site_reaches_no_handler(gate: Gateway, upstream: ScriptedOllama, attempt: str) -> None:
    for method, path in EVERYTHING:
        reply = call(method, gate.base_url, path, body_of(method), ATTEMPTS[attempt])
        if method == "OPTIONS":
            assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (204, None)
            continue
        assert reply.status == 403, (method, path)
        assert method == "HEAD" or has_code(reply, "forbidden")
    assert upstream.asked == []


@WITHOUT
def test_a_link_on_another_site_leads_to_the_pages_alone(gate: Gateway, upstream: ScriptedOllama) -> None:
    visit = fetched("navigate", "document", **{"Sec-Fetch-User": "?1"})
    form = {**visit, "Origin": ELSEWHERE, "Content-Type": "text/plain"}
    assert [gate.get(path, visit).status for path in ("/", "/setup")] == [200, 200]
    assert gate.get("/api/status", visit).status == 403
    for path in ("/", "/api/chat", "/api/interrupt", "/render", "/setup"):
        assert gate.post(path, b'{"message": "hi"}', form).status == 403
    assert upstream.chats == []


@WITHOUT
@pytest.mark.parametrize("site", ["same-origin", "same-site", "none", None])
def test_what_is_no_other_site_is_as_before(gate: Gateway, upstream: ScriptedOllama, site: str | None) -> None:
    headers = {"Sec-Fetch-Site": site} if site else {}
    assert gate.get("/api/status", headers).status == 200
    with gate.stream("hi", headers=headers) as stream:
        assert reason(finish(stream)) == "stop"
    assert len(upstream.chats) == 1


@WITH_ORIGIN
def test_an_allowed_page_of_another_site_may_ask(gate: Gateway, upstream: ScriptedOllama) -> None:
    allowed = gate.post("/api/chat", CHAT, fetched("cors", Origin=OURS))
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (200, OURS)
    for headers in (fetched("cors", Origin=ELSEWHERE), fetched("no-cors", "image"), fetched("cors", Origin="*")):
        assert gate.post("/api/chat", CHAT, headers).json["error"]["code"] == "forbidden"
    assert len(upstream.chats) == 1


@WITH_STAR
def test_with_a_star_every_page_that_says_its_origin_may_ask(gate: Gateway, upstream: ScriptedOllama) -> None:
    for origin in (ELSEWHERE, "null", "chrome-extension://abcdefghijklmnop"):
        assert gate.post("/api/chat", CHAT, fetched("cors", Origin=origin)).status == 200
    assert gate.get("/api/status", fetched("no-cors", "image")).status == 403
    assert len(upstream.chats) == 3


@WITH_TOKEN
def test_another_site_is_refused_before_the_token_is_looked_at(gate: Gateway) -> None:
    for token in (TOKEN, "wrong"):
        headers = fetched("cors", Origin=ELSEWHERE, Authorization=f"Bearer {token}")
        assert gate.get("/api/status", headers).status == 403
