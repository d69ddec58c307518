"""/healthz, /readyz and /api/status: true, quick, and easy on Ollama."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clawgate import __version__, create_app
from clawgate.config import Config, ModelConfig, SessionConfig
from clawgate.embedded.frames import VERSION
from clawgate.errors import UpstreamError, UpstreamUnreachable
from clawgate.ollama.client import BEGINNING_BYTES, MAX_CONTAINERS, OllamaClient
from clawgate.ollama.finding import Finding, Kind, Unusable
from clawgate.ollama.state import UpstreamState, upstream_state
from clawgate.sessions import MemoryStore
from tests.http.asking import configured, finish, interrupt, opening
from tests.support.client import call
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_MODEL, Act, ScriptedOllama, drop, hang, keep, raw, reset, status, text
from tests.support.tools import free_port, wait_for

GATE = configured(stream={"smoothing_ms": 0, "stall_seconds": 30}, server={"max_streams": 7})

ASK_EVERY_S = 2.0
FRESH_S = ASK_EVERY_S + 5
ASKERS = 50


def shown_state(gate: Gateway) -> dict[str, object]:
    state: dict[str, object] = gate.get("/api/status").json["upstream"]
    return state


def wait_for_state(gate: Gateway, **expected: object) -> None:
    wait_for(lambda: shown_state(gate).items() >= expected.items(), f"the state becomes {expected}", FRESH_S)


@GATE
def test_status_has_the_shape_of_the_contract(gate: Gateway, upstream: ScriptedOllama) -> None:
    wait_for_state(gate, reachable=True)
    wait_for(lambda: gate.get("/api/status").json["models"][0]["thinking"], "the abilities are known", FRESH_S)
    upstream.script(text("a"), hang())
    with gate.stream(opening("s-status")) as stream:
        stream.read_text("a")
        assert gate.get("/api/status").json == {
            "model": DEFAULT_MODEL,
            "provider": "ollama",
            "upstream": {"reachable": True, "version": "0.12.6", "model_ready": True, "embedded": False},
            "streams": 1,
            "max_streams": 7,
            "version": __version__,
            "models": [{"name": DEFAULT_MODEL, "thinking": True, "vision": False}],
        }
        interrupt(gate, "s-status")
        finish(stream)
    wait_for(lambda: gate.get("/api/status").json["streams"] == 0, "it is not counted any more")


@configured(model={"model_name": "sees", "allowed_models": ["absent", "sees", "plain:1b"]})
def test_status_tells_what_each_model_can_do(gate: Gateway, upstream: ScriptedOllama) -> None:
    """They are asked for in the background: an Ollama that describes none holds up no status."""
    upstream.models[:] = ["sees", "plain:1b"]
    upstream.script(status(200, {"capabilities": ["completion", "vision"]}), path="/api/show")
    upstream.script(status(404, {"error": "model 'absent' not found"}), path="/api/show")
    upstream.script(hang(), path="/api/show")
    wait_for(lambda: gate.get("/api/status").json["models"][0]["vision"], "the abilities are known", FRESH_S)
    assert gate.get("/api/status").json["models"] == [
        {"name": "sees", "thinking": False, "vision": True},
        {"name": "absent", "thinking": None, "vision": None},
        {"name": "plain:1b", "thinking": None, "vision": None},
    ]
    asked = [request.json["model"] for request in upstream.requests if request.path == "/api/show"]
    assert asked == ["sees", "absent", "plain:1b"][: len(asked)]


@GATE
def test_the_embedded_model_is_told_from_an_ollama(gate: Gateway, upstream: ScriptedOllama) -> None:
    wait_for_state(gate, reachable=True, embedded=False)
    upstream.script(status(200, {"version": VERSION}), path="/api/version")
    wait_for_state(gate, reachable=True, embedded=True, version=VERSION)


@GATE
def test_ready_follows_ollama_and_health_does_not(gate: Gateway, upstream: ScriptedOllama) -> None:
    wait_for(lambda: gate.get("/readyz").status == 200, "ready while Ollama answers", FRESH_S)
    upstream.stop()
    reply = wait_for(lambda: found if (found := gate.get("/readyz")).status == 503 else None, "not ready", FRESH_S)
    assert reply.json == {"status": "unavailable", "reason": "upstream_unreachable"}
    assert shown_state(gate) == {
        "reachable": False,
        "version": None,
        "model_ready": False,
        "embedded": False,
        "problem": "refused",
    }
    assert (gate.get("/healthz").status, gate.get("/healthz").json) == (200, {"status": "ok"})
    assert call("HEAD", gate.base_url, "/readyz").status == 503
    upstream.start()
    wait_for(lambda: gate.get("/readyz").status == 200, "ready again", FRESH_S)


@pytest.mark.parametrize(
    ("is_required", "reason"), [(True, "session_store_unavailable"), (False, "upstream_unreachable")]
)
def test_not_ready_while_the_sessions_that_are_required_cannot_be_asked_for(
    monkeypatch: pytest.MonkeyPatch, is_required: bool, reason: str
) -> None:
    monkeypatch.setattr(MemoryStore, "is_available", False)
    model = ModelConfig(endpoint=f"http://127.0.0.1:{free_port()}")
    config = Config(model=model, session=SessionConfig(redis_required=is_required))
    reply = create_app(config).test_client().get("/readyz")
    assert (reply.status_code, reply.json) == (503, {"status": "unavailable", "reason": reason})


@GATE
def test_a_model_that_is_not_there_is_not_ready(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.models[:] = ["other:latest"]
    wait_for_state(gate, reachable=True, model_ready=False)
    upstream.models[:] = [DEFAULT_MODEL]
    wait_for_state(gate, reachable=True, model_ready=True)


@pytest.mark.parametrize("path", ["/api/version", "/api/tags"])
@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b"5", b'{"models": 5}', b'{"models": [5]}', b"\xff", b"[" * 9999], ids=repr
)
def test_a_stranger_at_the_endpoint_is_not_ollama(ollama: ScriptedOllama, path: str, body: bytes) -> None:
    ollama.script(status(200, body), path=path)
    state = upstream_state(OllamaClient(ollama.base_url), DEFAULT_MODEL)
    assert state.finding is not None
    assert (state.reachable, state.finding.is_another) == (False, True)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(204, "other"), (301, "other"), (403, "foreign_host"), (404, "other"), (500, "unwell"), (503, "proxy")],
)
def test_another_status_is_not_ollama_either(ollama: ScriptedOllama, code: int, kind: Kind) -> None:
    ollama.script(status(code), path="/api/version")
    state = upstream_state(OllamaClient(ollama.base_url), DEFAULT_MODEL)
    detail = "" if kind == "foreign_host" else f"status {code}"
    assert state == UpstreamState(reachable=False, finding=Finding(kind, detail))


def whole(document: object) -> Act:
    """Play an answer that says nothing about its connection."""
    body = json.dumps(document).encode()
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


@pytest.mark.parametrize("end", [hang(), drop(), keep()], ids=repr)
def test_one_question_is_one_connection_whatever_the_server_makes_of_it(ollama: ScriptedOllama, end: Act) -> None:
    ollama.script(whole({"version": "1"}), end, path="/api/version")
    ollama.script(whole({"models": [{"name": DEFAULT_MODEL}]}), end, path="/api/tags")
    state = upstream_state(OllamaClient(ollama.base_url), DEFAULT_MODEL)
    assert state == UpstreamState(reachable=True, version="1", model_ready=True)
    assert len({request.connection for request in ollama.requests}) == len(ollama.requests) == 2
    assert {request.headers["Connection"] for request in ollama.requests} == {"close"}


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
HALF_A_HEAD = b"HTTP/1.1 200 OK\r\nContent-Ty"
HALF_A_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"


@pytest.mark.parametrize("end", [drop(), reset()], ids=repr)
@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 2", HALF_A_HEAD, HALF, HALF_A_CHUNK], ids=["nothing", "line", "head", "body", "chunk"]
)
@pytest.mark.parametrize(
    ("path", "question"), [("/api/tags", None), ("/api/show", {"model": DEFAULT_MODEL})], ids=["GET", "POST"]
)
def test_a_question_whose_connection_is_cut_is_asked_once_more(
    ollama: ScriptedOllama, path: str, question: object, begun: bytes, end: Act
) -> None:
    """A reset that comes with half an answer overtakes it, or does not: either way the question is asked again."""
    client = OllamaClient(ollama.base_url)
    ollama.script(raw(begun), end, path=path)
    assert isinstance(client.ask(path, 5, question), dict)
    assert len(ollama.requests) == 2
    for _ in range(2):
        ollama.script(raw(begun), end, path=path)
    with pytest.raises(UpstreamUnreachable, match="Ollama dropped the connection"):
        client.ask(path, 5, question)
    assert len(ollama.requests) == 4, "and not a third time"


def test_a_question_whose_time_is_over_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = OllamaClient("http://127.0.0.1:1"), []

    def cut_off_late(path: str, _body: object, _id: str, _takes_refusals: bool, timeout_s: float) -> None:
        asked.append(path)
        time.sleep(timeout_s)
        raise ConnectionResetError

    monkeypatch.setattr(client, "_ask_once", cut_off_late)
    with pytest.raises(UpstreamUnreachable, match="Ollama dropped the connection"):
        client.ask("/api/version", 0.02)
    assert asked == ["/api/version"]


@pytest.mark.parametrize("empty", [{}, []], ids=str)
def test_a_document_of_nothing_but_empty_objects_is_not_decoded(ollama: ScriptedOllama, empty: object) -> None:
    client = OllamaClient(ollama.base_url)
    for count in (MAX_CONTAINERS - 1, MAX_CONTAINERS):
        ollama.script(whole([empty] * count), drop(), path="/api/tags")
    assert len(client.ask("/api/tags", 5)) == MAX_CONTAINERS - 1
    with pytest.raises(Unusable, match="more than 131072 objects and lists"):
        client.fetch("/api/tags", 5)


def test_a_head_that_drips_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        is_over = threading.Event()

        def drip() -> None:
            with listener.accept()[0] as accepted:
                accepted.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
                for _ in range(200):  # and ends then, for a reader that waits for ever
                    if is_over.wait(0.01):
                        return
                    accepted.send(b"a")

        threads.submit(drip)
        begun = time.monotonic()
        with pytest.raises(UpstreamUnreachable, match="did not answer in time"):
            OllamaClient(f"http://127.0.0.1:{listener.getsockname()[1]}").ask("/api/version", 0.1)
        is_over.set()
        assert time.monotonic() - begun < 1


@pytest.mark.parametrize("taken_bytes", [0, 1])
def test_a_reset_before_the_question_is_read_is_one_too(ollama: ScriptedOllama, taken_bytes: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset_one() -> None:
            with listener.accept()[0] as accepted:
                accepted.recv(taken_bytes)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with listener.accept()[0] as accepted, socket.create_connection(("127.0.0.1", ollama.port)) as upstream:
                upstream.sendall(accepted.recv(1 << 16))
                accepted.sendall(upstream.recv(1 << 16))

        thread = threading.Thread(target=reset_one)
        thread.start()
        client = OllamaClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        assert client.ask("/api/version", 5) == {"version": "0.12.6"}
        thread.join()


def test_a_refused_question_and_one_without_answer_are_not_asked_again(ollama: ScriptedOllama) -> None:
    client = OllamaClient(ollama.base_url)
    ollama.script(hang(), path="/api/version")
    with pytest.raises(UpstreamUnreachable, match="Ollama did not answer in time"):
        client.ask("/api/version", 0.1)
    ollama.script(status(500, {"error": "x"}), path="/api/version")
    with pytest.raises(UpstreamError, match="Ollama answers with an error"):
        client.ask("/api/version", 5)
    assert len(ollama.requests) == 2


@pytest.mark.parametrize(
    ("configured_model", "there", "is_ready"),
    [
        ("a", "a:latest", True),
        ("a:latest", "a", True),
        ("a:1b", "a", False),
        ("host:80/a", "host:80/a:latest", True),
        ("A:1B", "a:1b", True),
    ],
)
def test_the_default_tag_is_latest_and_capitals_do_not_count(
    ollama: ScriptedOllama, configured_model: str, there: str, is_ready: bool
) -> None:
    ollama.models[:] = [there]
    assert upstream_state(OllamaClient(ollama.base_url), configured_model).model_ready is is_ready


@GATE
def test_ollama_is_asked_at_most_every_two_seconds(gate: Gateway, upstream: ScriptedOllama) -> None:
    wait_for_state(gate, reachable=True)
    before = len([request for request in upstream.requests if request.path == "/api/version"])
    started_at = time.monotonic()
    with ThreadPoolExecutor(ASKERS) as pool:
        replies = list(pool.map(lambda _: gate.get("/api/status").status, range(10 * ASKERS)))
    took_s = time.monotonic() - started_at
    assert set(replies) == {200}
    asked = len([request for request in upstream.requests if request.path == "/api/version"]) - before
    assert asked <= took_s / ASK_EVERY_S + 1, f"{asked} times in {took_s:.1f} s"


@GATE
def test_an_ollama_that_hangs_holds_up_one_asker_alone(gate: Gateway, upstream: ScriptedOllama) -> None:
    wait_for_state(gate, reachable=True)
    for _ in range(20):
        upstream.script(hang(), path="/api/version")

    def took_s(_: int) -> float:
        started_at = time.monotonic()
        assert gate.get("/api/status").status == 200
        return time.monotonic() - started_at

    started_at = time.monotonic()
    wait_for(lambda: time.monotonic() > started_at + ASK_EVERY_S, "the last answer is old")
    with ThreadPoolExecutor(ASKERS) as pool:
        asked_before = len(upstream.requests)
        waits = sorted(pool.map(took_s, range(ASKERS)))
    assert waits[-2] < 1.2, f"the others have the last answer at once: {waits[-5:]}"
    assert len(upstream.requests) - asked_before <= 2
    wait_for_state(gate, reachable=False)
    upstream._scripts.clear()
    wait_for_state(gate, reachable=True)


def test_a_redirect_is_told_by_its_head(ollama: ScriptedOllama) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: https://gpu.example/api/version\r\n\r\n"
    ollama.script(raw(head + b"x" * (BEGINNING_BYTES + 1)), hang(), path="/api/version")  # a body that does not end
    with pytest.raises(Unusable) as failed:
        OllamaClient(ollama.base_url).ask("/api/version", 5)
    assert failed.value.finding == Finding("moved", "https://gpu.example")
    assert ollama.next_request(path="/api/version").closed.wait(1)


@GATE
@pytest.mark.parametrize("location", ["http://[", "//[x]/", "", "http://a:99999999/"])
def test_a_redirect_to_no_address_fails_no_request(gate: Gateway, upstream: ScriptedOllama, location: str) -> None:
    answer = raw(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
    upstream.script(answer, drop())
    failed = gate.post("/api/chat", {"message": "hi", "stream": False})
    assert (failed.status, failed.json["error"]["code"]) == (502, "upstream_error")
    upstream.script(answer, drop(), path="/api/version")
    finding = upstream_state(OllamaClient(upstream.base_url), "any").finding
    assert finding is not None
    assert finding.kind == "moved"


def test_ollamas_version_is_one_short_line(ollama: ScriptedOllama) -> None:
    ollama.script(status(200, {"version": "1\x1b[31m\u202e\n2" + "x" * 999}), path="/api/version")
    version = upstream_state(OllamaClient(ollama.base_url), "any").version
    assert version is not None
    assert version.startswith("1 [31m 2x")
    assert len(version) <= 100
