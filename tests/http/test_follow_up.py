"""Follow-ups: after an interrupt, with a whole history, or by going on where the answer stopped."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import Any

import pytest

from tests.http.asking import ask, configured, contents, finish, interrupt, opening, reason, refusal, session, start
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, done, drop, hang, status, text, texts, thinking, tool_calls, wait
from tests.support.pictures import TINY_GIF
from tests.support.sse import text_of, thinking_of

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})

WORDS = "故宫、天坛  颐和园。 "
QUESTION = {"role": "user", "content": "hi"}
CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}


def cut_in(gate: Gateway, upstream: ScriptedOllama, session_id: str, *steps: Step, until: str) -> str:
    """Begin a session, interrupt it once the text is there, and return the partial text."""
    upstream.script(*steps, hang())
    with gate.stream(opening(session_id)) as stream:
        if until:
            stream.read_text(until)
        else:
            upstream.next_request()
        partial: str = interrupt(gate, session_id)["partial"]
        finish(stream)
    return partial


def test_the_prompt_after_an_interrupt_holds_the_partial_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    partial = cut_in(gate, upstream, "s-next", texts("故宫、", "天坛  "), until="天坛  ")
    events = ask(gate, {"message": "Only the first, please", "session_id": "s-next"})
    assert upstream.chats[1].messages == [
        QUESTION,
        {"role": "assistant", "content": partial},
        {"role": "user", "content": "Only the first, please"},
    ]
    assert reason(events) == "stop"
    assert [message.get("interrupted", False) for message in session(gate, "s-next")["messages"]] == [
        False,
        True,
        False,
        False,
    ]


def test_a_message_may_be_an_object(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-object"))
    ask(gate, {"message": {"role": "user", "content": "看", "images": [TINY_GIF]}, "session_id": "s-object"})
    ask(gate, {"message": {"role": "tool", "content": "晴", "tool_name": "weather"}, "session_id": "s-object"})
    assert upstream.chats[2].messages == [
        QUESTION,
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "看", "images": [TINY_GIF]},
        {"role": "assistant", "content": "Hello."},
        {"role": "tool", "content": "晴", "tool_name": "weather"},
    ]


def test_a_message_without_a_session_begins_one(gate: Gateway, upstream: ScriptedOllama) -> None:
    first, second = (ask(gate, "hi")[0].data["session_id"] for _ in range(2))
    assert first != second
    assert first.startswith("sess_")
    assert len(first) >= len("sess_") + 22, "at least 128 random bits"
    assert contents(session(gate, first)["messages"]) == [("user", "hi"), ("assistant", "Hello.")]
    assert upstream.chats[1].messages == [QUESTION]


def test_messages_replace_the_context(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-new", "old"))
    history = [{"role": "system", "content": "s"}, {"role": "user", "content": "new"}]
    ask(gate, {"messages": history, "session_id": "s-new"})
    assert upstream.chats[1].messages == history
    assert contents(session(gate, "s-new")["messages"]) == [("system", "s"), ("user", "new"), ("assistant", "Hello.")]


def test_tool_calls_and_thinking_go_back_with_the_next_message(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("Hm"), tool_calls([CALL]), done())
    ask(gate, opening("s-calls"))
    ask(gate, {"message": {"role": "tool", "content": "晴"}, "session_id": "s-calls"})
    assert upstream.chats[1].messages[1:] == [
        {"role": "assistant", "content": "", "thinking": "Hm", "tool_calls": [CALL]},
        {"role": "tool", "content": "晴"},
    ]


@pytest.mark.parametrize("cut", range(1, len(WORDS) + 1, 3))
def test_continue_goes_on_where_it_stopped(gate: Gateway, upstream: ScriptedOllama, cut: int) -> None:
    partial = cut_in(gate, upstream, "s-go-on", text(WORDS[:cut]), until=WORDS[:cut])
    upstream.answer(WORDS, token_size=2)
    events = ask(gate, {"continue": True, "session_id": "s-go-on"})
    assert upstream.chats[1].messages == [QUESTION, {"role": "assistant", "content": partial}], "byte for byte"
    assert text_of(events) == WORDS[cut:], "the continuation alone"
    assert session(gate, "s-go-on")["messages"] == [QUESTION, {"role": "assistant", "content": WORDS}]


def test_continue_may_be_interrupted_and_continued_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    cut_in(gate, upstream, "s-again", text(WORDS[:2]), until=WORDS[:2])
    for end in range(3, len(WORDS)):
        upstream.script(text(WORDS[end - 1 : end]), hang())
        with gate.stream({"continue": True, "session_id": "s-again"}) as stream:
            stream.read_text(WORDS[end - 1 : end])
            assert interrupt(gate, "s-again")["partial"] == WORDS[end - 1 : end]
            finish(stream)
        view = session(gate, "s-again")
        assert contents(view["messages"]) == [("user", "hi"), ("assistant", WORDS[:end])]
        assert view["turns"] == 1
    upstream.answer(WORDS)
    ask(gate, {"continue": True, "session_id": "s-again"})
    assert session(gate, "s-again")["messages"][-1] == {"role": "assistant", "content": WORDS}


def test_continue_that_is_dropped_is_gone_on_with(gate: Gateway, upstream: ScriptedOllama) -> None:
    cut_in(gate, upstream, "s-drop", text(WORDS[:3]), until=WORDS[:3])
    upstream.answer(WORDS, token_size=1, drop_after=[2, 1])
    events = ask(gate, {"continue": True, "session_id": "s-drop"})
    assert (text_of(events), reason(events)) == (WORDS[3:], "stop")
    assert session(gate, "s-drop")["messages"][-1]["content"] == WORDS


def test_continue_of_an_empty_answer_asks_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    assert cut_in(gate, upstream, "s-empty", until="") == ""
    assert session(gate, "s-empty")["messages"][-1] == {"role": "assistant", "content": "", "interrupted": True}
    events = ask(gate, {"continue": True, "session_id": "s-empty"})
    assert upstream.chats[1].messages == [QUESTION], "the empty answer is not in the prompt"
    assert text_of(events) == "Hello."
    assert session(gate, "s-empty")["messages"] == [QUESTION, {"role": "assistant", "content": "Hello."}]


def test_an_empty_answer_is_in_the_view_but_not_in_the_next_prompt(gate: Gateway, upstream: ScriptedOllama) -> None:
    cut_in(gate, upstream, "s-void", until="")
    ask(gate, {"message": "and?", "session_id": "s-void"})
    assert upstream.chats[1].messages == [QUESTION, {"role": "user", "content": "and?"}]
    assert contents(session(gate, "s-void")["messages"]) == [
        ("user", "hi"),
        ("assistant", ""),
        ("user", "and?"),
        ("assistant", "Hello."),
    ]


def test_continue_of_an_answer_cut_while_thinking_asks_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    """Thinking cannot be continued: it begins again, and the earlier thinking is void."""
    upstream.script(thinking("Hm, "), hang())
    with gate.stream(opening("s-thought")) as stream:
        stream.read_until(lambda event: "thinking" in event.data)
        interrupt(gate, "s-thought")
        finish(stream)
    upstream.answer("Yes.", thinking="Hm, so. ")
    events = ask(gate, {"continue": True, "session_id": "s-thought"})
    assert upstream.chats[1].messages == [QUESTION]
    assert (thinking_of(events), text_of(events)) == ("Hm, so. ", "Yes.")
    assert session(gate, "s-thought")["messages"][-1] == {
        "role": "assistant",
        "content": "Yes.",
        "thinking": "Hm, so. ",
    }


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((text("a"), status(500, {"error": "x"})), "upstream_error"),
        ((text("a"), done("length")), "length"),
        ((text("a"), drop()), "truncated"),
    ],
    ids=["error", "length", "truncated"],
)
def test_every_unfinished_answer_can_be_continued(
    gate: Gateway, upstream: ScriptedOllama, steps: tuple[Step, ...], expected: str
) -> None:
    if expected == "upstream_error":
        upstream.script(steps[0], drop())
        upstream.script(steps[1])
    else:
        upstream.script(*steps)
    fields = {"format": "json"} if expected == "truncated" else {}
    assert reason(ask(gate, opening("s-any", **fields))) == expected
    assert session(gate, "s-any")["messages"][-1]["interrupted"] is True
    upstream.script(text("b"), done())
    ask(gate, {"continue": True, "session_id": "s-any"})
    assert upstream.chats[-1].messages[-1] == {"role": "assistant", "content": "a"}
    assert session(gate, "s-any")["messages"][-1]["content"] == "ab"


def test_continue_of_an_answer_in_flight_cuts_it_and_goes_on(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text(WORDS[:4]), hang())
    with gate.stream(opening("s-flight")) as old:
        old.read_text(WORDS[:4])
        upstream.answer(WORDS)
        events = ask(gate, {"continue": True, "session_id": "s-flight"})
        assert reason(finish(old)) == "superseded"
    assert text_of(events) == WORDS[4:]
    assert session(gate, "s-flight")["messages"][-1]["content"] == WORDS


def test_nothing_to_continue_is_409_and_changes_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    ask(gate, opening("s-done"))
    before = session(gate, "s-done")
    reply = gate.post("/api/chat", {"continue": True, "session_id": "s-done"})
    assert (reply.status, reply.json["error"]["code"]) == (409, "nothing_to_continue")
    assert session(gate, "s-done")["messages"] == before["messages"]
    assert len(upstream.chats) == 1


@pytest.mark.parametrize(
    ("body", "expected_status", "code"),
    [
        ({"continue": True}, 400, "bad_request"),
        ({"continue": True, "session_id": "s-nobody"}, 404, "unknown_session"),
        ({"message": "hi", "session_id": "s-nobody"}, 404, "unknown_session"),
        ({"continue": False, "session_id": "s-nobody"}, 400, "bad_request"),
        ({"message": "hi", "messages": [QUESTION]}, 400, "bad_request"),
        ({"message": "hi", "continue": True, "session_id": "s"}, 400, "bad_request"),
        ({"session_id": "s"}, 400, "bad_request"),
        ({"messages": []}, 400, "bad_request"),
        ({"message": None}, 400, "bad_request"),
    ],
    ids=str,
)
def test_what_cannot_be_asked(
    gate: Gateway, upstream: ScriptedOllama, body: dict[str, Any], expected_status: int, code: str
) -> None:
    for is_streamed in (True, False):
        reply = gate.post("/api/chat", {**body, "stream": is_streamed})
        assert (reply.status, reply.json["error"]["code"]) == (expected_status, code)
        assert reply.headers["Content-Type"].startswith("application/json")
    assert upstream.chats == []


def test_a_prefill_of_the_client_is_continued(gate: Gateway, upstream: ScriptedOllama) -> None:
    """The full history ends with an unfinished assistant message."""
    upstream.answer(WORDS)
    history = [QUESTION, {"role": "assistant", "content": WORDS[:5]}]
    events = ask(gate, {"messages": history, "session_id": "s-prefill"})
    assert upstream.chats[0].messages == history
    assert text_of(events) == WORDS[5:]
    assert session(gate, "s-prefill")["messages"][-1]["content"] == WORDS


def test_the_view_may_be_sent_back_as_the_history(gate: Gateway, upstream: ScriptedOllama) -> None:
    cut_in(gate, upstream, "s-view", text("half "), until="half ")
    history = session(gate, "s-view")["messages"]
    with gate.stream({"messages": history, "session_id": "s-copy"}) as stream:
        events = finish(stream)
    assert "ignored" not in events[0].data
    assert upstream.chats[1].messages == [QUESTION, {"role": "assistant", "content": "half "}]


def test_what_happens_in_one_session_stays_there(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("a"), wait(go), done())
    with gate.stream(opening("s-one", "one")) as one:
        one.read_text("a")
        ask(gate, opening("s-two", "two"))
        assert interrupt(gate, "s-two")["interrupted"] is False
        go.set()
        assert reason(finish(one)) == "stop"
    assert contents(session(gate, "s-one")["messages"]) == [("user", "one"), ("assistant", "a")]
    assert contents(session(gate, "s-two")["messages"]) == [("user", "two"), ("assistant", "Hello.")]


CLOSING = status(200, {"template": "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"})


@pytest.mark.parametrize("is_streamed", [True, False])
def test_continue_where_the_template_closes_the_answer_is_409(
    gate: Gateway, upstream: ScriptedOllama, is_streamed: bool
) -> None:
    cut_in(gate, upstream, "s-closed", text("a"), until="a")
    before = session(gate, "s-closed")
    upstream.script(CLOSING, path="/api/show")
    reply = gate.post("/api/chat", {"continue": True, "session_id": "s-closed", "stream": is_streamed})
    status_code, code, message = refusal(reply)
    assert (status_code, code) == (409, "cannot_continue")
    assert message.startswith("continue: expected a model that can go on with a partial answer")
    assert reply.headers["x-should-retry"] == "false"
    assert len(upstream.chats) == 1, "a model that would begin anew is not asked"
    after = session(gate, "s-closed")
    assert {**after, "last_active": ""} == {**before, "last_active": ""}


def test_a_running_answer_is_not_superseded_by_a_continue_that_cannot_be(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    go = threading.Event()
    upstream.script(text("a"), wait(go), text("b"), done())
    upstream.script(CLOSING, path="/api/show")
    with gate.stream(opening("s-runs")) as stream:
        stream.read_text("a")
        reply = gate.post("/api/chat", {"continue": True, "session_id": "s-runs"})
        assert refusal(reply)[:2] == (409, "cannot_continue")
        assert gate.streams == 1
        go.set()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("ab", "stop")


def test_a_continue_that_may_not_be_asks_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("a"), wait(go), done())
    with gate.stream(opening("s-maynt")) as stream:
        stream.read_text("a")
        reply = gate.post("/api/chat", {"continue": True, "session_id": "s-maynt", "on_busy": "reject"})
        assert refusal(reply)[:2] == (409, "busy_session")
        go.set()
        finish(stream)
    reply = gate.post("/api/chat", {"continue": True, "session_id": "s-maynt"})
    assert refusal(reply)[:2] == (409, "nothing_to_continue")
    assert [request for request in upstream.requests if request.path == "/api/show"] == []


def test_continue_asks_for_the_template_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    cut_in(gate, upstream, "s-able", text("a"), until="a")
    ask(gate, {"continue": True, "session_id": "s-able"})
    assert [request.path for request in upstream.requests[1:]] == ["/api/show", "/api/chat"]


@pytest.mark.parametrize("says", [(status(500),), (hang(),)], ids=["error", "hangs"])
def test_a_stream_begins_where_ollama_does_not_tell_its_template(
    gate: Gateway, upstream: ScriptedOllama, says: tuple[Step, ...]
) -> None:
    """The question is asked once more before the chat is, and its answer counts then."""
    cut_in(gate, upstream, "s-slow", text("a"), until="a")
    upstream.script(*says, path="/api/show")
    upstream.script(CLOSING, path="/api/show")
    events = ask(gate, {"continue": True, "session_id": "s-slow"})
    assert (reason(events), text_of(events)) == ("cannot_continue", "")
    assert len(upstream.chats) == 1
    assert contents(session(gate, "s-slow")["messages"]) == [("user", "hi"), ("assistant", "a")]


def test_an_interrupt_finds_no_run_while_the_template_is_asked_for(gate: Gateway, upstream: ScriptedOllama) -> None:
    cut_in(gate, upstream, "s-between", text("a"), until="a")
    upstream.script(hang(), path="/api/show")
    with gate.stream({"continue": True, "session_id": "s-between"}) as stream:
        upstream.next_request(path="/api/show")
        assert interrupt(gate, "s-between")["interrupted"] is False
        assert reason(finish(stream)) == "stop"


def test_only_a_few_threads_wait_for_a_template(gate: Gateway, upstream: ScriptedOllama) -> None:
    """An Ollama that hangs holds none of the threads that interrupts need; the streams begin without it."""
    count = 12
    for number in range(count):
        cut_in(gate, upstream, f"s-{number}", text("a"), until="a")
    for _ in range(2 * count):
        upstream.script(hang(), path="/api/show")
    with ExitStack() as stack:
        streams = [
            stack.enter_context(gate.stream({"continue": True, "session_id": f"s-{number}"})) for number in range(count)
        ]
        assert gate.get("/healthz").status == 200
        for stream in streams:
            start(stream)
        for number in range(count):
            assert interrupt(gate, f"s-{number}")["interrupted"] is True
        assert {reason(finish(stream)) for stream in streams} == {"interrupted"}
