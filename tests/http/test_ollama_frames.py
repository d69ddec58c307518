"""Ollama's clients get Ollama's frames: of chats and of prompts, streamed and whole, with interrupt and sessions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.http.asking import assert_closed, configured, contents, interrupt, opening, session
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ndjson import NDJSON, frames_in, read_frame, read_frames, text_in, timeless
from tests.support.ollama import (
    DEFAULT_STATS,
    Answer,
    ScriptedOllama,
    Step,
    call,
    done,
    drop,
    end,
    error_line,
    frame,
    hang,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.tools import wait_for

pytestmark = configured(
    model={"allowed_models": ["llama3.2:1b"]},
    stream={"smoothing_ms": 0, "stall_seconds": 30, "retry_seconds": 5},
)

MODEL = "qwen3:32b"
CALL = {"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": {"city": "北京", "a": 1}}}
SIGNS = "<b>&amp; 春光\u2028\u2029\u0085 \x7f\n"
CHAT = "/api/chat"
GENERATE = "/api/generate"
PATHS = pytest.mark.parametrize("path", [CHAT, GENERATE])


def body_of(path: str, **fields: Any) -> dict[str, Any]:
    """Return the body of a question by either way."""
    asked = {"messages": [{"role": "user", "content": "hi"}]} if path == CHAT else {"prompt": "hi"}
    return {"model": MODEL, **asked, **fields}


def ask(gate: Gateway, path: str, **fields: Any) -> StreamClient:
    """Ask for a stream of frames."""
    return gate.stream(body_of(path, **fields), path=path, headers=NDJSON)


def generated(response: str, **fields: Any) -> Step:
    """A frame of `/api/generate` as Ollama writes it, `thinking` before `done`."""
    said = {"response": response, **{name: fields.pop(name) for name in ("thinking",) if name in fields}}
    return frame({"model": "", "created_at": "2025-01-01T00:00:00Z", **said, "done": False, **fields})


def generated_end(done_reason: str = "stop") -> tuple[Step, Step]:
    """The last frame of `/api/generate`, and the proper end."""
    return generated("", done=True, done_reason=done_reason, context=[1, 2, 3], **DEFAULT_STATS), end()


def test_a_chats_frames_are_ollamas_bytes(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Byte for byte but for the moments; U+0085 is escaped too."""
    steps = [thinking("Hm"), texts(*SIGNS), tool_calls([CALL]), done()]
    upstream.script(*steps)
    with ask(gate, CHAT) as stream:
        relayed = stream.read_body()
        assert stream.headers["Content-Type"] == "application/x-ndjson"
        assert stream.headers["X-Run-Id"].startswith("run_")
        assert "X-Session-Id" not in stream.headers
    direct = bytes(upstream.chats[0].sent).replace("\u0085".encode(), rb"\u0085")
    assert timeless(relayed) == timeless(direct)
    assert len(relayed.decode().splitlines()) == len(frames_in(relayed))


def test_a_prompts_frames_are_ollamas_bytes(gate: Gateway, upstream: ScriptedOllama) -> None:
    said = [generated("", thinking="Hm"), generated("春<"), generated("光"), *generated_end("length")]
    upstream.script(*said, path=GENERATE)
    with ask(gate, GENERATE) as stream:
        relayed = stream.read_body()
    direct = bytes(upstream.requests[-1].sent)
    # Ollama's own order of `thinking` and `done`, which the script's dictionaries do not have
    assert timeless(relayed) == timeless(direct).replace(
        b'"done":false,"thinking":"Hm"', b'"thinking":"Hm","done":false'
    )
    last = json.loads(relayed.splitlines()[-1])
    assert [*last] == ["model", "created_at", "response", "done", "done_reason", "context", *DEFAULT_STATS]


def test_what_a_prompt_asks_goes_to_ollama_as_it_is(gate: Gateway, upstream: ScriptedOllama) -> None:
    free = {"suffix": "b", "template": "{{ .Prompt }}", "system": "s", "raw": True, "context": [1, 2]}
    more = {"think": "low", "format": "json", "options": {"seed": 1}, "keep_alive": "1h", "truncate": False}
    upstream.script(generated("ok"), *generated_end(), path=GENERATE)
    with ask(gate, GENERATE, **free, **more) as stream:
        assert text_in(read_frames(stream)) == "ok"
    assert upstream.requests[-1].json == {**body_of(GENERATE, **free, **more), "stream": True}


@PATHS
def test_a_whole_answer_is_one_object(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    if path == CHAT:
        upstream.script(thinking("Hm"), texts("春", "光"), tool_calls([CALL]), done())
    else:
        upstream.script(generated("", thinking="Hm"), generated("春"), generated("光"), *generated_end(), path=GENERATE)
    reply = gate.post(path, body_of(path, stream=False), NDJSON)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    answer = reply.json
    assert (answer.pop("model"), answer.pop("created_at")[:2]) == (MODEL, "20")
    if path == CHAT:
        message = {"role": "assistant", "content": "春光", "thinking": "Hm", "tool_calls": [CALL]}
        assert answer == {"message": message, "done": True, "done_reason": "stop", **DEFAULT_STATS}
    else:
        said = {"response": "春光", "thinking": "Hm", "context": [1, 2, 3]}
        assert answer == {**said, "done": True, "done_reason": "stop", **DEFAULT_STATS}


def test_accept_decides_the_form(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Only who does not take an event stream gets frames from `/api/chat`."""
    del upstream
    for accepted in ("application/json", "application/x-ndjson", "application/json, application/x-ndjson"):
        assert gate.post(CHAT, body_of(CHAT, stream=False), {"Accept": accepted}).json["message"]["content"] == "Hello."
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json, text/plain, */*"}):
        assert gate.post(CHAT, body_of(CHAT, stream=False), headers).json["message"] == "Hello."


@pytest.mark.parametrize("fields", [{}, {"stream": False}], ids=["streamed", "whole"])
@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        (CHAT, {"messages": []}, {"message": {"role": "assistant", "content": ""}}),
        (CHAT, {}, {"message": {"role": "assistant", "content": ""}}),
        (GENERATE, {"prompt": ""}, {"response": ""}),
        (GENERATE, {}, {"response": ""}),
    ],
)
def test_a_request_without_a_question_loads_and_unloads(
    gate: Gateway, upstream: ScriptedOllama, path: str, asked: dict[str, Any], said: dict[str, Any], fields: Any
) -> None:
    for keep_alive, reason in (("5m", "load"), (0, "unload"), ("0s", "unload")):
        body = {"model": MODEL, "keep_alive": keep_alive, "options": None, "session_id": "s-load", **asked, **fields}
        answer = gate.post(path, body, NDJSON).json
        assert [*answer] == ["model", "created_at", *said, "done", "done_reason"]
        assert {name: answer[name] for name in said} == said
        assert (answer["done"], answer["done_reason"]) == (True, reason)
        assert upstream.requests[-1].path == path
        assert upstream.requests[-1].json["keep_alive"] == keep_alive
    assert gate.get("/api/sessions/s-load").status == 404


@PATHS
def test_a_run_is_interrupted_by_its_id(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    upstream.script(text("half ") if path == CHAT else generated("half "), hang(), path=path)
    with ask(gate, path) as stream:
        assert text_in([read_frame(stream)]) == "half "
        answer = interrupt(gate, run_id=stream.headers["X-Run-Id"])
        assert_closed(upstream.requests[-1])
        rest = read_frames(stream)[1:]
    assert answer == {"session_id": None, "run_id": answer["run_id"], "interrupted": True, "partial": "half "}
    last = rest[-1]
    assert (text_in(rest), last["done"], last["done_reason"]) == ("", True, "interrupted")
    assert set(last) == {"model", "created_at", "message" if path == CHAT else "response", "done", "done_reason"}


@PATHS
def test_a_whole_answer_is_interrupted_too(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    upstream.script(text("half ") if path == CHAT else generated("half "), hang(), path=path)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(gate.post, path, body_of(path, stream=False, session_id="s-whole"), NDJSON)
        request = upstream.next_request(path=path)
        wait_for(lambda: request.sent, "the text was sent")
        wait_for(lambda: interrupt(gate, "s-whole")["partial"] == "half ", "it hit")
    answer = reply.result()
    assert (answer.status, answer.json["done_reason"], text_in([answer.json])) == (200, "interrupted", "half ")


@PATHS
@pytest.mark.parametrize("is_begun", [False, True], ids=["silent", "text"])
def test_a_client_that_leaves_closes_upstream(
    gate: Gateway, upstream: ScriptedOllama, path: str, is_begun: bool
) -> None:
    said = text("half ") if path == CHAT else generated("half ")
    upstream.script(*([said] if is_begun else []), hang(), path=path)
    with ask(gate, path) as stream:
        request = upstream.next_request(path=path)
        if is_begun:
            read_frame(stream)
    assert_closed(request)


def test_a_session_that_is_named_is_kept(gate: Gateway, upstream: ScriptedOllama) -> None:
    """By its header or its field; `messages` replaces what it had, and a prompt is a message of the user's."""
    upstream.script(text("春"), done())
    with gate.stream(body_of(CHAT), headers={**NDJSON, "X-Session-Id": "s-kept"}) as stream:
        read_frames(stream)
        assert stream.headers["X-Session-Id"] == "s-kept"
    assert contents(session(gate, "s-kept")["messages"]) == [("user", "hi"), ("assistant", "春")]
    upstream.script(generated("光"), *generated_end(), path=GENERATE)
    with ask(gate, GENERATE, session_id="s-kept", system="Be brief") as stream:
        read_frames(stream)
        assert stream.headers["X-Session-Id"] == "s-kept"
    assert contents(session(gate, "s-kept")["messages"]) == [
        ("system", "Be brief"),
        ("user", "hi"),
        ("assistant", "光"),
    ]


def test_an_interrupted_session_is_gone_on_with_in_frames(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("half "), hang())
    with ask(gate, CHAT, session_id="s-cut") as stream:
        read_frame(stream)
        assert interrupt(gate, "s-cut")["interrupted"] is True
        assert read_frames(stream)[-1]["done_reason"] == "interrupted"
    upstream.script(text("whole"), done())
    with gate.stream({"continue": True, "session_id": "s-cut"}, headers=NDJSON) as stream:
        assert text_in(read_frames(stream)) == "whole"
    assert contents(session(gate, "s-cut")["messages"])[-1] == ("assistant", "half whole")


def test_a_new_question_supersedes_the_session_s_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("old "), hang())
    with ask(gate, CHAT, session_id="s-super") as old:
        read_frame(old)
        with ask(gate, CHAT, session_id="s-super") as new:
            assert text_in(read_frames(new)) == "Hello."
        assert read_frames(old)[-1]["done_reason"] == "superseded"


def test_two_sessions_that_are_named_at_once_are_refused(gate: Gateway, upstream: ScriptedOllama) -> None:
    del upstream
    reply = gate.post(GENERATE, body_of(GENERATE, session_id="s-1"), {"X-Session-Id": "s-2"})
    assert (reply.status, [*reply.json]) == (400, ["error"])
    assert reply.json["error"].startswith("session_id: expected the session that X-Session-Id names")


@PATHS
def test_a_dropped_answer_is_one_answer(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    """A prompt is gone on with as the conversation that means the same."""
    said: list[Step] = [text("春光 ")] if path == CHAT else [generated("春光 ")]
    upstream.script(*said, drop(), path=path)
    upstream.script(text("明媚"), done())
    with ask(gate, path, options={"num_predict": 9}) as stream:
        frames = read_frames(stream)
    assert (text_in(frames), frames[-1]["done_reason"]) == ("春光 明媚", "stop")
    partial = {"role": "assistant", "content": "春光 "}
    assert upstream.chats[-1].json["messages"] == [{"role": "user", "content": "hi"}, partial]


def test_a_prompt_of_a_free_form_is_cut_where_it_is_dropped(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(generated("<think>a"), drop(), path=GENERATE)
    with ask(gate, GENERATE, raw=True) as stream:
        frames = read_frames(stream)
    assert (text_in(frames), frames[-1]["done_reason"]) == ("<think>a", "truncated")


def test_an_error_in_the_middle_is_the_last_line(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), error_line("the <model> failed"))
    with ask(gate, CHAT) as stream:
        body = stream.read_body()
        assert (stream.status, stream.complete) == (200, True)
    assert body.endswith(b'\n{"error":"the \\u003cmodel\\u003e failed"}\n')


def test_the_head_waits_for_the_first_words(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(wait(go), text("春"), done())
    with ask(gate, CHAT) as stream:
        upstream.next_request()
        with pytest.raises(TimeoutError):
            stream.read_headers(0.05)
        go.set()
        assert text_in(read_frames(stream)) == "春"


def test_a_repeated_question_gets_the_same_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A client that asks again under its key reads the answer on, and starts no second one."""
    go = threading.Event()
    upstream.script(text("春"), wait(go), text("光"), done())
    headers = {**NDJSON, "Idempotency-Key": "0123456789abcdef", "X-Session-Id": "s-again"}
    with gate.stream(body_of(CHAT), headers=headers) as first:
        read_frame(first)
        with gate.stream(body_of(CHAT), headers=headers) as second:
            assert text_in([read_frame(second)]) == "春"
            go.set()
            assert [text_in(read_frames(stream)) for stream in (first, second)] == ["春光", "春光"]
    assert len(upstream.chats) == 1


@pytest.mark.parametrize("name", [MODEL, "llama3.2:1b"])
def test_the_model_is_called_as_the_client_calls_it(gate: Gateway, upstream: ScriptedOllama, name: str) -> None:
    upstream.models.append("llama3.2:1b")
    with ask(gate, CHAT, model=name) as stream:
        assert {frame["model"] for frame in read_frames(stream)} == {name}


def paced(frames: list[Step], goes: list[threading.Event]) -> Callable[[Answer], None]:
    """Play each frame once the one before it has been read."""

    def play(answer: Answer) -> None:
        for step, go in zip(frames, goes, strict=True):
            answer.wait(go)
            step.play(answer)

    return play


def test_each_frame_leaves_as_it_comes(gate: Gateway, upstream: ScriptedOllama) -> None:
    goes = [threading.Event() for _ in range(4)]
    upstream.script(call(paced([text("a"), text(" "), text("b"), done()], goes)))
    with ask(gate, CHAT) as stream:
        read = []
        for go in goes:
            go.set()
            read.append(read_frame(stream))
    assert [text_in([each]) for each in read] == ["a", " ", "b", ""]


def test_a_session_opened_by_our_own_client_is_the_same(gate: Gateway, upstream: ScriptedOllama) -> None:
    with gate.stream(opening("s-mixed")) as stream:
        stream.read_all()
    upstream.script(text("again"), done())
    with gate.stream({"message": "and now?", "session_id": "s-mixed"}, headers=NDJSON) as stream:
        assert text_in(read_frames(stream)) == "again"
    assert [role for role, _ in contents(session(gate, "s-mixed")["messages"])] == ["user", "assistant"] * 2
