"""An id opens a session or ends a run: below debug no line holds one, and a keyed hash joins what belongs together."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.live.test_logs import level_of, pairs_of
from tests.support.client import call
from tests.support.gateway import Gateway, write_config
from tests.support.ollama import ScriptedOllama, done, error_line, hang, text
from tests.support.tools import wait_for

HASH = re.compile("[0-9a-f]{10}")
FAULTY = """
from clawgate.cli import main
from clawgate.relay.desk import Desk
from clawgate.relay.intake import Intake

def failing(whole, session_of):
    def fail(self, *rest):
        if session_of(self, *rest).endswith("-faulty"):
            raise KeyError(session_of(self, *rest))
        return whole(self, *rest)
    return fail

Desk.session = failing(Desk.session, lambda desk, session_id: session_id)
Intake.take = failing(Intake.take, lambda intake, *_: intake._run.session_id)
raise SystemExit(main())
"""
"""The gateway with two faults that name the session, as an unforeseen KeyError does."""
COMMAND = (sys.executable, "-c", FAULTY, "serve")
STREAM = {"smoothing_ms": 0, "stall_seconds": 30, "first_frame_seconds": 0.5, "retry_seconds": 0, "unload_wedged": True}


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_id_is_logged_at_info(gateway: Callable[..., Gateway], ollama: ScriptedOllama, form: str) -> None:
    started = gateway(command=COMMAND, stream=STREAM, logging={"format": form})
    ids = live(started, ollama)
    started.kill_worker()
    ids |= talk(started, "own-after")
    assert started.terminate() == 0

    assert len(ids) > 12
    found = {each for each in ids if each in started.log}
    assert not found
    assert "KeyError" in started.log, "the faults are logged"
    lines = [line for line in started.lines if line not in started.stdout and not line.startswith((" ", "Traceback"))]
    pairs = [pairs_of(line, form) for line in lines if re.search('request: |answer |hangs|"session":', line)]
    for each in pairs:
        for name in {"session", "run"} & each.keys():
            assert HASH.fullmatch(each[name]) or each[name] == "-", each
    for title in ("answer ended", "answer failed", "request failed", "a slot of Ollama's hangs"):
        assert any(title in line for line in lines), title
    assert any(re.search(r"path\W+/api/sessions/[0-9a-f]{10}\b", line) for line in lines)


def test_a_hash_joins_the_lines_of_a_session_through_a_reload_and_a_new_worker(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    ollama.default(text("a"), done())
    started = gateway()
    talk(started, "own-joined")
    config = {**started.config, "logging": {"format": "json"}}
    started.config_file.write_text(write_config(config, started.config_file.parent / "new").read_text())
    started.signal(signal.SIGHUP)
    started.wait_for_line("reloaded: ")
    talk(started, "own-joined")
    wait_for(lambda: sum("/api/sessions/" in line for line in started.lines) == 2, "the last request is logged")
    started.kill_worker()
    talk(started, "own-joined")
    talk(started, "own-other")
    assert started.terminate() == 0
    texts, objects = ([line for line in started.lines if mark in line] for mark in ("answer ended: ", '"answer ended"'))
    hashes = [pairs_of(line, "text")["session"] for line in texts] + [
        pairs_of(line, "json")["session"] for line in objects
    ]
    assert len(hashes) == 4
    assert len(set(hashes[:3])) == 1
    assert hashes[3] != hashes[0]
    viewed = [line for line in started.lines if f"/api/sessions/{hashes[0]}" in line]
    assert len(viewed) == 3, "the path has the same hash"


def test_whole_ids_are_logged_at_debug(gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    started = gateway(command=COMMAND, stream=STREAM, logging={"level": "debug"})
    ids = live(started, ollama)
    assert started.terminate() == 0
    assert not {each for each in ids if each not in started.log}
    lines = [line.rstrip("\n") for line in started.lines if "answer ended" in line]
    assert {level_of(line, "text") for line in lines} == {"info"}
    assert all(pairs_of(line, "text")["session"] in ids for line in lines)


def talk(gateway: Gateway, session_id: str | None) -> set[str]:
    """Ask, look at the session, and return the ids of both."""
    given = {"session_id": session_id} if session_id else {}
    body = {"messages": [{"role": "user", "content": "Hi"}], "stream": False, **given}
    answer = gateway.post("/api/chat", body)
    gateway.get(f"/api/sessions/{answer.json['session_id']}")
    return {answer.json["session_id"], answer.json["run_id"]}


def live(gateway: Gateway, ollama: ScriptedOllama) -> set[str]:
    """Do everything that has an id, with and without success, and return all ids."""
    ollama.default(text("a"), done())
    ids = talk(gateway, None) | talk(gateway, "own-chosen")
    ollama.script(text("a"), error_line("out of memory"))
    ids |= ids_of(gateway, {"message": "Hi"})
    ollama.script(hang())
    ids |= ids_of(gateway, {"message": "wedged"})
    ids |= ids_of(gateway, {"messages": [{"role": "user", "content": "Hi"}], "session_id": "own-pump-faulty"})
    ollama.script(text("a"), hang())
    with gateway.stream("cut in") as stream:
        start = stream.read_text("a")[0].data
        gateway.post("/api/interrupt", {"run_id": start["run_id"]})
        stream.read_all()
    ids |= {start["session_id"], start["run_id"]}
    for method, path, body in refused(start["session_id"]):
        reply = call(method, gateway.base_url, path, body)
        assert reply.status >= 300, (method, path)
    gateway.post("/api/interrupt", {"session_id": "own-chosen", "run_id": "own-late-run"})
    assert gateway.delete(f"/api/sessions/{start['session_id']}").status == 204
    return ids | {"own-faulty", "own-unknown"}


def ids_of(gateway: Gateway, body: dict[str, Any]) -> set[str]:
    with gateway.stream(body) as stream:
        start = stream.read_all()[0].data
    return {start["session_id"], start["run_id"]}


def refused(session_id: str) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Make requests with a session's id that are refused."""
    return [
        ("GET", "/api/sessions/own-faulty", None),
        ("GET", "/api/sessions/own-unknown", None),
        ("DELETE", "/api/sessions/own-unknown", None),
        ("PUT", f"/api/sessions/{session_id}", None),
        ("GET", f"/api/sessions/{session_id}/own-unknown", None),
        ("GET", f"/api//sessions/%20{session_id}", None),
        ("GET", f"/api/session/{session_id}", None),
        ("GET", f"/nowhere/{session_id}", None),
        ("GET", "/api/sessions%2F'own-unknown'", None),
        ("POST", "/api/chat", {"session_id": "own-unknown", "message": "Hi"}),
        ("POST", "/api/chat", {"session_id": session_id, "message": 5}),
        ("POST", "/api/chat", {"session_id": session_id, "message": "Hi", "model": "none"}),
        ("POST", "/api/interrupt", {"session_id": "own-unknown"}),
    ]
