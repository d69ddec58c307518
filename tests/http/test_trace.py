"""The caller and the request id come from a trusted proxy only, and go through the whole chain."""

from __future__ import annotations

import re

from tests.http.asking import ask, configured, finish, opening
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama

pytestmark = configured(server={"max_streams": 5})

MADE = re.compile(r"[0-9a-f]{32}")


def test_an_id_goes_through_the_whole_chain(gate: Gateway, upstream: ScriptedOllama) -> None:
    with gate.stream("Hi", headers={"X-Request-Id": "req-7.of_nginx"}) as stream:
        events = finish(stream)
        assert stream.headers["X-Request-Id"] == "req-7.of_nginx"
        assert stream.headers["X-Run-Id"] == events[0].data["run_id"]
    assert upstream.chats[0].headers["X-Request-Id"] == "req-7.of_nginx"
    gate.wait_for_line(r"answer ended: .* request=req-7\.of_nginx ")
    gate.wait_for_line(
        r'gunicorn\.access: request: client=127\.0\.0\.1 method=POST path="/api/chat" status=200 .*of_nginx'
    )


def test_who_brings_no_id_gets_one_and_refusals_carry_theirs(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-traced"))
    ids = {upstream.chats[0].headers["X-Request-Id"]}
    for reply in (gate.get("/healthz"), gate.get("/nowhere"), gate.post("/api/chat", {})):
        ids.add(reply.headers["X-Request-Id"])
    assert len(ids) == 4
    assert all(MADE.fullmatch(each) for each in ids)
