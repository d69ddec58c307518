"""A new message on a busy session, and more answers than there are slots."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.http.asking import (
    ask,
    assert_closed,
    configured,
    contents,
    finish,
    interrupt,
    opening,
    reason,
    session,
    streams_of,
)
from tests.support.answer import Answer
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, call, done, hang, headers, text, wait
from tests.support.sse import text_of
from tests.support.tools import wait_for

SLOTS = 1
SINGLE = configured(stream={"smoothing_ms": 0, "stall_seconds": 30}, server={"max_streams": SLOTS})
MANY = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})
PARALLEL = 10


class AtMostOne:
    """Play an answer that hangs, and note whether any earlier one was still connected when it began.

    Threads: the scripted Ollama's.
    """

    def __init__(self) -> None:
        self.overlaps = 0
        self._lock = threading.Lock()
        self._played: list[Answer] = []

    def play(self, answer: Answer) -> None:
        with self._lock:
            self.overlaps += sum(not is_hung_up(earlier) for earlier in self._played)
            self._played = [earlier for earlier in self._played if not earlier.is_over] + [answer]
        text("x").play(answer)
        answer.hang()


def is_hung_up(answer: Answer) -> bool:
    """Tell whether the client has closed: its FIN arrives before anything that it does later."""
    sock = answer._connection.sock  # the watcher's own event may be a moment late
    if answer.is_over:
        return True
    try:
        return not sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except (BlockingIOError, TimeoutError):
        return False
    except OSError:
        return True


@MANY
def test_a_new_message_ends_the_old_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("old "), hang())
    with gate.stream(opening("s-busy")) as old:
        old.read_text("old ")
        request = upstream.next_request()
        with gate.stream({"message": "new", "session_id": "s-busy"}) as new:
            follow_up = upstream.next_request()
            assert request.closed.is_set() or request.closed.wait(0.2)
            events = finish(new)
        assert reason(finish(old)) == "superseded"
    assert follow_up.messages == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "old "},
        {"role": "user", "content": "new"},
    ]
    assert reason(events) == "stop"
    assert contents(session(gate, "s-busy")["messages"])[1] == ("assistant", "old ")


@MANY
def test_a_request_that_cannot_be_served_ends_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("old "), wait(go), done())
    with gate.stream(opening("s-busy")) as old:
        old.read_text("old ")
        refused: list[tuple[dict[str, Any], int]] = [
            ({"message": "x", "on_busy": "reject"}, 409),
            ({"message": 5}, 400),
            ({"message": "x", "model": "nobody"}, 403),
            ({"messages": []}, 400),
            ({"message": "x", "on_busy": "wait"}, 400),
        ]
        for body, status in refused:
            assert gate.post("/api/chat", {**body, "session_id": "s-busy"}).status == status
        go.set()
        events = finish(old)
    assert (text_of(events), reason(events)) == ("old ", "stop")
    assert len(session(gate, "s-busy")["messages"]) == 2


@MANY
def test_reject_is_409_while_busy_and_served_at_rest(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("a"), wait(go), done())
    body = {"message": "x", "session_id": "s-polite", "on_busy": "reject"}
    with gate.stream(opening("s-polite")) as stream:
        stream.read_text("a")
        reply = gate.post("/api/chat", body)
        assert (reply.status, reply.json["error"]["code"]) == (409, "busy_session")
        assert reply.headers["X-Session-Id"] == "s-polite"
        go.set()
        finish(stream)
    assert reason(ask(gate, body)) == "stop"


@MANY
def test_a_superseded_answer_that_had_not_begun_leaves_an_empty_one(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(), hang())
    with gate.stream(opening("s-early")) as old:
        request = upstream.next_request()
        assert reason(ask(gate, {"message": "new", "session_id": "s-early"})) == "stop"
        assert_closed(request)
        assert reason(finish(old)) == "superseded"
    assert [message["content"] for message in upstream.chats[1].messages] == ["hi", "new"]


@MANY
def test_a_storm_on_one_session_never_connects_twice(gate: Gateway, upstream: ScriptedOllama) -> None:
    only = AtMostOne()
    upstream.default(call(only.play))

    def say(number: int) -> str:
        with gate.stream(opening("s-storm", f"m{number}")) as stream:
            return reason(finish(stream))

    with ThreadPoolExecutor(PARALLEL) as pool:
        said = [pool.submit(say, number) for number in range(30)]
        wait_for(lambda: sum(each.done() for each in said) == 29, "all but the last are superseded")
        assert interrupt(gate, "s-storm")["interrupted"] is True
    assert Counter(each.result() for each in said) == {"superseded": 29, "interrupted": 1}
    assert only.overlaps == 0
    wait_for(lambda: upstream.open_connections == 0, "the last connection is closed")


@MANY
def test_a_storm_of_every_kind_leaves_one_history(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Messages, interrupts, continues and views come at once: every stream ends once, and the context is whole."""
    only = AtMostOne()
    upstream.default(call(only.play))
    upstream.script(text("begun "), done())
    ask(gate, opening("s-mix"))
    statuses: Counter[int] = Counter()

    def act(number: int) -> None:
        kind = number % 4
        if kind == 0:
            with gate.stream({"message": f"m{number}", "session_id": "s-mix"}) as stream:
                assert reason(finish(stream)) in ("superseded", "interrupted")
        elif kind == 1:
            interrupt(gate, "s-mix")
        elif kind == 2:
            session(gate, "s-mix")
        else:
            with gate.stream({"continue": True, "session_id": "s-mix"}) as stream:
                statuses[stream.status] += 1
                if stream.status == 200:
                    assert reason(finish(stream)) in ("superseded", "interrupted")

    with ThreadPoolExecutor(PARALLEL) as pool:
        acts = [pool.submit(act, number) for number in range(80)]
        while not all(each.done() for each in acts):
            interrupt(gate, "s-mix")
    for each in acts:
        each.result()
    assert set(statuses) <= {200, 409}
    assert only.overlaps == 0
    messages = session(gate, "s-mix")["messages"]
    asked = [message["content"] for message in messages if message["role"] == "user"]
    assert sorted(asked) == sorted(["hi", *(f"m{number}" for number in range(0, 80, 4))])
    assert [message["role"] for message in messages] == ["user", "assistant"] * len(asked)


@SINGLE
def test_when_all_slots_are_taken_the_rest_still_answers(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), hang())
    with gate.stream(opening("s-only")) as stream:
        stream.read_text("a")
        reply = gate.post("/api/chat", opening("s-other"))
        assert (reply.status, reply.json["error"]["code"]) == (503, "busy")
        assert int(reply.headers["Retry-After"]) >= 1
        assert reply.headers["X-Session-Id"] == "s-other"
        assert gate.get("/api/sessions/s-other").status == 404, "what was refused leaves nothing"
        assert gate.get("/healthz").status == 200
        assert gate.get("/readyz").status == 200
        assert gate.get("/").status == 200
        assert session(gate, "s-only")["streaming"] is True
        assert streams_of(gate) == SLOTS
        assert interrupt(gate, "s-only")["partial"] == "a"
        finish(stream)
    assert len(upstream.chats) == 1


@SINGLE
def test_a_follow_up_takes_the_slot_of_the_old_answer(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("a"), hang())
    with gate.stream(opening("s-slot")) as old:
        old.read_text("a")
        with gate.stream({"message": "b", "session_id": "s-slot"}) as new:
            new.read_text("a")
            assert streams_of(gate) == SLOTS
            assert reason(finish(old)) == "superseded"
            assert streams_of(gate) == SLOTS
            assert gate.post("/api/chat", opening("s-third")).status == 503
            interrupt(gate, "s-slot")
            finish(new)


@SINGLE
def test_a_follow_up_at_once_after_an_interrupt_is_never_busy(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("a"), hang())
    old = gate.stream(opening("s-quick"))
    for _ in range(30):
        old.read_text("a")
        assert interrupt(gate, "s-quick")["interrupted"] is True
        new = gate.stream({"message": "b", "session_id": "s-quick"})
        assert new.status == 200, new.read_body()
        assert reason(finish(old)) == "interrupted"
        old.close()
        old = new
    interrupt(gate, "s-quick")
    finish(old)
    old.close()


@SINGLE
def test_a_storm_at_one_slot_is_never_busy(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("a"), hang())
    with gate.stream(opening("s-slot-storm")) as first:
        first.read_text("a")
        with ThreadPoolExecutor(PARALLEL) as pool:
            streams = [
                pool.submit(lambda: gate.stream({"message": "b", "session_id": "s-slot-storm"})) for _ in range(10)
            ]
            for each in streams:
                with each.result() as stream:
                    assert stream.status == 200
                    interrupt(gate, "s-slot-storm")
                    assert reason(finish(stream)) in ("superseded", "interrupted")
        assert reason(finish(first)) in ("superseded", "interrupted")


@SINGLE
def test_an_answer_that_has_ended_leaves_its_slot_to_anybody(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Another session's question is served as soon as the end is read."""
    for number in range(60):
        events = ask(gate, opening(f"s-row-{number}"))
        assert (text_of(events), reason(events)) == ("Hello.", "stop")
    assert len(upstream.chats) == 60
