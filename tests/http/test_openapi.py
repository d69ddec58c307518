"""`/openapi.json` says what there is: every route, status, code, field and event, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from flask import Flask

from clawgate import create_app, create_blueprint
from clawgate.config import Config, ModelConfig, ServerConfig
from clawgate.errors import ClawgateError, ConfigError, Forbidden, MethodNotAllowed, UntrustedHost, UpstreamStalled
from clawgate.relay import events
from clawgate.relay.stats import Context, Stats
from clawgate.sessions import Message
from clawgate.web.api import answers, sse
from clawgate.web.described.openapi import METHODS
from clawgate.web.described.operations import OPERATIONS
from clawgate.web.door.chat_body import CHAT
from clawgate.web.door.messages import MESSAGE
from clawgate.web.door.responses import Payload
from tests.http.asking import routes_of, template_of

CLOSED = Config(
    model=ModelConfig(endpoint="http://10.1.2.3:4567", model_name="secret:7b", allowed_models=("other:1b",)),
    server=ServerConfig(auth_token="s3cret-token", trusted_hosts=("localhost",)),
)


def description(app: Flask, path: str = "/openapi.json") -> dict[str, Any]:
    """Return the description that an application serves without a token."""
    reply = app.test_client().get(path)
    assert (reply.status_code, reply.mimetype) == (200, "application/json")
    found: dict[str, Any] = reply.get_json()
    return found


def operations(described: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every operation."""
    for methods in described["paths"].values():
        yield from methods.values()


def codes(described: dict[str, Any]) -> dict[str, str]:
    """Return every error code in the description with its status."""
    found: dict[str, str] = {}
    for operation in operations(described):
        for status, response in operation["responses"].items():
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            for form in (schema, *schema.get("anyOf", ())):
                if "error" in form.get("properties", {}):
                    for code in form["properties"]["error"]["properties"]["code"]["enum"]:
                        assert found.setdefault(code, status) == status
    return found


def test_every_route_is_described_and_nothing_that_is_not_there() -> None:
    app = create_app()
    described = {(method, path) for path, methods in description(app)["paths"].items() for method in methods}
    missing = {(method.lower(), template_of(rule)) for method, rule in routes_of(app)} ^ described
    assert not missing, f"OPERATIONS in clawgate/web/described/operations.py: a line too few or too many for {missing}"
    names = [operation["operationId"] for operation in operations(description(app))]
    assert len(set(names)) == len(names), "an operation's id is its own"
    assert {name.removesuffix("_below_ollama") for name in names} == set(OPERATIONS)


def test_no_route_has_a_method_that_is_never_described() -> None:
    assert {method for method, _ in routes_of(create_app())} <= set(METHODS)


def test_every_error_code_is_described_with_its_status() -> None:
    def below(kind: type[ClawgateError]) -> Iterator[type[ClawgateError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    elsewhere = (ConfigError, MethodNotAllowed)  # no operation answers with them
    wanted = {kind.code: str(kind.status) for kind in below(ClawgateError) if kind not in elsewhere}
    undescribed = (wanted | {"internal": "500"}).items() ^ codes(description(create_app(CLOSED))).items()
    assert not undescribed, "clawgate/web/described/operations.py: the errors of each operation"


def test_every_field_of_a_body_is_described() -> None:
    schemas = description(create_app())["components"]["schemas"]
    assert set(schemas["ChatBody"]["properties"]) == CHAT.names
    assert set(schemas["Message"]["properties"]) == MESSAGE.names
    assert schemas["ChatBody"]["properties"]["session_id"]["anyOf"][0]["pattern"] == "^[A-Za-z0-9_-]{1,128}$"


TOLD: list[tuple[events.Event, type[Payload]]] = [
    (events.Started("s", "run_1", "m"), answers.StartEvent),
    (events.Started("s", "run_1", "m", ("mesage",), 2, 1), answers.StartEvent),
    (events.Text("春"), answers.TextEvent),
    (events.Thinking("hm"), answers.ThinkingEvent),
    (events.ToolCalls(({"function": {"name": "f"}},)), answers.ToolCallsEvent),
    (events.PING, answers.PingEvent),
    (events.Waiting("upstream_unreachable", 2), answers.WaitingEvent),
    (events.Resumed(), answers.ResumedEvent),
    (events.Restarted(), answers.ResumedEvent),
    (events.Reset(events.Started("s", "run_1", "m"), 3, "so far"), answers.ResetEvent),
    (events.Reset(events.Started("s", "run_1", "m"), 3, "", "hm", ({"function": {}},)), answers.ResetEvent),
    (events.Ended("s", "run_1", "stop", Stats(eval_count=1)), answers.EndEvent),
    (events.Ended("s", "run_1", "stop", Stats(context=Context(5, 4), context_full=True)), answers.EndEvent),
    (events.Ended("s", "run_1", "stop", is_empty=True), answers.EndEvent),
    (events.Ended("s", "run_1", "error", error=UpstreamStalled("silence")), answers.ErrorEvent),
]


def test_every_kind_of_event_is_described_by_exactly_one_type() -> None:
    missing = {type(event) for event, _ in TOLD} ^ set(events.Event.__subclasses__())
    assert not missing, "TOLD in this file: each event and its type on the wire"
    assert {kind for _, kind in TOLD} == set(answers.EVENTS), "EVENTS in clawgate/web/api/answers.py"
    for event, kind in TOLD:
        data = json.loads(b"".join(sse.stream("run_1", [event])).split(b"data: ")[1])
        assert [each for each in answers.EVENTS if is_one(data, each)] == [kind], event


def is_one(data: Any, kind: type[Payload]) -> bool:
    """Tell whether this is an instance of a described type."""
    try:
        msgspec.convert(data, kind)
    except msgspec.ValidationError:
        return False
    return True


def test_what_the_token_closes_says_so() -> None:
    described, open_ = description(create_app(CLOSED)), description(create_app())
    closed = {operation["operationId"] for operation in operations(described) if "security" in operation}
    closed = {name.removesuffix("_below_ollama") for name in closed}
    ours = {"describe", "chat", "follow", "interrupt", "session", "forget", "status", "metrics", "render", "setup"}
    foreign = {name for name in OPERATIONS if name.startswith(("anthropic_", "ollama_", "openai_"))}
    assert closed == ours | foreign - {"ollama_running"}
    assert described["components"]["securitySchemes"] == {
        "token": {"type": "http", "scheme": "bearer"},
        "tokenHeader": {"type": "apiKey", "in": "header", "name": "X-Clawgate-Token"},
    }
    securities = [operation["security"] for operation in operations(described) if "security" in operation]
    assert all(security == [{"token": []}, {"tokenHeader": []}] for security in securities), "either is enough"
    assert all(("401" in operation["responses"]) == ("security" in operation) for operation in operations(described))
    assert all(UntrustedHost.code in str(operation["responses"]["400"]) for operation in operations(described))
    assert not [operation for operation in operations(open_) if "security" in operation or "401" in str(operation)]


@pytest.mark.parametrize(("host", "is_checked"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_what_the_host_closes_says_so(host: str, is_checked: bool) -> None:
    described = description(create_app(Config(server=ServerConfig(host=host))))
    for operation in operations(described):
        assert (UntrustedHost.code in str(operation["responses"].get("400", ""))) is is_checked
        assert Forbidden.code in str(operation["responses"]["403"])


def test_it_says_nothing_private() -> None:
    """The description wants no token, so it names no model, address, version or secret."""
    text = json.dumps(description(create_app(CLOSED)))
    for word in ("10.1.2.3", "4567", "secret:7b", "other:1b", "s3cret", "localhost", "qwen"):
        assert word not in text
    assert description(create_app())["info"] == {"title": "clawgate", "version": "1"}


def test_under_a_prefix_it_describes_its_own_routes_there() -> None:
    other = Flask("other")
    other.register_blueprint(create_blueprint(), url_prefix="/llm")
    other.add_url_rule("/their-own", "theirs", lambda: "hello")
    described = description(other, "/llm/openapi.json")
    assert set(described["paths"]) == {f"/llm{path}" for path in description(create_app())["paths"]}


def test_a_route_that_somebody_adds_to_the_blueprint_leaves_the_description_as_it_is() -> None:
    other, routes = Flask("other"), create_blueprint()
    routes.add_url_rule("/v1/new", "new", lambda: "new")
    other.register_blueprint(routes)
    assert description(other) == description(create_app(Config(server=ServerConfig(host="0.0.0.0"))))


def test_one_blueprint_at_two_prefixes_is_described_at_each() -> None:
    other, routes = Flask("other"), create_blueprint()
    other.register_blueprint(routes, url_prefix="/a")
    other.register_blueprint(routes, url_prefix="/b", name="again")
    for prefix in ("/a", "/b", "/a"):
        assert all(path.startswith(prefix) for path in description(other, f"{prefix}/openapi.json")["paths"])


def test_no_answer_is_described_by_words_of_pythons_own() -> None:
    for operation in operations(description(create_app())):
        for response in operation["responses"].values():
            assert "dict" not in response["description"], operation["operationId"]


@pytest.mark.parametrize("name", ["Message"])
def test_descriptions_are_one_line_for_people(name: str) -> None:
    schema = description(create_app())["components"]["schemas"][name]
    assert schema["description"] == (Message.__doc__ or "").partition("\n")[0]
