"""A session's id is the key to it: it cannot be guessed, opens nothing else, and forges no header and no log line."""

from __future__ import annotations

import json
import random
import re
import threading
from typing import Any

import pytest

from tests.http.asking import configured, exchange, opening
from tests.support.client import call
from tests.support.gateway import Gateway
from tests.support.ollama import Act, Answer, ScriptedOllama, done, text
from tests.support.ollama import call as acting
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0}, server={"max_streams": 32})
EVIL = "X-Evil"
TRICKS = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%5c",
    "s%2Fhidden",
    "s%252Fhidden",
    "s%00",
    "s%0d%0aX-Evil:%201",
    "s%0aforged%20log%20line",
    "s%1b%5b31m",
    "s%20",
    "%20s",
    "s%C3%A9",
    "%ff",
    "s%E2%80%A8",
    "s;a=b",
    "s:1",
    "s'--",
    "*",
    "s" * 129,
    "s" * 3000,
    "s?session_id=other",
    "s%3Fx",
    "s%23x",
    "{{7*7}}",
    "%25s%25n",
]


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: trick[:30])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_trick_in_the_path_is_404_and_goes_nowhere(
    gate: Gateway, upstream: ScriptedOllama, method: str, trick: str
) -> None:
    before = gate.log.count("\n")
    reply = call(method, gate.base_url, f"/api/sessions/{trick}")
    assert reply.status == 404
    assert reply.json["error"]["code"] in ("unknown_session", "not_found")
    assert EVIL not in reply.headers
    assert trick not in json.dumps(reply.json), "what was asked for is not said again"
    shown = reply.headers.get("X-Session-Id", "s")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,128}", shown)
    wait_for(lambda: gate.log.count("\n") > before, "the request is logged")
    for line in gate.log.splitlines()[before:]:
        assert re.match(r"\d{4}-\d\d-\d\d ", line), f"a line that the gateway did not begin: {line!r}"
        assert line.isprintable()
    assert upstream.asked == []


@pytest.mark.parametrize("field", ["session_id", "run_id"])
@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\n", "\0", "../x", "a/b", "a" * 129, "", " ", "é", "a\u2028", "%0d%0a"]
)
def test_a_trick_in_a_body_is_refused(gate: Gateway, upstream: ScriptedOllama, field: str, value: str) -> None:
    bodies = [("/api/interrupt", {field: value})]
    if field == "session_id":
        bodies.append(("/api/chat", {"message": "hi", "session_id": value}))
    for path, body in bodies:
        reply = gate.post(path, body)
        assert (reply.status, reply.json["error"]["code"]) == (400, "bad_request")
        assert reply.json["error"]["message"].startswith(f"{field}: expected 1 to 128")
        assert not {EVIL, "X-Session-Id"} & set(reply.headers)
    assert upstream.asked == []


@pytest.mark.parametrize(
    "header", ["User-Agent", "Referer", "X-Forwarded-For", "X-Request-Id", "Origin", "Accept-Language"]
)
def test_a_header_forges_no_line_in_the_log(gate: Gateway, header: str) -> None:
    earlier = gate.get("/api/chat").headers["X-Request-Id"]
    wait_for(lambda: f"{earlier}\n" in gate.log, "the request before is logged, which is after its answer")
    before = gate.log.count("\n")
    head = b"GET /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    assert exchange(gate, head + b"%b: a\x85b\xe2\x80\xa8c\xff\r\n\r\n" % header.encode())
    wait_for(lambda: gate.log.count("\n") > before, "the request is logged")
    lines = gate.log.splitlines()[before:]
    assert len(lines) == 1, lines
    assert lines[0].isprintable()


def test_unknown_sessions_all_look_the_same(gate: Gateway, upstream: ScriptedOllama) -> None:
    """A session that never was, a deleted one and an impossible id are answered alike."""
    gate.post("/api/chat", {**opening("s-gone"), "stream": False})
    assert gate.delete("/api/sessions/s-gone").status == 204
    unknown = ["s-gone", "s-never", "sess_" + "0" * 32, "x" * 128]
    for method, path, body in (
        ("GET", "/api/sessions/{}", None),
        ("DELETE", "/api/sessions/{}", None),
        ("POST", "/api/interrupt", {"session_id": "{}"}),
        ("POST", "/api/chat", {"message": "hi", "session_id": "{}"}),
        ("POST", "/api/chat", {"continue": True, "session_id": "{}"}),
    ):
        seen = set()
        for session_id in unknown:
            given = {name: session_id if value == "{}" else value for name, value in (body or {}).items()}
            reply = call(method, gate.base_url, path.format(session_id), given or None)
            kept = {name.lower() for name in reply.headers} - {"date"}
            seen.add((reply.status, json.dumps(reply.json), tuple(sorted(kept))))
        assert len(seen) == 1, (method, path, seen)
        assert next(iter(seen))[0] == 404
    assert len(upstream.chats) == 1


def test_ids_are_128_random_bits(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("a"), done())
    found = [gate.post("/api/chat", {"message": "hi", "stream": False}).json for _ in range(30)]
    for name, prefix in (("session_id", "sess_"), ("run_id", "run_")):
        ids = [each[name] for each in found]
        assert len(set(ids)) == len(ids)
        assert all(re.fullmatch(prefix + "[0-9a-f]{32}", each) for each in ids)
        for place in range(32):
            assert len({each[len(prefix) + place] for each in ids}) > 1, f"digit {place} is always the same"


def test_there_is_no_listing(gate: Gateway) -> None:
    for path in ("/api/sessions", "/api/sessions/", "/api/sessions/*", "/api/sessions/.", "/api/sessions//"):
        for method in ("GET", "DELETE", "POST", "PUT"):
            assert call(method, gate.base_url, path).status in (404, 405, 308)


def test_a_late_interrupt_by_a_foreign_run_hits_nobody(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("a"), done())
    mine = gate.post("/api/chat", {**opening("s-mine"), "stream": False}).json
    theirs = gate.post("/api/chat", {**opening("s-theirs"), "stream": False}).json
    reply = gate.post("/api/interrupt", {"session_id": "s-mine", "run_id": theirs["run_id"]})
    assert (reply.status, reply.json["interrupted"]) == (200, False)
    assert "partial" not in reply.json
    assert mine["run_id"] != theirs["run_id"]


def repeating() -> Act:
    """Play a model that repeats, in pieces, what it was last asked: each session has a word of its own."""

    def play(answer: Answer) -> None:
        for word in answer.request.messages[-1]["content"].split():
            text(word + " ").play(answer)
        done().play(answer)

    return acting(play)


@pytest.mark.parametrize("seed", range(3))
def test_no_session_ever_hears_another(gate: Gateway, upstream: ScriptedOllama, seed: int) -> None:
    """Many clients chat, continue, supersede, look and delete in any order; each sees its own word alone."""
    upstream.default(repeating())
    strays: list[str] = []

    def live(number: int) -> None:
        choose = random.Random(f"{seed}:{number}")
        own = f"word{number}x"
        session_id = f"s-{seed}-{number}"
        gate.post("/api/chat", {**opening(session_id, f"{own} " * 5), "stream": False})
        for _ in range(12):
            seen = step(choose, session_id, f"{own} " * choose.randint(1, 40))
            strays.extend(f"{own}: {other}" for other in re.findall(r"word\d+x", seen) if other != own)

    def step(choose: random.Random, session_id: str, words: str) -> str:
        body: dict[str, Any] = {"message": words, "session_id": session_id}
        act = choose.choice(["stream", "whole", "history", "leave", "interrupt", "view", "delete"])
        if act == "stream":
            with gate.stream(body) as stream:
                stream.read_all() if stream.status == 200 else stream.read_body()
                return stream.received.decode()
        if act == "leave":
            with gate.stream(opening(session_id, words)) as stream:
                stream.read_event()
                return stream.received.decode()
        if act == "whole":
            return json.dumps(gate.post("/api/chat", {**body, "stream": False}).json)
        if act == "history":
            return json.dumps(gate.post("/api/chat", {**opening(session_id, words), "stream": False}).json)
        if act == "interrupt":
            return json.dumps(gate.post("/api/interrupt", {"session_id": session_id}).json)
        if act == "view":
            return json.dumps(gate.get(f"/api/sessions/{session_id}").json)
        gate.delete(f"/api/sessions/{session_id}")
        return ""

    threads = [threading.Thread(target=live, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert strays == []
    for request in upstream.chats:
        words = {word for message in request.messages for word in re.findall(r"word\d+x", message["content"])}
        assert len(words) == 1, "a question to Ollama has one session's words"
