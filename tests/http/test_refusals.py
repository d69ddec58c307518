"""Ollama refuses a message for good: the client is told so, and the session goes on as if it had not been sent."""

from __future__ import annotations

from typing import Any

import pytest

from clawgate.sessions import Message, digest_of
from tests.http.asking import ask, configured, finish, interrupt, opening, reason, refusal, session, start
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, drop, error_line, hang, headers, status, text, thinking
from tests.support.sse import end_of, text_of
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "retry_seconds": 0})

WORDS = "the input length exceeds the context length"
REFUSED = status(400, {"error": WORDS})
USER = {"role": "user", "content": "hi"}
HELLO = {"role": "assistant", "content": "Hello."}
CALL = {"function": {"name": "weather", "arguments": {}}}


def follow(gate: Gateway, session_id: str, message: Any, **fields: Any) -> str:
    """Ask a follow-up and return how it ended."""
    return reason(ask(gate, {"session_id": session_id, "message": message, **fields}))


def user(content: str, **marks: bool) -> dict[str, Any]:
    """A question as a view shows it."""
    return {"role": "user", "content": content, **marks}


def test_a_refused_message_is_left_out_of_what_follows(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-long"))
    upstream.script(REFUSED)
    events = ask(gate, {"session_id": "s-long", "message": "far too long"})
    ended = end_of(events)
    assert (ended["done_reason"], ended["error"]["code"], text_of(events)) == ("error", "upstream_refused", "")
    assert events[-1].event == "error"
    for words in ("this message", WORDS, "left out of what follows", "`continue` sends it again"):
        assert words in ended["error"]["message"]
    assert ended["error"]["words"] == WORDS
    view = session(gate, "s-long")
    assert view["messages"] == [USER, HELLO, user("far too long", refused=True)]
    assert (view["turns"], view["streaming"], view["run_id"]) == (2, False, None)
    assert view["digest"] == digest_of(
        [Message(role=each["role"], content=each["content"]) for each in view["messages"]]
    )

    assert follow(gate, "s-long", "shorter") == "stop"
    assert upstream.chats[-1].messages == [USER, HELLO, user("shorter")]
    assert [each.get("refused") for each in session(gate, "s-long")["messages"]] == [None, None, True, None, None]


def test_the_first_message_of_a_session_may_be_refused(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(REFUSED)
    session_id = ask(gate, "too long")[0].data["session_id"]
    assert follow(gate, session_id, "hi") == "stop"
    assert upstream.chats[-1].messages == [USER]


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (413, b"<html><head><title>413 Request Entity Too Large</title></head></html>", "413 Request Entity Too Large"),
        (422, {"error": {"message": "no such thing"}}, "no such thing"),
        (400, b"", "status 400"),
        (500, {"error": "Failed to create new sequence: failed to process inputs: image: unknown format"}, "unknown"),
    ],
)
def test_whatever_refuses_it_for_good(
    gate: Gateway, upstream: ScriptedOllama, code: int, body: Any, expected: str
) -> None:
    upstream.script(status(code, body))
    reply = gate.post("/api/chat", {"message": "hi", "stream": False})
    assert reply.headers["x-should-retry"] == "false"
    got = refusal(reply)
    assert got[:2] == (400, "upstream_refused")
    assert expected in got[2]
    assert "<" not in got[2]
    assert len(upstream.chats) == 1


@pytest.mark.parametrize(
    "failure",
    [
        (status(401, {"error": "unauthorized"}),),
        (status(403),),
        (status(404, {"error": "model 'x' not found"}),),
        (status(407, b"proxy"),),
        (status(429, {"error": "too many"}),),
        (status(500, {"error": "no memory"}),),
        (headers(), drop()),
    ],
    ids=lambda steps: repr(steps[0]),
)
def test_another_failure_keeps_its_turn(gate: Gateway, upstream: ScriptedOllama, failure: tuple[Step, ...]) -> None:
    upstream.script(*failure)
    session_id = ask(gate, "first")[0].data["session_id"]
    assert session(gate, session_id)["messages"] == [
        user("first"),
        {"role": "assistant", "content": "", "interrupted": True},
    ]
    assert follow(gate, session_id, "second") == "stop"
    assert upstream.chats[-1].messages == [user("first"), user("second")]


def test_continue_sends_the_refused_message_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-again"))
    upstream.script(status(400, {"error": '"x" does not support thinking'}))
    assert follow(gate, "s-again", "why?", think=True) == "upstream_refused"
    events = ask(gate, {"session_id": "s-again", "continue": True})
    assert (text_of(events), reason(events)) == ("Hello.", "stop")
    assert upstream.chats[-1].messages == [USER, HELLO, user("why?")]
    assert "/api/show" not in [request.path for request in upstream.requests]
    assert session(gate, "s-again")["messages"] == [USER, HELLO, user("why?"), HELLO]
    assert follow(gate, "s-again", "and?") == "stop"
    assert upstream.chats[-1].messages == [USER, HELLO, user("why?"), HELLO, user("and?")]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((REFUSED,), "upstream_refused"),
        ((status(500, {"error": "no memory"}),), "upstream_error"),
        ((headers(), drop()), "upstream_unreachable"),
    ],
    ids=["refused", "error", "drop"],
)
def test_a_retry_that_comes_to_nothing_keeps_the_mark(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], expected: str
) -> None:
    upstream.script(REFUSED)
    ask(gate, opening("s-mark", "too long"))
    upstream.script(*steps)
    assert reason(ask(gate, {"session_id": "s-mark", "continue": True})) == expected
    assert session(gate, "s-mark")["messages"] == [user("too long", refused=True)]
    assert follow(gate, "s-mark", "hi") == "stop"
    assert upstream.chats[-1].messages == [USER]


@pytest.mark.parametrize("says", ["", "a"])
def test_a_retry_that_is_interrupted_keeps_the_mark_until_the_model_has_said_something(
    gate: Gateway, upstream: ScriptedOllama, says: str
) -> None:
    upstream.script(REFUSED)
    ask(gate, opening("s-cut"))
    upstream.next_request()
    upstream.script(text(says), hang()) if says else upstream.script(hang())
    with gate.stream({"session_id": "s-cut", "continue": True}) as stream:
        start(stream)
        upstream.next_request()
        if says:
            stream.read_text(says)
        assert interrupt(gate, "s-cut")["interrupted"] is True
        assert reason(finish(stream)) == "interrupted"
    answer = {"role": "assistant", "content": "a", "interrupted": True}
    assert session(gate, "s-cut")["messages"] == ([USER, answer] if says else [user("hi", refused=True)])


def test_a_full_history_that_is_refused_does_not_poison_what_follows(gate: Gateway, upstream: ScriptedOllama) -> None:
    history = [{"role": "system", "content": "Be brief."}, USER, HELLO, user("too"), user("long")]
    upstream.script(REFUSED)
    assert reason(ask(gate, {"messages": history, "session_id": "s-full"})) == "upstream_refused"
    view = session(gate, "s-full")["messages"]
    assert view == [*history[:4], user("long", refused=True)]
    assert reason(ask(gate, {"continue": True, "session_id": "s-full"})) == "stop"
    assert upstream.chats[-1].messages == history, "a retry asks what was refused, all of it"
    upstream.script(REFUSED)
    ask(gate, {"messages": history, "session_id": "s-full"})
    assert follow(gate, "s-full", "hi") == "stop"
    assert upstream.chats[-1].messages == [*history[:4], USER]

    events = ask(gate, {"messages": view, "session_id": "s-copy"})
    assert "ignored" not in events[0].data, "a client may send the view back"
    assert upstream.chats[-1].messages == history, "it asks what stands last"
    ask(gate, {"messages": history, "session_id": "s-full"})
    assert upstream.chats[-1].messages == history, "a full history is the client's own as ever"


def test_a_refused_result_of_a_tool_may_be_sent_shorter(gate: Gateway, upstream: ScriptedOllama) -> None:
    calls = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    result = {"role": "tool", "content": "long", "tool_name": "weather"}
    upstream.script(REFUSED)
    history = [USER, calls]
    ask(gate, {"messages": [*history, result], "session_id": "s-tool"})
    assert session(gate, "s-tool")["messages"][-1] == {**result, "refused": True}
    assert follow(gate, "s-tool", {**result, "content": "short"}) == "stop"
    assert upstream.chats[-1].messages == [*history, {**result, "content": "short"}]


@pytest.mark.parametrize("said", [text("a"), thinking("hm")], ids=["text", "thinking"])
def test_to_go_on_may_be_refused_and_neither_question_nor_partial_text_is(
    gate: Gateway, upstream: ScriptedOllama, said: Step
) -> None:
    upstream.script(said, hang())
    with gate.stream(opening("s-half")) as stream:
        stream.read_until(lambda event: event.data.get("message") == "a" or "thinking" in event.data)
        interrupt(gate, "s-half")
        finish(stream)
    before = session(gate, "s-half")["messages"]
    upstream.script(REFUSED)
    error = end_of(ask(gate, {"session_id": "s-half", "continue": True, "think": True}))["error"]
    assert (error["code"], "left out" in error["message"]) == ("upstream_refused", False)
    assert session(gate, "s-half")["messages"] == before
    assert follow(gate, "s-half", "so?") == "stop"
    assert upstream.chats[-1].messages[0] == USER


def test_an_error_in_an_answer_that_has_begun_is_no_refusal(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(headers(), error_line('option "temperature" must be of type float32'))
    assert reason(ask(gate, opening("s-none"))) == "upstream_error"
    assert session(gate, "s-none")["messages"][0] == USER


def test_a_question_that_was_cut_and_is_to_blame_goes_with_the_second_refusal(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    upstream.script(status(500, {"error": "no memory"}))
    ask(gate, opening("s-blame", "the culprit"))
    for words in ("one", "two"):
        upstream.script(REFUSED)
        assert follow(gate, "s-blame", words) == "upstream_refused"
    assert follow(gate, "s-blame", "hi") == "stop"
    assert upstream.chats[-1].messages == [USER]


def test_a_new_message_that_supersedes_a_retry_leaves_it_out(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(REFUSED)
    ask(gate, opening("s-over", "too long"))
    upstream.next_request()
    upstream.script(hang())
    with gate.stream({"session_id": "s-over", "continue": True}) as stream:
        start(stream)
        wait_for(lambda: len(upstream.chats) == 2, "the retry is asked")
        assert follow(gate, "s-over", "hi") == "stop"
        assert reason(finish(stream)) == "superseded"
    assert upstream.chats[-1].messages == [USER]
    assert session(gate, "s-over")["messages"] == [user("too long", refused=True), USER, HELLO]


def test_a_session_can_be_asked_as_soon_as_the_end_is_read(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-quick"))
    for _ in range(20):
        upstream.script(REFUSED)
        assert follow(gate, "s-quick", "too long") == "upstream_refused"
        assert follow(gate, "s-quick", "hi") == "stop"
        assert "too long" not in [each["content"] for each in upstream.chats[-1].messages]
