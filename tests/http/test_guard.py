"""The guard of the API: token, Host, CORS, and the headers of every answer."""

from __future__ import annotations

import pytest
from flask import Flask

from clawgate import create_app, create_blueprint
from clawgate.config import Config, ServerConfig
from clawgate.web.door.guard import OPEN
from tests.http.asking import configured, finish, opening, path_of, reason, routes_of, template_of
from tests.support.client import Reply, call
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama

TOKEN = "s3cret-token"
OURS = "https://chat.example.org"
CLOSED = Config(server=ServerConfig(auth_token=TOKEN))
WITH_TOKEN = configured(server={"auth_token": TOKEN, "cors_allowed_origins": [OURS]})
WITH_HOSTS = configured(server={"trusted_hosts": ["gate.example.org", "127.0.0.1", "::1"]})
WITH_ORIGINS = configured(server={"cors_allowed_origins": [OURS, "http://localhost:3000"]})
WITH_STAR = configured(server={"cors_allowed_origins": ["*"]})
WITHOUT = configured()
API = [
    ("GET", "/api/chat"),
    ("POST", "/api/chat"),
    ("POST", "/api/interrupt"),
    ("GET", "/api/sessions/s"),
    ("DELETE", "/api/sessions/s"),
    ("GET", "/api/status"),
]
CORS_HEADERS = ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Credentials")


def preflight(gate: Gateway, origin: str, path: str = "/api/chat", names: str = "content-type,authorization") -> Reply:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": names}
    return call("OPTIONS", gate.base_url, path, headers={"Origin": origin, **asked})


@WITH_TOKEN
@pytest.mark.parametrize(("method", "path"), API)
def test_without_the_token_the_api_is_401(gate: Gateway, method: str, path: str) -> None:
    wrong = [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
    ]
    own = [{"X-Clawgate-Token": given} for given in ("", "wrong", f"Bearer {TOKEN}", f"{TOKEN}x", TOKEN[:-1], "é")]
    for headers in ({}, *({"Authorization": given} for given in wrong), *own):
        reply = call(method, gate.base_url, path, headers=headers)
        assert (reply.status, reply.json["error"]["code"]) == (401, "unauthorized"), headers
        assert reply.headers["WWW-Authenticate"] == 'Bearer realm="clawgate"', (
            "anything else may open a browser's dialog"
        )
        assert "X-Clawgate-Token" in reply.json["error"]["message"]
        assert TOKEN not in str(reply)


@WITH_TOKEN
@pytest.mark.parametrize("scheme", ["Basic", "basic", "Digest", "Negotiate", "NTLM"])
def test_a_refusal_does_not_end_a_browsers_sign_in_to_a_proxy(gate: Gateway, scheme: str) -> None:
    """For a browser a 401 refuses what it sent in `Authorization`, whatever the challenge says."""
    signed_in = {"Authorization": f"{scheme} dXNlcjpwYXNz"}
    for given in ("", "wrong"):
        reply = gate.get("/api/status", {**signed_in, "X-Clawgate-Token": given})
        assert (reply.status, reply.json["error"]["code"]) == (403, "unauthorized")
    for headers, status in (({}, 401), (signed_in, 403)):
        reply = gate.get("/setup", {"Accept": "text/html", **headers})
        assert (reply.status, reply.headers["WWW-Authenticate"]) == (status, 'Bearer realm="clawgate"')
        assert 'data-locked="yes"' in reply.json
    assert gate.get("/api/status", signed_in).status == 401, "a program hears what it has to send"


def test_every_route_wants_the_token_or_is_on_the_list_of_open_ones() -> None:
    app = create_app(CLOSED)
    described = app.test_client().get("/openapi.json").get_json()["paths"]
    seen = set()
    for method, rule in routes_of(app):
        reply = app.test_client().open(path_of(rule), method=method, buffered=True)
        is_closed = reply.status_code == 401
        operation = described[template_of(rule)][method.lower()]
        assert is_closed == ("security" in operation) == (rule.endpoint.removeprefix("clawgate.") not in OPEN)
        seen.add(is_closed)
    assert seen == {True, False}


def test_a_new_route_wants_the_token() -> None:
    routes = create_blueprint(CLOSED)
    routes.add_url_rule("/v1/new", "new", lambda: "new")
    other = Flask("other")
    other.register_blueprint(routes)
    assert other.test_client().get("/v1/new").status_code == 401
    assert other.test_client().get("/v1/new", headers={"Authorization": f"Bearer {TOKEN}"}).text == "new"


@WITH_TOKEN
@pytest.mark.parametrize(("path", "status"), [("/api/nothing", 401), ("/api/", 401), ("/nothing", 404)])
def test_what_has_no_route_wants_the_token_below_the_api(gate: Gateway, path: str, status: int) -> None:
    assert gate.get(path).status == status
    assert gate.get(path, {"Authorization": f"Bearer {TOKEN}"}).status == 404


@WITH_TOKEN
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token_it_answers(gate: Gateway, upstream: ScriptedOllama, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    with gate.stream("hi", headers=headers) as stream:
        assert reason(finish(stream)) == "stop"
    assert gate.get("/api/status", headers).status == 200
    assert "Authorization" not in upstream.next_request().headers, "the token is ours, not Ollama's"


@WITH_TOKEN
@pytest.mark.parametrize("authorization", [None, "Basic dXNlcjpwYXNz", "Bearer wrong", f"Bearer {TOKEN}"])
def test_the_token_counts_in_a_header_of_its_own_beside_a_proxys(
    gate: Gateway, upstream: ScriptedOllama, authorization: str | None
) -> None:
    headers = {"X-Clawgate-Token": TOKEN} | ({"Authorization": authorization} if authorization else {})
    with gate.stream("hi", headers=headers) as stream:
        assert reason(finish(stream)) == "stop"
    sent = upstream.next_request().headers
    assert "X-Clawgate-Token" not in sent, "the token is ours, not Ollama's"
    assert "Authorization" not in sent
    wrong = {"Authorization": f"Bearer {TOKEN}", "X-Clawgate-Token": "wrong"}
    assert gate.get("/api/status", wrong).status == 200, "a right one in either is enough"


@WITH_TOKEN
def test_page_health_and_preflight_are_free(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    assert gate.get("/").status == 200
    assert gate.get("/healthz").status == 200
    assert gate.get("/readyz").status == 200
    assert preflight(gate, OURS).status == 204


@WITH_TOKEN
def test_a_401_can_be_read_by_an_allowed_page(gate: Gateway) -> None:
    reply = gate.post("/api/chat", {"message": "hi"}, {"Origin": OURS})
    assert reply.status == 401
    assert reply.headers["Access-Control-Allow-Origin"] == OURS
    assert "X-Clawgate-Token" in preflight(gate, OURS).headers["Access-Control-Allow-Headers"]


@WITH_TOKEN
def test_the_token_is_never_logged(gate: Gateway) -> None:
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"X-Clawgate-Token": TOKEN}):
        gate.get("/api/status", headers)
        gate.get("/nowhere", headers)
    assert TOKEN not in gate.log


@WITH_HOSTS
@pytest.mark.parametrize(
    "host", ["gate.example.org", "GATE.example.org:8080", "gate.example.org.", "127.0.0.1:1", "[::1]:8080", "[::1]"]
)
def test_a_trusted_host_is_served(gate: Gateway, host: str) -> None:
    assert gate.get("/healthz", {"Host": host}).status == 200


@WITH_HOSTS
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "gate.example.org.evil.example",
        "evil.example:127.0.0.1",
        "localhost",
        "",
        "[::2]",
        "x@127.0.0.1",
    ],
)
def test_another_host_is_refused(gate: Gateway, host: str) -> None:
    for method, path in [*API, ("GET", "/"), ("OPTIONS", "/api/chat")]:
        reply = call(method, gate.base_url, path, headers={"Host": host})
        assert (reply.status, reply.json["error"]["code"]) == (400, "untrusted_host"), (method, path)


@WITH_ORIGINS
@pytest.mark.parametrize("origin", [OURS, "http://localhost:3000"])
def test_an_exact_origin_is_allowed(gate: Gateway, upstream: ScriptedOllama, origin: str) -> None:
    with gate.stream(opening("s-cors"), headers={"Origin": origin}) as stream:
        finish(stream)
        assert stream.headers["Access-Control-Allow-Origin"] == origin
        assert "X-Session-Id" in stream.headers["Access-Control-Expose-Headers"]
        assert "Origin" in stream.headers["Vary"]
    assert len(upstream.chats) == 1
    reply = preflight(gate, origin)
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert {"POST", "DELETE"} <= {name.strip() for name in reply.headers["Access-Control-Allow-Methods"].split(",")}
    allowed = {name.strip().lower() for name in reply.headers["Access-Control-Allow-Headers"].split(",")}
    assert {"content-type", "authorization"} <= allowed
    assert int(reply.headers["Access-Control-Max-Age"]) > 0
    theirs = {"x-stainless-os", "X-Stainless-Retry-Count", "anthropic-version", "x-api-key", "openai-beta"}
    theirs |= {"user-agent", "X-Requested-With"}
    reply = preflight(gate, origin, names=",".join(sorted(theirs | {"x-evil", "cookie", "x-stainless-;"})))
    named = set(reply.headers["Access-Control-Allow-Headers"].split(", "))
    assert theirs <= named
    assert not {"x-evil", "cookie", "x-stainless-;"} & named
    refused = gate.get("/api/sessions/s-nobody", {"Origin": origin})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (404, origin)


@WITH_ORIGINS
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://chat.example.org",
        "https://chat.example.org.evil.example",
        "null",
        f"{OURS}:444",
        "*",
    ],
)
def test_another_origin_is_not_allowed(gate: Gateway, origin: str) -> None:
    for reply in (gate.get("/api/chat", {"Origin": origin}), preflight(gate, origin)):
        assert not [name for name in CORS_HEADERS if name in reply.headers]
        assert "Origin" in reply.headers["Vary"], "a cache must not answer others with this"


@WITH_STAR
def test_star_allows_every_origin_without_credentials(gate: Gateway) -> None:
    for reply in (gate.get("/api/chat", {"Origin": "https://any.example"}), preflight(gate, "https://any.example")):
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in reply.headers
    assert "cors_allowed_origins" in gate.log, "the log says so"


@WITHOUT
def test_no_origin_is_allowed_by_default(gate: Gateway) -> None:
    for reply in (gate.get("/api/chat", {"Origin": OURS}), preflight(gate, OURS)):
        assert reply.status in (200, 204)
        assert not [name for name in CORS_HEADERS if name in reply.headers]


@WITHOUT
@pytest.mark.parametrize("path", ["/", "/api/chat", "/healthz", "/api/sessions/s-nobody"])
def test_every_answer_carries_the_security_headers(gate: Gateway, path: str) -> None:
    headers = gate.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy


def test_a_form_on_another_site_is_no_visit() -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    client = create_app().test_client()
    assert client.get("/", headers=headers).status_code == 200
    assert client.post("/", headers=headers).status_code == 403
