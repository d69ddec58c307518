"""SIGHUP: the configuration changes in the running worker, and neither an answer nor a session is lost."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.live.test_gunicorn import WAYS
from tests.support import sse
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, drop, hang, text, wait
from tests.support.reloading import reload, rewrite
from tests.support.tools import free_port, wait_for

STREAMS = 50
TOKEN = "a-new-token-8"


def test_a_question_under_a_key_is_the_same_under_other_options_of_the_operator(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway(model={"options": {"temperature": 0.5}})
    key = {"Idempotency-Key": "a-key-that-is-long-enough"}
    question = {"message": "hi", "options": {"seed": 7}, "stream": False}
    first = started.post("/api/chat", question, key)
    reload(started, model={"options": {"temperature": 0.7}})
    again = started.post("/api/chat", question, key)
    assert (again.status, again.json) == (200, first.json)
    assert len(ollama.chats) == 1


@pytest.mark.parametrize("way", WAYS)
def test_no_answer_and_no_session_is_lost(gateway: Callable[..., Gateway], ollama: ScriptedOllama, way: str) -> None:
    released = threading.Event()
    ollama.models.append("other:1b")
    ollama.default(text("Half"), wait(released), text(" and whole"), done())
    started = gateway(command=WAYS[way], stream={"stall_seconds": 600}, session={"max_sessions": 2 * STREAMS})
    worker = started.worker_pid
    with ExitStack() as stack:
        streams = [stack.enter_context(started.stream(f"Question {number}")) for number in range(STREAMS)]
        for stream in streams:
            stream.read_text("Half")
        reload(
            started,
            r"reloaded: model\.model_name, stream\.smoothing_ms$",
            model={"model_name": "other:1b"},
            stream={"smoothing_ms": 7},
        )
        assert started.get("/api/status").json["model"] == "other:1b"
        released.set()
        for stream in streams:
            stream.read_all()
            sse.check(stream.events)
            assert stream.complete
            assert sse.text_of(stream.events) == "Half and whole"
            assert stream.events[0].data["model"] == "qwen3:32b", "an answer keeps what it began with"
        session_ids = [stream.events[0].data["session_id"] for stream in streams]
    assert started.worker_pid == worker
    for session_id in session_ids:
        messages = started.get(f"/api/sessions/{session_id}").json["messages"]
        assert messages[-1] == {"role": "assistant", "content": "Half and whole"}
    with started.stream({"message": "More", "session_id": session_ids[0]}) as stream:
        stream.read_all()
        assert sse.text_of(stream.events) == "Half and whole", stream.events
    assert ollama.chats[-1].json["model"] == "other:1b"
    assert [message["role"] for message in ollama.chats[-1].json["messages"]] == ["user", "assistant", "user"]


def test_what_can_change_does_and_the_rest_is_named(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    started = gateway(server={"max_streams": 1})
    with ScriptedOllama() as other:
        other.default(text("from the other"), done())
        reload(
            started,
            r"needs a restart: server\.port, server\.max_streams\b",
            model={"endpoint": other.base_url, "options": {"num_ctx": 512, "brand_new": 1}},
            server={
                "auth_token": TOKEN,
                "trusted_hosts": ["chat.example"],
                "max_streams": 9,
                "port": 1,
                "max_body_bytes": 1024,
            },
            logging={"format": "json", "level": "debug"},
        )
        named = {"Host": "chat.example", "Authorization": f"Bearer {TOKEN}"}
        assert started.get("/healthz").json["error"]["code"] == "untrusted_host"
        assert started.get("/api/status", {"Host": "chat.example"}).status == 401
        assert started.get("/api/status", named).json["max_streams"] == 1
        assert started.post("/api/chat", {"message": "x" * 2000}, named).json["error"]["code"] == "too_large"
        answer = started.post("/api/chat", {"message": "Hi", "stream": False}, named)
        assert answer.json["message"] == "from the other"
        lines = wait_for(lambda: [line for line in started.lines if '"message":"answer ended"' in line], "a JSON line")
        assert json.loads(lines[0])["run"] == answer.json["run_id"]
        assert other.chats[0].json["options"] == {"num_ctx": 512, "brand_new": 1}
        assert answer.json["stats"]["context"]["size"] == 512
        assert any("brand_new is not known here" in line for line in started.lines)
        assert not other.problems
    assert not ollama.chats


@pytest.mark.parametrize("said", ["", "Half"])
def test_an_answer_that_waits_follows_a_corrected_address(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, said: str
) -> None:
    """Parametrized: the answer waits from its start on, or since its Ollama went away."""
    started = gateway(
        model={"endpoint": ollama.base_url if said else f"http://127.0.0.1:{free_port()}"},
        stream={"retry_seconds": 600, "heartbeat_seconds": 600},
    )
    ollama.script(text(said), drop())
    with ScriptedOllama() as other:
        other.default(text(" and whole"), done())
        with started.stream("Hi") as stream:
            if said:
                stream.read_text(said)
                ollama.stop()
            stream.read_until(lambda event: event.data.get("status") == "waiting")
            reload(
                started,
                r"reloaded: model\.endpoint, model\.model_name, stream\.heartbeat_seconds$",
                model={"endpoint": other.base_url, "model_name": "other:1b"},
                stream={"heartbeat_seconds": 0.1},
            )
            stream.read_all()
        sse.check(stream.events)
        assert sse.text_of(stream.events) == f"{said} and whole"
        assert not any(event.is_ping for event in stream.events), "the limits are those that it began with"
        assert other.chats[-1].json["model"] == "qwen3:32b", "the model, too"
        assert not other.problems


def test_session_limits_change(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:  # noqa: ARG001
    started = gateway()
    ids = [started.post("/api/chat", {"message": "Hi", "stream": False}).json["session_id"] for _ in range(4)]
    reload(started, session={"max_sessions": 2})
    ids.append(started.post("/api/chat", {"message": "Hi", "stream": False}).json["session_id"])
    assert [started.get(f"/api/sessions/{each}").status for each in ids] == [404, 404, 404, 200, 200]


def test_a_wrong_file_changes_nothing(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:  # noqa: ARG001
    started = gateway()
    reload(
        started,
        r'ERROR clawgate: not reloaded: .*config\.yaml: stream\.smoothing_ms: expected .* got "x"$',
        model={"model_name": "other:1b"},
        stream={"smoothing_ms": "x"},
    )
    assert started.get("/api/status").json["model"] == "qwen3:32b"
    rewrite(started, server={"prot": 1})
    started.kill_worker()  # its successor has the configuration in force, not the file's
    assert started.get("/api/status").json["model"] == "qwen3:32b"
    assert started.is_running


def test_a_worker_that_crashed_comes_back_with_what_was_reloaded(
    gateway: Callable[..., Gateway],
    ollama: ScriptedOllama,  # noqa: ARG001
) -> None:
    started = gateway(server={"max_streams": 3})
    reload(started, model={"model_name": "other:1b"}, server={"max_streams": 50})
    started.kill_worker()
    status = started.get("/api/status").json
    assert (status["model"], status["max_streams"]) == ("other:1b", 3)


def test_a_longer_grace_counts(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    released = threading.Event()
    ollama.default(text("Half"), wait(released), text(" and whole"), done())
    started = gateway(server={"graceful_seconds": 0}, stream={"stall_seconds": 600})
    reload(started, server={"graceful_seconds": 600})
    with started.stream("Hi") as stream:
        stream.read_text("Half")
        started.signal(signal.SIGTERM)
        wait_for(lambda: started.get("/readyz").json.get("reason") == "shutting_down", "the gateway drains")
        released.set()
        assert sse.text_of(stream.read_all()) == " and whole"
    assert started.wait() == 0


def test_many_at_once_do_no_harm(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    ollama.default(text("Half"), hang())
    started = gateway(stream={"stall_seconds": 600})
    worker = started.worker_pid
    with started.stream("Hi") as stream:
        stream.read_text("Half")
        for number in range(20):
            rewrite(started, model={"model_name": f"m:{number}"})
            started.signal(signal.SIGHUP)  # some become one on the way, as signals do; the last file counts
        wait_for(lambda: started.get("/api/status").json["model"] == "m:19", "the last change is in force")
        assert started.post("/api/interrupt", {"run_id": stream.events[0].data["run_id"]}).json["interrupted"]
        sse.check([*stream.events, *stream.read_all()])
    assert started.worker_pid == worker
    assert "Traceback" not in started.log
