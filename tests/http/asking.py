"""Steps that many HTTP tests take: read a stream to its end and judge it, interrupt it, bring it to a phase."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from tests.support import sse
from tests.support.answer import Answer
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import Act, Request, call, text
from tests.support.sse import Event
from tests.support.tools import DEADLINE_S, wait_for

CLOSE_S = 1.0
"""The time that a close to Ollama may take on a loaded machine. The contract says 50 or 300 ms; bench/ measures it."""


def configured(**sections: dict[str, Any]) -> pytest.MarkDecorator:
    """Configure the gateway of a module (`pytestmark = …`) or of a test; see conftest.py."""
    return pytest.mark.parametrize("gate", [sections], indirect=True, scope="module")


DETACHED = {"on_disconnect": "detach"}


def opening(session_id: str, words: str = "hi", **fields: Any) -> dict[str, Any]:
    """Return the body that begins (or begins anew) a session under an id of the test's own."""
    return {"messages": [{"role": "user", "content": words}], "session_id": session_id, **fields}


def finish(stream: StreamClient) -> list[Event]:
    """Read a stream to its proper end and return all of its events, also those read before."""
    stream.read_all()
    sse.check(stream.events)
    assert stream.complete, "the terminating chunk is missing"
    assert stream.events[0].data.keys() >= {"session_id", "run_id", "model"}, stream.events[0]
    return stream.events


def ask(gate: Gateway, json: Any) -> list[Event]:
    """Ask and return the events of the whole answer."""
    with gate.stream(json) as stream:
        return finish(stream)


def start(stream: StreamClient) -> dict[str, Any]:
    """Read the start event and return its data."""
    event = stream.read_event()
    assert event is not None, "the stream ended at once"
    return event.data


def said(events: list[Event]) -> list[dict[str, Any]]:
    """Return the data of the events between start and end, without pings."""
    return [event.data for event in events[1:-1] if not event.is_ping]


def reason(events: list[Event]) -> str:
    """Return how a stream ended; an error by its code."""
    end = sse.end_of(events)
    return str(end["error"]["code"] if "error" in end else end["done_reason"])


def interrupt(gate: Gateway, session_id: str | None = None, run_id: str | None = None) -> dict[str, Any]:
    """Interrupt and return the answer, which has to be a 200."""
    given = {"session_id": session_id, "run_id": run_id}
    reply = gate.post("/api/interrupt", {name: value for name, value in given.items() if value is not None})
    assert reply.status == 200, reply.json
    answer: dict[str, Any] = reply.json
    return answer


def session(gate: Gateway, session_id: str) -> dict[str, Any]:
    """Return a session's view, which has to be there."""
    reply = gate.get(f"/api/sessions/{session_id}")
    assert reply.status == 200, reply.json
    view: dict[str, Any] = reply.json
    return view


def streams_of(gateway: Gateway) -> int:
    """Return how many answers the gateway counts."""
    return gateway.streams


def contents(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return the messages as pairs of role and content."""
    return [(message["role"], message["content"]) for message in messages]


def assert_closed(request: Request) -> None:
    """Assert that the gateway has closed its connection for this request, or does so within the bound."""
    assert request.closed.wait(CLOSE_S), f"the connection to Ollama is still open after {CLOSE_S} s"


def refusal(reply: Reply) -> tuple[int, str, str]:
    """Return the status, the code and the message of a request that is refused in our own shape."""
    assert reply.headers["Content-Type"].startswith("application/json"), reply
    assert reply.json.keys() == {"error"}, reply
    assert reply.json["error"].keys() - {"words"} == {"code", "message"}, reply
    return reply.status, reply.json["error"]["code"], reply.json["error"]["message"]


def exchange(gate: Gateway, data: bytes, *, ends: bool = False) -> bytes:
    """Send raw bytes, shut the sending side where the test `ends` it, and return all that comes back."""
    with socket.create_connection(("127.0.0.1", gate.port), DEADLINE_S) as sock:
        sock.sendall(data)
        if ends:
            sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def read_to_end(sock: socket.socket) -> bytes:
    """Return all that comes back until the gateway closes."""
    answer = b""
    try:
        while piece := sock.recv(65536):
            answer += piece
    except ConnectionResetError:
        pass  # the gateway left a refused body unread, or a byte came after its close
    return answer


def routes_of(app: Flask) -> Iterator[tuple[str, Rule]]:
    """Yield each route once for each of its own methods."""
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
            yield method, rule


def path_of(rule: Rule) -> str:
    """Return an address of this rule: a session that does not exist, a file that does, the model."""
    path = rule.rule.replace("<session_id>", "s-nobody").replace("<path:filename>", "page/chat.js")
    return path.replace("<path:model>", "qwen3:32b")


def template_of(rule: Rule) -> str:
    """Return the rule as OpenAPI writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)


def wait_until_steady(value: Callable[[], int], for_s: float = 0.4) -> int:
    """Wait until a number stays the same for a while, as the bytes sent to a peer that has stopped reading do."""
    seen, since = value(), time.monotonic()

    def is_steady() -> bool:
        nonlocal seen, since
        now = value()
        if now != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since >= for_s

    wait_for(is_steady, "nothing more is taken")
    return seen


def flood(words: str) -> Act:
    """Send the words until the client closes, whether it reads or not."""

    def play(answer: Answer) -> None:
        while True:
            text(words).play(answer)

    return call(play)


def follow(gate: Gateway | Nginx, session_id: str, after: str | None = None, *, is_query: bool = False) -> StreamClient:
    """Read a session's answer on."""
    path = f"/api/sessions/{session_id}/stream"
    if after is not None and is_query:
        return StreamClient(gate.base_url, path=f"{path}?after={after}", method="GET")
    headers = {} if after is None else {"Last-Event-ID": after}
    return StreamClient(gate.base_url, path=path, method="GET", headers=headers)


def rest_of(stream: StreamClient) -> list[Event]:
    """Read a stream that began in the middle to its proper end, and return its events."""
    assert stream.status == 200
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    stream.read_all()
    sse.check(stream.events)
    assert stream.complete
    assert stream.received.startswith(b"retry: 1000\n\n")
    return [event for event in stream.events if not event.is_ping]


def leave_behind(gate: Gateway, session_id: str, words: str, **fields: Any) -> list[Event]:
    """Ask for an answer that may go on, read it as far as these words, and leave."""
    with gate.stream(opening(session_id, **{**DETACHED, **fields})) as stream:
        stream.read_text(words)
    return stream.events


def ids(events: list[Event]) -> list[str]:
    """Return the ids of the events."""
    return [event.id for event in events if event.id is not None]


def cut_at(stream: StreamClient, size: int) -> list[Event]:
    """Read so many bytes of a body, and return the events that are whole in them, without pings."""
    while len(stream.received) < size and not stream.complete:
        if stream.read_event() is None:
            break
    return [event for event in sse.SseReader().feed(stream.received[:size]) if not event.is_ping]
