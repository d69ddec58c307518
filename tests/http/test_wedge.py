"""A first frame does not come: the error gives the reason, and the gateway cures a hanging slot of Ollama's."""

from __future__ import annotations

import threading
import time

import pytest

from clawgate.config import StreamConfig
from clawgate.errors import UpstreamUnreachable
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.silence import unload, why_silent
from clawgate.relay.desk import Desk
from clawgate.relay.events import Ended
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Bounds, MemoryStore, Message
from tests.http.asking import (
    ask,
    assert_closed,
    configured,
    finish,
    interrupt,
    opening,
    reason,
    said,
    session,
    start,
    streams_of,
)
from tests.support.gateway import Gateway
from tests.support.observer import Noted
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    chunk,
    done,
    every,
    hang,
    headers,
    raw,
    status,
    text,
    wait,
)
from tests.support.sse import end_of, text_of
from tests.support.tools import DEADLINE_S, wait_for

FIRST_S = 0.6
TIMING = {"smoothing_ms": 0, "first_frame_seconds": FIRST_S, "heartbeat_seconds": 0.1, "stall_seconds": 30}
PLAIN = configured(stream=TIMING)
CURING = configured(stream={**TIMING, "unload_wedged": True})
WAITING = {"status": "waiting", "reason": "upstream_timeout", "attempt": 2, "message": ""}
NOT_LOADED = status(200, {"models": []})


def why(gate: Gateway, session_id: str = "s-why") -> str:
    """Ask a question that gets no answer, and return the message of the error."""
    events = ask(gate, opening(session_id))
    assert reason(events) == "upstream_timeout"
    message = str(end_of(events)["error"]["message"])
    assert message.startswith(f"no first frame from Ollama within {FIRST_S:g} s: ")
    return message


def unloads(upstream: ScriptedOllama) -> list[object]:
    """Return the bodies of the requests to /api/generate."""
    return [request.json for request in upstream.requests if request.path == "/api/generate"]


@PLAIN
@pytest.mark.parametrize("before", [(), (headers(),)], ids=["no headers", "headers"])
def test_a_slot_that_hangs_is_named(gate: Gateway, upstream: ScriptedOllama, before: tuple[Step, ...]) -> None:
    upstream.script(*before, hang())
    assert "a slot of it hangs since an answer was aborted" in why(gate)
    gate.wait_for_line(r"WARNING .*upstream_timeout: .*a slot of it hangs")
    assert_closed(upstream.chats[0])
    assert unloads(upstream) == [], "nothing is unloaded where that is not allowed"


@PLAIN
def test_a_model_that_is_not_loaded_is_no_wedge(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(NOT_LOADED, path="/api/ps")
    upstream.script(NOT_LOADED, path="/api/ps")
    upstream.script(hang())
    assert "has not loaded the model" in why(gate)


@PLAIN
def test_a_model_that_is_new_is_no_wedge(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Ollama lists a model from the moment it begins to load."""
    upstream.is_loading = True
    upstream.script(hang())
    assert "still loads the model" in why(gate)


@PLAIN
@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/api/version", status(500, b"oops")),
        ("/api/version", status(200, b"<html>")),
        ("/api/ps", status(404, b"404 page not found")),
        ("/api/ps", status(200, {"models": 5})),
        ("/api/ps", status(200, {"models": [{}]})),
        ("/api/ps", status(200, b"[]")),
    ],
    ids=repr,
)
def test_answers_that_are_not_ollamas_are_no_wedge(
    gate: Gateway, upstream: ScriptedOllama, path: str, answer: Step
) -> None:
    upstream.script(answer, path=path)
    upstream.script(hang())
    assert "Ollama as a whole does not answer" in why(gate)


@PLAIN
def test_an_ollama_that_went_away_meanwhile_is_no_wedge(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The connection stays open and no other is accepted, as with a stopped process."""
    upstream.script(hang(), path="/api/version")
    upstream.script(hang())
    with gate.stream(opening("s-stopped")) as stream:
        events = finish(stream)
    assert "Ollama as a whole does not answer: Ollama did not answer in time" in end_of(events)["error"]["message"]


@PLAIN
def test_a_queue_is_no_wedge(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(every(0.05, 400, lambda _: text("x")), hang())
    upstream.script(hang())
    with gate.stream(opening("s-first")) as first:
        first.read_text("x")
        assert "queued behind them (OLLAMA_NUM_PARALLEL)" in why(gate)
        interrupt(gate, "s-first")
        finish(first)


@PLAIN
def test_heartbeats_and_the_interrupt_go_on_while_ollama_is_asked(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang(), path="/api/version")
    upstream.script(hang())
    with gate.stream(opening("s-asked")) as stream:
        start(stream)
        upstream.next_request(path="/api/version")
        for _ in range(5):
            stream.read_until(lambda event: event.is_ping)
        assert interrupt(gate, "s-asked")["interrupted"] is True
        assert reason(finish(stream)) == "interrupted"
    assert_closed(upstream.chats[0])


@PLAIN
@pytest.mark.parametrize("before", [(), (headers(),)], ids=["no headers", "headers"])
def test_a_frame_that_comes_while_ollama_is_asked_is_taken(
    gate: Gateway, upstream: ScriptedOllama, before: tuple[Step, ...]
) -> None:
    go = threading.Event()
    upstream.script(wait(go), status(200, {"version": "1"}), path="/api/version")
    upstream.script(*before, wait(go), text("late"), done())
    with gate.stream(opening("s-late")) as stream:
        upstream.next_request(path="/api/version")
        go.set()
        events = finish(stream)
    assert (text_of(events), reason(events), said(events)) == ("late", "stop", [{"message": "late"}])


@CURING
def test_the_model_is_unloaded_and_asked_once_more(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang())
    upstream.script(text("free"), done())
    events = ask(gate, opening("s-free"))
    assert (text_of(events), reason(events)) == ("free", "stop")
    assert said(events) == [WAITING, {"status": "resumed", "message": ""}, {"message": "free"}]
    assert unloads(upstream) == [{"model": DEFAULT_MODEL, "keep_alive": 0}]
    first, second = upstream.chats
    assert first.json == second.json
    order = [request.path for request in upstream.requests if request.path in ("/api/chat", "/api/generate")]
    assert order == ["/api/chat", "/api/generate", "/api/chat"]
    assert first.closed_at is not None
    assert first.closed_at < second.arrived, "Ollama unloads nothing that is asked something"
    gate.wait_for_line("WARNING .*a slot of Ollama's hangs, unloading the model: session=")


@CURING
def test_the_cure_is_tried_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(hang())
    assert "a slot of it hangs" in why(gate, "s-again")
    assert len(upstream.chats) == 2
    assert len(unloads(upstream)) == 1
    assert session(gate, "s-again")["streaming"] is False


@CURING
def test_what_is_no_wedge_is_not_unloaded(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.is_loading = True
    upstream.script(hang())
    why(gate)
    assert unloads(upstream) == []


@CURING
def test_an_unload_that_is_refused_is_said(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(status(500, {"error": "no"}), path="/api/generate")
    upstream.script(hang())
    assert "could not be unloaded; restart Ollama" in why(gate)
    assert len(upstream.chats) == 1


@CURING
@pytest.mark.parametrize("leave", ["interrupt", "close", "supersede"])
def test_every_way_out_is_open_while_the_model_is_unloaded(gate: Gateway, upstream: ScriptedOllama, leave: str) -> None:
    go = threading.Event()
    upstream.script(wait(go), status(200, {}), path="/api/generate")
    upstream.script(hang())
    with gate.stream(opening("s-out")) as stream:
        stream.read_until(lambda event: event.data == WAITING)
        unload = upstream.next_request(path="/api/generate")
        for _ in range(3):
            stream.read_until(lambda event: event.is_ping)
        if leave == "interrupt":
            assert interrupt(gate, "s-out")["interrupted"] is True
            assert reason(finish(stream)) == "interrupted"
        elif leave == "supersede":
            assert reason(ask(gate, {"message": "and?", "session_id": "s-out"})) == "stop"
            assert reason(finish(stream)) == "superseded"
    wait_for(lambda: streams_of(gate) == 0, "nothing is in flight")
    assert len(upstream.chats) == 1 + (leave == "supersede")
    go.set()  # one that is cut off with its Ollama would be asked again, of the next test's
    assert unload.finished.wait(DEADLINE_S)


@pytest.mark.parametrize(("unload_wedged", "expected"), [(False, 1), (True, 2)])
def test_wedges_are_counted(ollama: ScriptedOllama, unload_wedged: bool, expected: int) -> None:
    ollama.default(hang())
    limits = StreamConfig(first_frame_seconds=0.1, unload_wedged=unload_wedged)
    noted = Noted()
    desk = Desk(MemoryStore(Bounds(10, 60, 1 << 20)), OllamaClient(ollama.base_url), 1, limits, (noted,))
    run = desk.admit(ChatRequest(model=DEFAULT_MODEL, messages=(Message(role="user", content="hi"),)))
    last = list(desk.pump(run, None))[-1]
    desk.release(run)
    assert isinstance(last, Ended)
    assert last.error is not None
    assert [report.wedges for report in noted.reports] == [expected]
    assert len(noted.unloads) == expected - 1


@pytest.mark.parametrize(
    ("name", "listed"), [("qwen3", "qwen3:latest"), ("Qwen3:32B", "qwen3:32b"), ("hf.co/a/b", "hf.co/a/b:latest")]
)
def test_a_model_is_known_by_ollamas_name_for_it(ollama: ScriptedOllama, name: str, listed: str) -> None:
    ollama.loaded.append(listed)
    assert why_silent(OllamaClient(ollama.base_url), name, answers_others=False).is_wedge


def test_an_unload_waits_until_the_model_is_gone(ollama: ScriptedOllama) -> None:
    ollama.loaded.append("m")
    ollama.script(status(200, {}), path="/api/generate")

    def free() -> None:
        ollama.next_request(path="/api/ps")
        ollama.loaded.remove("m")

    last_request_ends = threading.Thread(target=free)
    last_request_ends.start()
    assert unload(OllamaClient(ollama.base_url), "m", threading.Event())
    last_request_ends.join()


@pytest.mark.parametrize("end", ["impatient", "given up"])
def test_an_unload_that_lasts_is_given_up(ollama: ScriptedOllama, end: str) -> None:
    ollama.loaded.append("m")
    ollama.script(status(200, {}), path="/api/generate")
    given_up = threading.Event()
    if end == "given up":
        given_up.set()
    assert not unload(OllamaClient(ollama.base_url), "m", given_up, patience_s=0.3 if end == "impatient" else 60)


@pytest.mark.parametrize("length", [None, 10_000], ids=["in chunks", "with a length"])
def test_a_question_whose_answer_drips_is_given_up(ollama: ScriptedOllama, length: int | None) -> None:
    """Each byte comes in time, but not the whole body."""
    drip = raw(b" ") if length else chunk(b" ")
    ollama.script(headers(200, content_length=length), every(0.05, 400, lambda _: drip), path="/api/version")
    began_at = time.monotonic()
    with pytest.raises(UpstreamUnreachable, match="did not answer in time"):
        OllamaClient(ollama.base_url).ask("/api/version", 0.3)
    assert time.monotonic() - began_at < DEADLINE_S
    assert_closed(ollama.next_request(path="/api/version"))
