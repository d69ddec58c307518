"""GET /metrics: real numbers after real answers, for whoever may ask, in either format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.openmetrics import parser as openmetrics
from werkzeug.test import TestResponse

from clawgate import create_app, create_blueprint
from clawgate.app import reloaded
from clawgate.config import Config, ModelConfig, ServerConfig
from clawgate.relay import recorder
from clawgate.telemetry.logs import ROUTINE
from clawgate.telemetry.metrics import OPENMETRICS, PLAIN
from clawgate.web.api.metrics import MAX_SCRAPES
from tests.http.asking import ask, configured, finish, interrupt, opening, start
from tests.support.client import StreamClient, call
from tests.support.exposition import Samples, growth, samples
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    chunk,
    done,
    drop,
    end,
    error_line,
    hang,
    status,
    text,
    texts,
    thinking,
)
from tests.support.tools import wait_for

GATE = configured(
    stream={"smoothing_ms": 0, "stall_seconds": 30, "retry_seconds": 30},
    server={"max_streams": 3},
    session={"max_sessions": 4},
)
TOKEN = "s3cret-token"
MODEL = f'{{model="{DEFAULT_MODEL}"}}'
ANSWER = {f"clawgate_answer_seconds_count{MODEL}": 1}
SAID = {**ANSWER, f"clawgate_first_token_seconds_count{MODEL}": 1}
TOKENS = {f"clawgate_prompt_tokens_total{MODEL}": 7, f"clawgate_answer_tokens_total{MODEL}": 5}
VARYING = ("clawgate_sessions",)
"""Sessions of earlier tests are kept, or evicted."""


def ended(reason: str) -> dict[str, float]:
    """What an answer of this end adds."""
    return {f'clawgate_answers_total{{model="{DEFAULT_MODEL}",reason="{reason}"}}': 1}


def failed(code: str) -> dict[str, float]:
    """What an answer that ends with this error adds."""
    return {**ended("error"), f'clawgate_answer_errors_total{{code="{code}"}}': 1}


def cut(phase: str, reason: str = "interrupted") -> dict[str, float]:
    """What an answer adds that is interrupted in this phase, and has a connection then."""
    return {
        **ended(reason),
        f'clawgate_interrupts_total{{phase="{phase}",reason="{reason}"}}': 1,
        f'clawgate_interrupt_close_seconds_count{{phase="{phase}"}}': 1,
    }


def scrape(gate: Gateway) -> Samples:
    """Return all samples."""
    reply = gate.get("/metrics")
    assert (reply.status, reply.headers["Content-Type"]) == (200, PLAIN)
    return samples(reply.json)


def at_rest(gate: Gateway) -> Samples:
    """Return all samples once every answer so far is counted, which it is when its request is over."""

    def is_at_rest() -> Samples | None:
        now = scrape(gate)
        return now if now["clawgate_answers_in_flight"] == 0 else None

    return wait_for(is_at_rest, "no answer is in flight")


def await_growth(gate: Gateway, before: Samples, expected: Mapping[str, float]) -> Samples:
    """Wait until exactly this has been added. The report of an answer comes behind its end event."""
    grown: dict[str, float] = {}

    def has_grown() -> Samples | None:
        after = scrape(gate)
        grown.clear()
        grown.update({name: value for name, value in growth(before, after).items() if not name.startswith(VARYING)})
        return after if grown == dict(expected) else None

    try:
        return wait_for(has_grown, "the metrics tell it")
    except AssertionError:
        assert grown == dict(expected)
        raise


ENDS: dict[str, tuple[tuple[Step, ...], dict[str, float]]] = {
    "stop": (
        (texts("a", "b"), done(prompt_eval_count=7, eval_count=5)),
        {**ended("stop"), **SAID, **TOKENS, "clawgate_frames_total": 3},
    ),
    "length": (
        (text("a"), done("length", prompt_eval_count=7, eval_count=5)),
        {**ended("length"), **SAID, **TOKENS, "clawgate_frames_total": 2},
    ),
    "truncated": ((text("a"), end()), {**ended("truncated"), **SAID, "clawgate_frames_total": 1}),
    "upstream_error": ((text("a"), error_line("no")), {**failed("upstream_error"), **SAID, "clawgate_frames_total": 2}),
    "upstream_refused": ((status(400, {"error": "too long"}),), {**failed("upstream_refused"), **ANSWER}),
    "model_not_found": (
        (status(404, {"error": "model 'x' not found"}),),
        {**failed("model_not_found"), **ANSWER},
    ),
    "upstream_bad_frames": (
        (text("a"), chunk(b"x\n" * 3), hang()),
        {**failed("upstream_bad_frames"), **SAID, "clawgate_frames_total": 1, "clawgate_bad_frames_total": 3},
    ),
    "a bad frame between good ones": (
        (text("a"), chunk(b"{oops\n"), text("b"), done(prompt_eval_count=7, eval_count=5)),
        {**ended("stop"), **SAID, **TOKENS, "clawgate_frames_total": 3, "clawgate_bad_frames_total": 1},
    ),
    "thinking alone": (
        (thinking("Hm"), done(prompt_eval_count=7, eval_count=5)),
        {**ended("stop"), **SAID, **TOKENS, "clawgate_frames_total": 2},
    ),
}


@GATE
@pytest.mark.parametrize("name", ENDS)
def test_every_end_is_told(gate: Gateway, upstream: ScriptedOllama, name: str) -> None:
    steps, expected = ENDS[name]
    before = at_rest(gate)
    upstream.script(*steps)
    ask(gate, "hi")
    await_growth(gate, before, expected)


PHASES: dict[str, tuple[tuple[Step, ...], Callable[[StreamClient], object]]] = {
    "opening": ((hang(),), start),
    "thinking": ((thinking("Hm"), hang()), lambda stream: stream.read_until(lambda event: "thinking" in event.data)),
    "text": ((text("a"), hang()), lambda stream: stream.read_text("a")),
}


@GATE
@pytest.mark.parametrize("phase", PHASES)
def test_an_interrupt_is_told_by_its_phase(gate: Gateway, upstream: ScriptedOllama, phase: str) -> None:
    """That of an answer that has not begun waits for the model's load; it is counted when the connection is closed."""
    before = at_rest(gate)
    steps, reach = PHASES[phase]
    upstream.script(*steps)
    with gate.stream(opening("s-phase")) as stream:
        asked = upstream.next_request()
        reach(stream)
        interrupt(gate, "s-phase")
        finish(stream)
    assert asked.closed.wait(10)
    frames = {} if phase == "opening" else {**SAID, "clawgate_frames_total": 1}
    after = await_growth(gate, before, {**cut(phase), **ANSWER, **frames})
    closed_s = f'clawgate_interrupt_close_seconds_sum{{phase="{phase}"}}'
    assert 0 < after[closed_s] - before[closed_s] < 1


@GATE
def test_a_reader_that_leaves_and_a_newer_question_are_interrupts_too(gate: Gateway, upstream: ScriptedOllama) -> None:
    before = at_rest(gate)
    upstream.script(text("a"), hang())
    upstream.script(text("b"), hang())
    with gate.stream(opening("s-leave")) as stream:
        stream.read_text("a")
        with gate.stream({"message": "or", "session_id": "s-leave"}) as newer:
            newer.read_text("b")
            finish(stream)
            newer.close()
        expected = {
            **cut("text"),
            **cut("text", "superseded"),
            'clawgate_interrupt_close_seconds_count{phase="text"}': 2,
        }
        both = {name: 2 * value for name, value in SAID.items()}
        await_growth(gate, before, {**expected, **both, "clawgate_frames_total": 2})


@GATE
def test_an_answer_that_waits_for_ollama_is_told_while_it_does_and_afterwards(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    before = at_rest(gate)
    upstream.script(text("half "), drop())
    with gate.stream(opening("s-wait")) as stream:
        stream.read_text("half ")
        upstream.stop()
        stream.read_until(lambda event: event.data.get("status") == "waiting")
        now = scrape(gate)
        assert (now["clawgate_answers_waiting"], now["clawgate_streams"]) == (1, 1)
        interrupt(gate, "s-wait")
        finish(stream)
    upstream.start()
    waited = {"clawgate_upstream_wait_seconds_count": 1, "clawgate_frames_total": 1}
    interrupted = {**ended("interrupted"), 'clawgate_interrupts_total{phase="waiting",reason="interrupted"}': 1}
    after = await_growth(gate, before, {**interrupted, **waited, **SAID})
    assert after["clawgate_answers_waiting"] == 0


@GATE
def test_a_retry_is_told_with_the_time_that_it_took(gate: Gateway, upstream: ScriptedOllama) -> None:
    before = at_rest(gate)
    upstream.script(text("a "), drop())
    upstream.script(text("b"), done(prompt_eval_count=7, eval_count=5))
    ask(gate, "hi")
    again = {"clawgate_retries_total": 1, "clawgate_upstream_wait_seconds_count": 1, "clawgate_frames_total": 3}
    after = await_growth(gate, before, {**ended("stop"), **SAID, **TOKENS, **again})
    waited_s = after["clawgate_upstream_wait_seconds_sum"] - before["clawgate_upstream_wait_seconds_sum"]
    answered_s = f"clawgate_answer_seconds_sum{MODEL}"
    assert 0.1 <= waited_s <= after[answered_s] - before[answered_s]


@GATE
def test_sessions_and_evictions_are_told(gate: Gateway, upstream: ScriptedOllama) -> None:
    before = at_rest(gate)
    for number in range(6):
        ask(gate, opening(f"s-evicted-{number}"))
    after = scrape(gate)
    assert after['clawgate_sessions{state="idle"}'] == 4
    evicted = 'clawgate_sessions_evicted_total{reason="lru"}'
    assert after[evicted] - before[evicted] == 6 - (4 - before['clawgate_sessions{state="idle"}'])
    assert after['clawgate_sessions_memory_bytes{kind="text"}'] > 0
    assert len(upstream.chats) == 6


@GATE
def test_a_scrape_takes_no_slot_and_counts_those_that_are_taken(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("a"), hang())
    before = at_rest(gate)
    with ExitStack() as stack:
        streams = [stack.enter_context(gate.stream(opening(f"s-slot-{number}"))) for number in range(3)]
        for stream in streams:
            stream.read_text("a")
        now = scrape(gate)
        assert (now["clawgate_streams"], now["clawgate_streams_limit"]) == (3, 3)
        assert now['clawgate_sessions{state="streaming"}'] == 3
        assert gate.post("/api/chat", {"message": "me too"}).status == 503
        refused = 'clawgate_error_responses_total{code="busy"}'
        assert scrape(gate)[refused] - before[refused] == 1
        for number, stream in enumerate(streams):
            interrupt(gate, f"s-slot-{number}")
            finish(stream)


@GATE
def test_refusals_renders_and_whole_answers_that_fail_are_told(gate: Gateway, upstream: ScriptedOllama) -> None:
    before = at_rest(gate)
    upstream.script(error_line("no"))
    assert gate.post("/api/chat", {"message": "hi", "stream": False}).status == 502
    assert gate.post("/api/chat", {"message": "hi", "model": "stranger"}).status == 403
    assert gate.post("/api/chat", b"{").status == 400
    assert gate.get("/nowhere").status == 404
    assert gate.post("/render", {"text": "# hi"}).status == 200
    codes = ("upstream_error", "model_not_allowed", "bad_request", "not_found")
    refused = {f'clawgate_error_responses_total{{code="{code}"}}': 1 for code in codes}
    answered = {**failed("upstream_error"), **ANSWER, "clawgate_frames_total": 1}
    await_growth(gate, before, {**refused, **answered, "clawgate_render_seconds_count": 1})


@GATE
def test_scrapes_are_not_in_the_log(gate: Gateway) -> None:
    gate.get("/metrics")
    gate.get("/nowhere-either")
    gate.wait_for_line("path=.*/nowhere-either")
    assert "/metrics" not in gate.log
    assert "/metrics" in ROUTINE


# From here on in this process, where a test can hold a place and change the configuration.


@pytest.fixture
def app(ollama: ScriptedOllama) -> Flask:
    """A gateway in front of the test's Ollama."""
    return create_app(Config(model=ModelConfig(endpoint=ollama.base_url)))


@pytest.fixture
def client(app: Flask) -> Iterator[FlaskClient]:
    """A client of it."""
    with app.test_client() as made:
        yield made


def read(client: FlaskClient, path: str = "/metrics") -> Samples:
    """Return all samples."""
    reply = client.get(path)
    assert reply.status_code == 200, reply.text
    return samples(reply.text)


def say(client: FlaskClient, **fields: object) -> TestResponse:
    """Ask for a whole answer."""
    return client.post("/api/chat", json={"message": "hi", "stream": False, **fields})


def test_an_interrupt_in_a_silence_is_one_of_a_stall(
    client: FlaskClient, ollama: ScriptedOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "STALLED_S", 0.0)
    ollama.script(text("a"), hang())
    stream = client.post("/api/chat", json=opening("s-stall"))
    told = iter(stream.response)
    while b'"message":"a"' not in next(told):  # the one who reads drives the answer
        pass
    assert client.post("/api/interrupt", json={"session_id": "s-stall"}).get_json()["partial"] == "a"
    assert b"interrupted" in b"".join(told)  # type: ignore[arg-type]
    stream.close()
    now = read(client)
    assert now['clawgate_interrupts_total{phase="stalled",reason="interrupted"}'] == 1
    assert now['clawgate_interrupt_close_seconds_count{phase="stalled"}'] == 1


def test_a_reload_keeps_the_counters(app: Flask, ollama: ScriptedOllama) -> None:
    ollama.models.append("other:1b")
    say(app.test_client())
    model = ModelConfig(endpoint=ollama.base_url, model_name="other:1b")
    client = reloaded(app, Config(model=model)).app.test_client()
    say(client)
    assert client.get("/nowhere").status_code == 404
    told = read(client)
    assert told[f'clawgate_answers_total{{model="{DEFAULT_MODEL}",reason="stop"}}'] == 1
    assert told['clawgate_answers_total{model="other:1b",reason="stop"}'] == 1
    assert told['clawgate_error_responses_total{code="not_found"}'] == 1
    assert told['clawgate_sessions{state="idle"}'] == 2


def test_clients_make_no_series(client: FlaskClient, ollama: ScriptedOllama) -> None:
    before = read(client)
    for number in range(20):
        assert say(client, model=f"stranger-{number}").status_code == 403
        assert client.get(f"/nowhere-{number}").status_code == 404
        assert client.get(f"/api/sessions/s-{number}").status_code == 404
    for number in range(3):
        assert say(client, messages=[{"role": "user", "content": "x"}], message=None, session_id=f"s-{number}").json
    assert set(read(client)) == set(before)
    assert len(ollama.chats) == 3


def test_more_scrapes_than_a_pair_of_servers_make_are_refused(app: Flask, client: FlaskClient) -> None:
    limit = app.extensions["clawgate"].scrape_limit
    with ExitStack() as stack:
        for _ in range(MAX_SCRAPES):
            assert client.get("/metrics").status_code == 200
            stack.enter_context(limit.taken())
        refused = client.get("/metrics")
    assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "busy")
    assert refused.headers["Retry-After"] == "1"
    assert client.get("/metrics").status_code == 200


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, PLAIN),
        ("*/*", PLAIN),
        ("text/html,*/*;q=0.8", PLAIN),
        ("application/json", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        (PROMETHEUS, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ("APPLICATION/OPENMETRICS-TEXT; version=1.0.0", OPENMETRICS),
        ("text/plain;q=0.9,application/openmetrics-text;q=0.3", PLAIN),
        ("application/openmetrics-text;q=0", PLAIN),
        ("application/openmetrics-text;version=abc\u00e4;q=x", PLAIN),
        (",;=/" * 100, PLAIN),
    ],
)
def test_accept_chooses_the_format(client: FlaskClient, accept: str | None, content_type: str) -> None:
    reply = client.get("/metrics", headers={} if accept is None else {"Accept": accept})
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, content_type)
    assert reply.headers["Vary"] == "Accept"
    if content_type == OPENMETRICS:
        assert list(openmetrics.text_string_to_metric_families(reply.text))  # type: ignore[no-untyped-call]
    else:
        assert samples(reply.text)


@GATE
def test_head_has_no_body(gate: Gateway) -> None:
    reply = call("HEAD", gate.base_url, "/metrics")
    assert (reply.status, reply.json, reply.headers["Content-Type"]) == (200, None, PLAIN)
    assert gate.post("/metrics", {}).status == 405


def test_a_token_and_a_host_and_a_site_are_wanted_as_everywhere() -> None:
    with create_app(Config(server=ServerConfig(auth_token=TOKEN))).test_client() as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
        given = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/metrics", headers={**given, "Host": "evil.example"}).status_code == 400
        assert client.get("/metrics", headers={**given, "Sec-Fetch-Site": "cross-site"}).status_code == 403
        reply = client.get("/metrics", headers=given)
        told = samples(reply.text)
        assert told['clawgate_error_responses_total{code="unauthorized"}'] == 2
        assert told['clawgate_error_responses_total{code="untrusted_host"}'] == 1
        assert told['clawgate_error_responses_total{code="forbidden"}'] == 1
        assert TOKEN not in reply.text


def test_it_names_no_session_no_address_and_no_words(client: FlaskClient, ollama: ScriptedOllama) -> None:
    ollama.script(text("a secret answer"), done())
    answer = say(client, message="a secret question").get_json()
    told = client.get("/metrics").text
    for word in ("secret", answer["session_id"], answer["run_id"], ollama.base_url, "127.0.0.1", "sess_", "run_"):
        assert word not in told


def test_a_blueprint_has_metrics_of_its_own(ollama: ScriptedOllama) -> None:
    other = Flask("other")
    config = Config(model=ModelConfig(endpoint=ollama.base_url))
    other.register_blueprint(create_blueprint(config), url_prefix="/llm")
    other.register_blueprint(create_blueprint(config), url_prefix="/second", name="second")
    client = other.test_client()
    client.post("/llm/api/chat", json={"message": "hi", "stream": False})
    stop = f'clawgate_answers_total{{model="{DEFAULT_MODEL}",reason="stop"}}'
    assert (read(client, "/llm/metrics")[stop], read(client, "/second/metrics")[stop]) == (1, 0)
