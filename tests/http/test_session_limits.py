"""Sessions are bounded by number, by time and by bytes."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import pytest

from tests.http.asking import ask, configured, contents, finish, interrupt, opening, reason, session
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, status, text, wait
from tests.support.pictures import photo
from tests.support.sse import Event
from tests.support.tools import wait_for

TTL_S = 1.0
MAX_BYTES = 1024
FEW = configured(session={"max_sessions": 3}, stream={"smoothing_ms": 0, "stall_seconds": 30})
BRIEF = configured(session={"ttl_seconds": TTL_S}, stream={"smoothing_ms": 0, "stall_seconds": 30})
TIGHT = configured(
    session={"max_context_bytes": MAX_BYTES}, server={"max_body_bytes": 2 * MAX_BYTES}, stream={"smoothing_ms": 0}
)
REFUSED = status(400, {"error": "the input length exceeds the context length"})
SMALL = configured(session={"max_context_bytes": MAX_BYTES}, stream={"smoothing_ms": 0})


def start_of(events: list[Event]) -> int:
    """Return how many turns the start event says are gone."""
    dropped: int = events[0].data.get("dropped_turns", 0)
    assert dropped or "dropped_turns" not in events[0].data
    return dropped


def known(gate: Gateway, *session_ids: str) -> list[str]:
    """Return the sessions among these that exist. Looking counts as a use, in this order."""
    return [each for each in session_ids if gate.get(f"/api/sessions/{each}").status == 200]


@FEW
def test_the_least_recently_used_session_goes_first(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    for name in ("a", "b", "c"):
        ask(gate, opening(name))
    assert known(gate, "b", "c", "a") == ["b", "c", "a"]
    ask(gate, opening("d"))
    assert known(gate, "b") == [], "the one whose last look was the longest ago"
    ask(gate, {"message": "and?", "session_id": "c"})
    ask(gate, opening("e"))
    assert known(gate, "a", "c", "d", "e") == ["c", "d", "e"]


@FEW
def test_a_long_question_pushes_out_nobody(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    ask(gate, opening("a-short"))
    ask(gate, opening("a-long", "x" * 20_000))
    ask(gate, {"message": {"role": "user", "images": [photo(20_000)]}, "session_id": "a-short"})
    assert known(gate, "a-short", "a-long") == ["a-short", "a-long"]


@FEW
def test_a_session_with_an_answer_in_flight_is_not_evicted(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("half "), wait(go), text("more"), done())
    with gate.stream(opening("s-old")) as stream:
        stream.read_text("half ")
        for number in range(6):
            ask(gate, opening(f"f{number}"))
        assert known(gate, "s-old") == ["s-old"]
        go.set()
        assert reason(finish(stream)) == "stop"
    assert contents(session(gate, "s-old")["messages"])[-1] == ("assistant", "half more")


@FEW
def test_of_more_answers_than_sessions_each_finds_its_own(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.default(text("half "), hang())
    names = [f"s-many-{number}" for number in range(6)]
    streams = [gate.stream(opening(name)) for name in names]
    try:
        for stream in streams:
            stream.read_text("half ")
        for name, stream in zip(names, streams, strict=True):
            assert interrupt(gate, name)["partial"] == "half "
            assert known(gate, name) == [name], "just settled, it is the most recently used"
            finish(stream)
    finally:
        for stream in streams:
            stream.close()
    assert len(known(gate, *names)) <= 3


@BRIEF
def test_a_session_is_forgotten_after_its_time(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    ask(gate, opening("s-brief"))
    assert known(gate, "s-brief") == ["s-brief"]
    used_at = time.monotonic()
    wait_for(lambda: time.monotonic() > used_at + 1.5 * TTL_S, "its time is over")
    assert known(gate, "s-brief") == []
    assert gate.post("/api/chat", {"message": "hi", "session_id": "s-brief"}).status == 404


@BRIEF
def test_a_use_renews_the_time(gate: Gateway, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    ask(gate, opening("s-used"))
    ends_at = time.monotonic() + 2.5 * TTL_S
    while time.monotonic() < ends_at:
        assert known(gate, "s-used") == ["s-used"]


@BRIEF
def test_an_answer_longer_than_the_time_finds_its_session(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("half "), wait(go), text("more"), done())
    with gate.stream(opening("s-long")) as stream:
        stream.read_text("half ")
        started_at = time.monotonic()
        wait_for(lambda: time.monotonic() > started_at + 1.5 * TTL_S, "the time is over")
        ask(gate, opening("s-else"))
        go.set()
        assert reason(finish(stream)) == "stop"
    assert contents(session(gate, "s-long")["messages"]) == [("user", "hi"), ("assistant", "half more")]


@SMALL
def test_oldest_turns_go_first_and_system_messages_stay(gate: Gateway, upstream: ScriptedOllama) -> None:
    history = [{"role": "system", "content": "Be brief."}]
    for number in range(8):
        history += [{"role": "user", "content": f"{number} " + "问" * 60}, {"role": "assistant", "content": "答" * 20}]
    ask(gate, {"messages": [*history, {"role": "user", "content": "last"}], "session_id": "s-trim"})
    assert upstream.chats[0].messages == [*history, {"role": "user", "content": "last"}], "the request sends it all"
    kept = contents(session(gate, "s-trim")["messages"])
    assert kept[0] == ("system", "Be brief.")
    assert kept[-2:] == [("user", "last"), ("assistant", "Hello.")]
    assert kept[1][0] == "user", "whole turns go"
    assert 3 < len(kept) < len(history)
    ask(gate, {"message": "next", "session_id": "s-trim"})
    assert contents(upstream.chats[1].messages) == [*kept, ("user", "next")]


@SMALL
def test_each_turn_that_goes_is_told_once_by_a_start_event(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Whether the question or the answer was too long for it, and however the answer before ended."""
    told = start_of(ask(gate, opening("s-told")))
    with ExitStack() as readers:
        for number in range(1, 13):
            is_cut = number % 2 == 0  # by an interrupt, or by the next message
            upstream.script(text("答" * (1 + 40 * (number % 4))), hang() if is_cut else done())
            stream = readers.enter_context(gate.stream({"message": "问" * 30 * (number % 5), "session_id": "s-told"}))
            stream.read_text("答")
            told += start_of(stream.events)
            if is_cut:
                assert told == number + 1 - session(gate, "s-told")["turns"], "each turn that is gone was told"
            else:
                finish(stream)
            if number % 4 == 0:
                interrupt(gate, "s-told")
        assert told > 3
        whole = gate.post("/api/chat", {"message": "问" * 400, "session_id": "s-told", "stream": False}).json
    assert told + whole["dropped_turns"] == 13, "a whole answer tells it too"
    assert session(gate, "s-told")["turns"] == 1


@SMALL
def test_a_full_history_tells_what_is_not_kept_of_it(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-full", "问" * 300))
    upstream.script(text("答" * 300), done())
    ask(gate, {"message": "问" * 100, "session_id": "s-full"})
    history = [{"role": "user", "content": "问" * 200}, {"role": "user", "content": "b"}]
    assert start_of(ask(gate, {"messages": history, "session_id": "s-full"})) == 0, "the context before is replaced"
    history = [{"role": "user", "content": "问" * 400}] * 2 + history[1:] + [{"role": "user", "content": "c"}]
    assert start_of(ask(gate, {"messages": history, "session_id": "s-full"})) == 2
    assert upstream.chats[-1].messages == history, "the request sends it all"


@SMALL
def test_a_turn_larger_than_the_limit_is_kept_and_sent_whole(gate: Gateway, upstream: ScriptedOllama) -> None:
    question, answer = "问" * 2000, "答" * 2000
    upstream.script(text(answer), done())
    ask(gate, opening("s-large", question))
    assert contents(session(gate, "s-large")["messages"]) == [("user", question), ("assistant", answer)]
    ask(gate, {"message": question, "session_id": "s-large"})
    assert contents(upstream.chats[1].messages) == [("user", question), ("assistant", answer), ("user", question)]
    assert contents(session(gate, "s-large")["messages"]) == [("user", question), ("assistant", "Hello.")]


@SMALL
def test_an_interrupted_answer_survives_the_trimming(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-cut", "问" * 300))
    upstream.script(text("答" * 400), hang())
    with gate.stream({"message": "more", "session_id": "s-cut"}) as stream:
        stream.read_text("答" * 400)
        interrupt(gate, "s-cut")
        finish(stream)
    upstream.script(text("!"), done())
    ask(gate, {"continue": True, "session_id": "s-cut"})
    assert contents(upstream.chats[2].messages) == [("user", "more"), ("assistant", "答" * 400)]
    assert contents(session(gate, "s-cut")["messages"])[-1] == ("assistant", "答" * 400 + "!")


@TIGHT
@pytest.mark.parametrize("role", ["system", "tool"])
def test_no_role_lengthens_a_session_without_end(gate: Gateway, upstream: ScriptedOllama, role: str) -> None:  # noqa: ARG001
    session_id = f"s-{role}"
    ask(gate, opening(session_id))
    rule = {"role": role, "content": "x" * 500}
    statuses = [gate.post("/api/chat", {"message": rule, "session_id": session_id, "stream": False}).status]
    while statuses[-1] == 200 and len(statuses) < 20:
        before = session(gate, session_id)["messages"]
        reply = gate.post("/api/chat", {"message": rule, "session_id": session_id, "stream": False})
        statuses.append(reply.status)
    assert statuses == [200] * (len(statuses) - 1) + [413]
    assert reply.json["error"]["code"] == "too_large"
    assert "begin a new session" in reply.json["error"]["message"]
    kept = session(gate, session_id)["messages"]
    assert kept[: len(before)] == before
    assert sum(len(message["content"]) for message in kept) < 3 * MAX_BYTES + 100


@SMALL
def test_a_refused_message_pushes_out_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    """It may be refused for being long, and the next message is about the answers so far."""
    ask(gate, opening("s-full"))
    for words in ("a" * 300, "b" * 300):
        ask(gate, {"session_id": "s-full", "message": words})
    upstream.script(REFUSED)
    events = ask(gate, {"session_id": "s-full", "message": "c" * 900})
    assert (start_of(events), reason(events)) == (3, "upstream_refused")
    assert [content[:1] for _, content in contents(session(gate, "s-full")["messages"])] == [*"hHaHbHc"]

    assert start_of(ask(gate, {"session_id": "s-full", "message": "so?"})) == 1, "the refused one goes first"
    assert [each["content"][0] for each in upstream.chats[-1].messages] == [*"hHaHbHs"]
    assert [content[:1] for _, content in contents(session(gate, "s-full")["messages"])] == [*"hHaHbHsH"]


@SMALL
def test_a_long_refused_message_may_be_sent_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-again", "a" * 300))
    upstream.script(REFUSED)
    ask(gate, {"session_id": "s-again", "message": "c" * 900})
    assert start_of(ask(gate, {"session_id": "s-again", "continue": True})) == 0
    assert [each["content"][0] for each in upstream.chats[-1].messages] == [*"aHc"]
    assert start_of(ask(gate, {"session_id": "s-again", "message": "so?"})) == 1, "it has its answer, and counts"
