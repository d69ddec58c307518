"""The gateway's log: every line has its form, none is below its level, and none holds a message or a token."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.support import sse
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, chunk, done, drop, error_line, hang, text, thinking
from tests.support.proc import children_of
from tests.support.tools import DEADLINE_S

SAID = "zorblax"
"""A word that stands in every message, on the way in and on the way out."""
TOKEN = "t0ken-quux-98765"
GUESS = "guess-quux-4321"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) (?P<logger>[a-z.]+): .+")


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_have_their_form_and_tell_no_secret(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, form: str
) -> None:
    started = gateway(
        server={"auth_token": TOKEN}, logging={"level": "debug", "format": form}, stream={"smoothing_ms": 10}
    )
    converse(started, ollama)
    misbehave(started)
    children = children_of(started.pid)
    started.kill_worker()
    assert started.post("/api/chat", {"message": SAID, "stream": False}, BEARER).status == 200
    assert started.terminate() == 0

    lines = [line.rstrip("\n") for line in started.lines if line not in started.stdout]
    for line in lines:
        assert level_of(line, form) in ("debug", "info", "warning", "error"), line
    for secret in (SAID, TOKEN, GUESS):
        assert secret not in started.log
    ended = [pairs_of(line, form) for line in lines if "answer ended" in line]
    assert {pairs["reason"] for pairs in ended} >= {"stop", "interrupted", "upstream_error", "upstream_bad_frames"}
    whole = next(pairs for pairs in ended if pairs["reason"] == "stop")
    forms = {"session": "sess_[0-9a-f]{32}", "run": "run_[0-9a-f]{32}", "request": "[0-9a-f]{32}", "model": "qwen3:32b"}
    assert all(re.fullmatch(pattern, whole[name]) for name, pattern in forms.items())
    assert all(whole[name].isdigit() for name in ("tokens", "first_token_ms", "duration_ms"))
    assert str(len(SAID)) in {pairs["bytes"] for pairs in ended if pairs["reason"] == "stop"}
    assert whole["run"] in {pairs_of(line, form).get("run") for line in lines if "gunicorn.access" in line}
    assert any(str(children[0]) in line for line in lines), "the killed worker is not mentioned"


@pytest.mark.parametrize(
    ("level", "expected"), [("info", {"info", "warning"}), ("warning", {"warning"}), ("error", set())]
)
def test_lines_below_the_level_are_not_logged(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, level: str, expected: set[str]
) -> None:
    ollama.script(error_line("out of memory"))  # a warning; an answer's end is an info
    started = gateway(logging={"level": level, "format": "json"})
    with started.stream("Hi") as stream:
        assert sse.end_of(stream.read_all())["error"]["code"] == "upstream_error"
    assert started.terminate() == 0
    lines = [line for line in started.lines if line not in started.stdout]
    assert {level_of(line, "json") for line in lines} == expected


def test_development_cors_is_said(gateway: Callable[..., Gateway]) -> None:
    started = gateway(server={"cors_allowed_origins": ["*"]})
    started.wait_for_line(r"WARNING clawgate: server\.cors_allowed_origins is \*: every page may use this gateway")


def converse(gateway: Gateway, ollama: ScriptedOllama) -> None:
    """Ask for answers of every kind, with the word in all of them."""
    ollama.default(text(SAID), done())
    ollama.script(thinking(SAID), text(SAID), drop())
    ollama.script(text(SAID), done())
    ollama.script(text(SAID), error_line("out of memory"))
    ollama.script(text(SAID), *[chunk(f'{{"message": {SAID}\n'.encode())] * 3, hang())
    history: dict[str, Any] = {"messages": [{"role": "user", "content": SAID}]}
    for body in ({"message": SAID}, history, {"message": SAID}):
        with gateway.stream(body, headers=BEARER) as stream:
            sse.check(stream.read_all())
    ollama.script(text(SAID), hang())
    with gateway.stream({"message": SAID}, headers=BEARER) as stream:
        session_id = stream.read_text(SAID)[0].data["session_id"]
        gateway.post("/api/interrupt", {"session_id": session_id}, BEARER)
        stream.read_all()
    for more in ({"message": SAID}, {"continue": True}):
        gateway.post("/api/chat", {**more, "session_id": session_id, "stream": False}, BEARER)


def misbehave(gateway: Gateway) -> None:
    """Make requests that are refused, with the word and tokens in them."""
    for headers in ({"Authorization": f"Bearer {GUESS}"}, {"Authorization": GUESS}, {"X-Clawgate-Token": GUESS}, {}):
        assert gateway.post("/api/chat", {"message": SAID}, headers).status == 401
    for body in (b"{" + SAID.encode(), {"message": [SAID]}, {SAID: SAID}, {"message": SAID, "model": SAID}):
        assert gateway.post("/api/chat", body, BEARER).status in (400, 403)
    assert gateway.get(f"/nowhere?token={TOKEN}").status == 404
    longer = post(gateway, "Content-Length: 2\r\n\r\n{}" + f'"message": "{SAID} one two"}}\r\n\r\n')
    assert b"400 Bad Request" in longer, "what is beyond the announced length is a next request"
    for name in ("Authorization", "X-Clawgate-Token"):
        assert b"400 Bad Request" in post(gateway, f"{name} : {GUESS}\r\n\r\n")
        assert b"400 Bad Request" in post(gateway, f"{name}: {TOKEN}\x01\r\n\r\n")
    assert post(gateway, f"Authorization: Bearer {TOKEN}", is_whole=False) == b""


def post(gateway: Gateway, rest: str, *, is_whole: bool = True) -> bytes:
    """Send a chat request that ends with these lines, say nothing more, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE_S) as sock:
        sock.sendall(f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n{rest}".encode())
        if not is_whole:
            sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_body_that_is_cut_or_garbled_is_not_logged(gateway: Callable[..., Gateway]) -> None:
    started = gateway(logging={"level": "debug"})
    chunked = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    for body in (f"{SAID} as a size\r\n", f"4\r\n{SAID} is longer\r\n"):
        assert post(started, chunked + body).startswith(b"HTTP/1.1 400 ")
    post(started, f"{chunked}40\r\n{SAID}", is_whole=False)
    assert started.get("/healthz").status == 200
    assert started.terminate() == 0
    assert SAID not in started.log
    assert "Traceback" not in started.log, "a client's mistake is told as ours"


def pairs_of(line: str, form: str) -> dict[str, str]:
    """Return the key-value pairs of a line."""
    if form == "json":
        return {name: str(value) for name, value in json.loads(line).items()}
    return dict(re.findall(r"(\w+)=(\S+)", line))


def level_of(line: str, form: str) -> str:
    """Return a line's level.

    Errors: AssertionError for a line that has not the form.
    """
    if form == "text":
        found = LINE.fullmatch(line.rstrip("\n"))
        assert found, f"not a line of the log: {line!r}"
        return found["level"].lower()
    entry = json.loads(line)
    assert {"time", "level", "logger", "message"} <= entry.keys()
    assert all(isinstance(value, str | int) and value != "-" for value in entry.values()), entry
    assert datetime.fromisoformat(entry["time"]).tzinfo is not None
    return str(entry["level"])
