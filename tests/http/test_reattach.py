"""An answer outlives its reader: it is read on from any event, by whoever comes, and is made once."""

from __future__ import annotations

import random
import threading
import uuid
from contextlib import ExitStack

import pytest

from tests.http.asking import (
    DETACHED,
    ask,
    assert_closed,
    configured,
    cut_at,
    finish,
    follow,
    ids,
    interrupt,
    leave_behind,
    opening,
    reason,
    refusal,
    rest_of,
    session,
    start,
    streams_of,
)
from tests.support.client import StreamClient, call, get, post
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, every, hang, status, text, thinking, tool_calls, wait
from tests.support.sse import Event, end_of, text_of
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "detach_seconds": 60, "stall_seconds": 60})


def test_an_answer_goes_on_without_its_reader(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("one "), wait(go), text("two "), done())
    seen = leave_behind(gate, "s-on", "one ")
    assert session(gate, "s-on")["streaming"] is True
    go.set()
    wait_for(lambda: not session(gate, "s-on")["streaming"], "it ends by itself")
    assert session(gate, "s-on")["messages"][-1]["content"] == "one two "
    assert "interrupted" not in session(gate, "s-on")["messages"][-1]
    with follow(gate, "s-on", seen[-1].id) as stream:
        rest = rest_of(stream)
    assert (text_of(rest), reason(rest)) == ("two ", "stop")
    assert ids(rest)[0].split(":")[0] == ids(seen)[0].split(":")[0]
    assert len(upstream.chats) == 1


def test_without_the_wish_an_answer_stops_with_its_reader(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    leave_behind(gate, "s-stop", "one ", on_disconnect="stop")
    assert_closed(upstream.chats[0])
    wait_for(lambda: streams_of(gate) == 0, "nothing is in flight")
    assert session(gate, "s-stop")["messages"][-1]["interrupted"] is True


@pytest.mark.parametrize("is_query", [False, True], ids=["header", "query"])
def test_every_event_is_a_place_to_go_on_from(gate: Gateway, upstream: ScriptedOllama, is_query: bool) -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    upstream.script(thinking("Hm"), text("春光"), tool_calls([call]), text("🙂 "), text("end"), done())
    whole = [event for event in ask(gate, opening("s-every")) if not event.is_ping]
    for number, event in enumerate(whole[:-1]):
        with follow(gate, "s-every", event.id, is_query=is_query) as stream:
            assert [each.raw for each in rest_of(stream)] == [each.raw for each in whole[number + 1 :]]
    with follow(gate, "s-every") as stream:
        assert [each.raw for each in rest_of(stream)] == [each.raw for each in whole]
    reply = get(gate.base_url, "/api/sessions/s-every/stream", headers={"Last-Event-ID": whole[-1].id or ""})
    assert (reply.status, reply.json) == (204, None)
    assert reply.headers["X-Session-Id"] == "s-every"


def test_cut_at_every_event_and_at_random_bytes_it_is_the_same_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    """While the answer streams: each reader reads a part, as far as it gets, and goes on from its last whole event."""
    words = [f"{number} " for number in range(200)]
    upstream.default(every(0.001, len(words), lambda index: text(words[index])), done())
    chance = random.Random(15)
    for round_number in range(20):
        session_id = f"s-cut-{round_number}"
        events: list[Event] = []
        with gate.stream(opening(session_id, **DETACHED)) as stream:
            start(stream)
            for _ in range(chance.randrange(5)):
                stream.read_event()
            events += stream.events
        while not events[-1].is_end:
            with follow(gate, session_id, events[-1].id) as stream:
                if stream.status == 204:
                    break
                part = cut_at(stream, chance.randrange(1, 4000))
            events += [event for event in part if not event.is_ping]
        assert text_of(events) == "".join(words)
        assert len(ids(events)) == len(set(ids(events)))
        assert end_of(events)["done_reason"] == "stop"
    assert len(upstream.chats) == 20


def test_several_readers_get_the_same_bytes(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = [threading.Event() for _ in range(5)]
    steps = [step for number, each in enumerate(go) for step in (wait(each), text(f"{number} "))]
    upstream.script(*steps, wait(ends := threading.Event()), done())
    with ExitStack() as stack:
        streams = [stack.enter_context(gate.stream(opening("s-many", **DETACHED)))]
        start(streams[0])
        for number, each in enumerate(go):
            streams.append(stack.enter_context(follow(gate, "s-many")))
            start(streams[-1])
            each.set()
            for stream in streams:
                stream.read_text(f"{number} ")
        assert streams_of(gate) == 6
        ends.set()
        wholes = [finish(streams[0]), *(rest_of(stream) for stream in streams[1:])]
    assert len({b"".join(event.raw for event in events if not event.is_ping) for events in wholes}) == 1
    wait_for(lambda: streams_of(gate) == 0, "all have been let go")


@pytest.mark.parametrize("leaver", ["the asker", "a follower"])
def test_who_leaves_disturbs_nobody(gate: Gateway, upstream: ScriptedOllama, leaver: str) -> None:
    """Even without the wish to be waited for, an answer that somebody else reads goes on."""
    go = threading.Event()
    upstream.script(text("one "), wait(go), text("two"), done())
    with gate.stream(opening("s-two")) as asker, follow_started(gate, asker, "s-two") as follower:
        left, stays = (asker, follower) if leaver == "the asker" else (follower, asker)
        left.close()
        wait_for(lambda: streams_of(gate) == 1, "one has left")
        go.set()
        stays.read_all()
        assert (text_of(stays.events), reason(stays.events)) == ("one two", "stop")


def follow_started(gate: Gateway, asker: StreamClient, session_id: str) -> StreamClient:
    asker.read_text("one ")
    follower = follow(gate, session_id)
    follower.read_text("one ")
    return follower


def test_the_last_follower_of_an_answer_that_waits_for_nobody_ends_it(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    with gate.stream(opening("s-last")) as asker, follow_started(gate, asker, "s-last") as follower:
        asker.close()
        wait_for(lambda: streams_of(gate) == 1, "one has left")
        assert not upstream.chats[0].closed.is_set()
        follower.close()
    assert_closed(upstream.chats[0])
    wait_for(lambda: streams_of(gate) == 0, "nothing is in flight")


def test_an_interrupt_tells_every_reader_at_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    with ExitStack() as stack:
        streams = [stack.enter_context(gate.stream(opening("s-int", **DETACHED)))]
        streams[0].read_text("one ")
        streams += [stack.enter_context(follow(gate, "s-int")) for _ in range(4)]
        for stream in streams:
            stream.read_text("one ")
        streams[1].close()
        assert interrupt(gate, "s-int")["partial"] == "one "
        for stream in (streams[0], *streams[2:]):
            stream.read_all()
            assert (reason(stream.events), text_of(stream.events)) == ("interrupted", "one ")
            with follow(gate, "s-int", stream.events[-1].id) as again:
                assert again.status == 204, "nobody comes back to life"
    assert len(upstream.chats) == 1


def test_an_answer_without_readers_is_interrupted_superseded_and_forgotten_as_ever(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    upstream.script(text("one "), hang())
    seen = leave_behind(gate, "s-gone", "one ")
    assert interrupt(gate, "s-gone")["partial"] == "one "
    assert_closed(upstream.chats[0])
    upstream.script(text("two "), hang())
    leave_behind(gate, "s-gone", "two ")
    assert reason(ask(gate, {"message": "and?", "session_id": "s-gone"})) == "stop"
    assert_closed(upstream.chats[1])
    contents = [message["content"] for message in session(gate, "s-gone")["messages"]]
    assert contents == ["hi", "two ", "and?", "Hello."]
    upstream.script(text("three "), hang())
    leave_behind(gate, "s-gone", "three ")
    assert gate.delete("/api/sessions/s-gone").status == 204
    assert_closed(upstream.chats[-1])
    assert get(gate.base_url, "/api/sessions/s-gone/stream").status == 404
    reply = post(gate.base_url, "/api/chat", opening("s-gone"), {"Last-Event-ID": seen[-1].id or ""})
    assert reply.status == 204


def test_what_is_deleted_is_replayed_to_nobody_under_the_same_id(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("secret"), done())
    seen = ask(gate, opening("s-new"))
    assert gate.delete("/api/sessions/s-new").status == 204
    go = threading.Event()
    upstream.script(wait(go), text("other"), done())
    with gate.stream(opening("s-new")) as stream:
        start(stream)
        with follow(gate, "s-new", seen[0].id) as follower:
            follower.read_event()
            go.set()
            rest = rest_of(follower)
        finish(stream)
    assert rest[0].data == {
        "status": "reset",
        "session_id": "s-new",
        "run_id": stream.events[0].data["run_id"],
        "model": "qwen3:32b",
        "text": "",
        "message": "",
    }
    assert text_of(rest) == "other"


def test_a_place_in_an_older_answer_gets_the_present_one_whole(gate: Gateway, upstream: ScriptedOllama) -> None:
    old = ask(gate, opening("s-old"))
    go = threading.Event()
    upstream.script(thinking("Hm"), text("new "), wait(go), text("text"), done())
    with gate.stream({"message": "and?", "session_id": "s-old"}) as stream:
        stream.read_text("new ")
        with follow(gate, "s-old", old[2].id) as follower:
            reset = follower.read_event()
            assert reset is not None
            assert (reset.data["status"], reset.data["text"], reset.data["thinking"]) == ("reset", "new ", "Hm")
            assert reset.data["run_id"] == stream.events[0].data["run_id"]
            go.set()
            assert text_of(rest_of(follower)) == "new text"
        finish(stream)
    with follow(gate, "s-old", old[2].id) as follower:
        rest = rest_of(follower)
    assert ([event.data.get("status") for event in rest], text_of(rest)) == (["reset", None], "new text")
    with follow(gate, "s-old", rest[0].id) as follower:
        assert [event.is_end for event in rest_of(follower)] == [True], "a reset is a place"


@pytest.mark.parametrize("junk", ["null", "7", "run_1", ":", "run_x:-1", "run_x:٣", "x" * 5000, "run_x:" + "9" * 15])
def test_an_id_that_is_none_of_ours_gets_everything(gate: Gateway, upstream: ScriptedOllama, junk: str) -> None:
    ask(gate, opening("s-junk"))
    headers = {"Last-Event-ID": junk.encode().decode("latin-1")}
    with StreamClient(gate.base_url, path="/api/sessions/s-junk/stream", method="GET", headers=headers) as stream:
        rest = rest_of(stream)
    assert (rest[0].data["status"], text_of(rest), reason(rest)) == ("reset", "Hello.", "stop")
    assert upstream.chats


@pytest.mark.parametrize("path", ["s-nobody/stream", "s%20x/stream", "s-nobody/stream?after=run_x:1"])
def test_a_session_that_does_not_exist_is_told_from_nothing_new(gate: Gateway, path: str) -> None:
    assert refusal(get(gate.base_url, f"/api/sessions/{path}"))[:2] == (404, "unknown_session")


def test_a_place_in_the_address_must_be_one(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-after"))
    for junk in ("7", "run_x", "run_x:y"):
        status, code, message = refusal(get(gate.base_url, f"/api/sessions/s-after/stream?after={junk}"))
        assert (status, code) == (400, "bad_request")
        assert message.startswith("after: expected the id of an event")
    assert len(upstream.chats) == 1


def test_it_makes_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-calm"))
    before = session(gate, "s-calm")
    for _ in range(3):
        with follow(gate, "s-calm") as stream:
            rest_of(stream)
    reply = call("HEAD", gate.base_url, "/api/sessions/s-calm/stream")
    assert (reply.status, reply.json) == (200, None)
    assert "no-body response" not in gate.log, "the server would say of each HEAD that a body was sent"
    after = session(gate, "s-calm")
    assert {**after, "last_active": ""} == {**before, "last_active": ""}
    assert (streams_of(gate), len(upstream.chats)) == (0, 1)


# Clients that ask again by themselves


def test_the_same_question_asked_again_from_an_event_is_read_on(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("one "), wait(go), text("two"), done())
    seen = leave_behind(gate, "s-post", "one ")
    with StreamClient(gate.base_url, opening("s-post"), headers={"Last-Event-ID": seen[-1].id or ""}) as stream:
        assert stream.headers["X-Run-Id"] == seen[0].data["run_id"]
        go.set()
        rest = rest_of(stream)
    assert (text_of(rest), reason(rest)) == ("two", "stop")
    for _ in range(3):
        reply = post(gate.base_url, "/api/chat", opening("s-post"), {"Last-Event-ID": rest[-1].id or ""})
        assert (reply.status, reply.json) == (204, None)
    assert len(upstream.chats) == 1
    assert session(gate, "s-post")["turns"] == 1


@pytest.mark.parametrize(
    "last", ["run_00000000000000000000000000000000:5", "run_x:0"], ids=["a run that is not known", "no run"]
)
def test_a_run_that_has_gone_is_not_made_anew(gate: Gateway, upstream: ScriptedOllama, last: str) -> None:
    reply = post(gate.base_url, "/api/chat", opening("s-none"), {"Last-Event-ID": last})
    assert reply.status == 204
    assert upstream.chats == []


def test_an_event_id_of_somebody_else_is_said(gate: Gateway, upstream: ScriptedOllama) -> None:
    status, code, message = refusal(post(gate.base_url, "/api/chat", opening("s"), {"Last-Event-ID": "17"}))
    assert (status, code) == (400, "bad_request")
    assert message == "Last-Event-ID: expected the id of an event, as the stream gives it"
    assert upstream.chats == []


def test_an_empty_event_id_is_none(gate: Gateway, upstream: ScriptedOllama) -> None:
    assert post(gate.base_url, "/api/chat", {**opening("s"), "stream": False}, {"Last-Event-ID": ""}).status == 200
    assert len(upstream.chats) == 1


@pytest.fixture
def key() -> dict[str, str]:
    """A fresh key."""
    return {"Idempotency-Key": str(uuid.uuid4())}


def test_a_question_under_a_key_is_asked_once(gate: Gateway, upstream: ScriptedOllama, key: dict[str, str]) -> None:
    go = threading.Event()
    upstream.script(text("one "), wait(go), text("two"), done())
    question = {"message": "hi", **DETACHED}
    with StreamClient(gate.base_url, question, headers=key) as stream:
        stream.read_text("one ")
    with StreamClient(gate.base_url, question, headers=key) as again, ExitStack() as stack:
        others = [stack.enter_context(StreamClient(gate.base_url, question, headers=key)) for _ in range(3)]
        go.set()
        wholes = [rest_of(each) for each in (again, *others)]
    assert [text_of(events) for events in wholes] == ["one two"] * 4
    assert {event.id for events in wholes for event in events[:2]} == set(ids(stream.events))
    whole = post(gate.base_url, "/api/chat", question, key)
    assert whole.status == 200, "after its end it is replayed"
    assert len(upstream.chats) == 1
    session_id = stream.events[0].data["session_id"]
    assert session(gate, session_id)["turns"] == 1


def test_two_that_come_at_once_under_a_key_are_one(
    gate: Gateway, upstream: ScriptedOllama, key: dict[str, str]
) -> None:
    upstream.default(every(0.001, 50, lambda index: text(f"{index} ")), done())
    question = {"message": "hi"}
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(gate.base_url, question, headers=key)) for _ in range(8)]
        for stream in streams:
            stream.read_all()
            assert reason(stream.events) == "stop"
    assert len({text_of(stream.events) for stream in streams}) == 1
    assert len(upstream.chats) == 1


def test_a_whole_answer_is_asked_for_again(gate: Gateway, upstream: ScriptedOllama, key: dict[str, str]) -> None:
    go = threading.Event()
    upstream.script(thinking("Hm"), text("one "), wait(go), text("two"), done())
    question = {**opening("s-whole"), "stream": False, **DETACHED}
    with StreamClient(gate.base_url, question, headers=key):
        upstream.next_request()
        wait_for(lambda: session(gate, "s-whole")["streaming"], "it is being made")
    wait_for(lambda: upstream.chats[0].text_sent == "one ", "it has begun")
    go.set()
    first = post(gate.base_url, "/api/chat", question, key)
    second = post(gate.base_url, "/api/chat", question, key)
    assert (first.json["message"], first.json["thinking"], first.json["done_reason"]) == ("one two", "Hm", "stop")
    assert second.json == first.json
    assert len(upstream.chats) == 1


def test_a_whole_answer_is_whole_whatever_the_client_has_of_it(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("Hm"), text("one "), text("two"), done())
    question = opening("s-part")
    events = [event for event in ask(gate, question) if not event.is_ping]
    for event in events[:-1]:
        reply = post(gate.base_url, "/api/chat", {**question, "stream": False}, {"Last-Event-ID": event.id or ""})
        assert (reply.status, reply.json["message"], reply.json["thinking"]) == (200, "one two", "Hm")
    assert len(upstream.chats) == 1


def test_an_error_that_is_replayed_keeps_nothing_of_the_requests(
    gate: Gateway, upstream: ScriptedOllama, key: dict[str, str]
) -> None:
    upstream.script(status(400, {"error": "no"}))
    question = {**opening("s-error", "x" * 1_000_000), "stream": False}
    first = post(gate.base_url, "/api/chat", question, key)
    before = gate.resources()["rss_bytes"]
    for _ in range(30):
        again = post(gate.base_url, "/api/chat", question, key)
        assert (again.status, again.json) == (first.status, first.json)
    assert gate.resources()["rss_bytes"] - before < 15_000_000
    assert (first.status, len(upstream.chats)) == (400, 1)


def test_a_key_is_for_one_question(gate: Gateway, upstream: ScriptedOllama, key: dict[str, str]) -> None:
    assert post(gate.base_url, "/api/chat", opening("s-key"), key).status == 200
    status, code, message = refusal(post(gate.base_url, "/api/chat", opening("s-key", "other"), key))
    assert (status, code) == (400, "bad_request")
    assert message.startswith("Idempotency-Key: expected a new key for another request")
    assert len(upstream.chats) == 1


@pytest.mark.parametrize("short", ["", "1", "x" * 15, "x" * 256, "Straße-und-noch-mehr"])
def test_a_key_that_two_might_come_upon_is_refused(gate: Gateway, upstream: ScriptedOllama, short: str) -> None:
    status, code, message = refusal(post(gate.base_url, "/api/chat", opening("s"), {"Idempotency-Key": short}))
    assert (status, code) == (400, "bad_request")
    assert message.startswith("Idempotency-Key: expected 16 to 255 visible ASCII characters")
    assert upstream.chats == []


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_late_copy_of_a_question_ends_no_newer_answer(
    gate: Gateway, upstream: ScriptedOllama, key: dict[str, str], is_streamed: bool
) -> None:
    question = {**opening("s-late"), "stream": is_streamed}
    upstream.script(text("one "), hang())
    with StreamClient(gate.base_url, question, headers=key):
        wait_for(lambda: upstream.chats and upstream.chats[0].text_sent, "it is being made")
        go = threading.Event()
        upstream.script(text("two "), wait(go), text("three"), done())
        with gate.stream({"message": "and?", "session_id": "s-late"}) as newer:
            newer.read_text("two ")
            late = post(gate.base_url, "/api/chat", question, key)
            assert late.status == 204
            go.set()
            assert reason(finish(newer)) == "stop"
    assert post(gate.base_url, "/api/chat", question, key).status == 204
    assert len(upstream.chats) == 2
    assert [message["content"] for message in session(gate, "s-late")["messages"] if message["role"] == "user"] == [
        "hi",
        "and?",
    ]


def test_after_the_session_has_gone_a_key_asks_anew(
    gate: Gateway, upstream: ScriptedOllama, key: dict[str, str]
) -> None:
    assert post(gate.base_url, "/api/chat", opening("s-anew"), key).status == 200
    assert gate.delete("/api/sessions/s-anew").status == 204
    assert post(gate.base_url, "/api/chat", opening("s-anew"), key).status == 200
    assert len(upstream.chats) == 2


def test_headers_come_before_there_is_anything_to_say(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("one "), hang())
    seen = leave_behind(gate, "s-head", "one ")
    with follow(gate, "s-head", seen[-1].id) as stream:
        stream.read_headers(2)
        assert stream.headers["Cache-Control"] == "no-cache, no-transform"
        assert stream.headers["X-Accel-Buffering"] == "no"
        assert interrupt(gate, "s-head")["interrupted"] is True
        assert reason(rest_of(stream)) == "interrupted"


def test_an_ollama_that_comes_back_goes_on_for_nobody(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.answer("a whole answer to be recovered", drop_after=[12], interval_s=0.01)
    leave_behind(gate, "s-back", "a ")
    wait_for(lambda: not session(gate, "s-back")["streaming"], "it ends")
    assert session(gate, "s-back")["messages"][-1]["content"] == "a whole answer to be recovered"
    with follow(gate, "s-back") as stream:
        rest = rest_of(stream)
    assert text_of(rest) == "a whole answer to be recovered"
    assert "resumed" in [event.data.get("status") for event in rest]


def test_going_on_is_one_message(gate: Gateway, upstream: ScriptedOllama) -> None:
    """`continue` after every unfinished end goes on in place, and the context holds one message."""
    upstream.script(text("one "), hang())
    leave_behind(gate, "s-cont", "one ")
    interrupt(gate, "s-cont")
    go = threading.Event()
    upstream.script(text("two "), wait(go), text("three"), done())
    with gate.stream({"continue": True, "session_id": "s-cont", **DETACHED}) as stream:
        stream.read_text("two ")
    with follow(gate, "s-cont", stream.events[-1].id) as follower:
        go.set()
        assert text_of(rest_of(follower)) == "three"
    messages = session(gate, "s-cont")["messages"]
    assert [(message["role"], message["content"]) for message in messages] == [
        ("user", "hi"),
        ("assistant", "one two three"),
    ]
