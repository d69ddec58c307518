"""A model that writes `<think>…</think>` into its content: its thinking is told as thinking, everywhere."""

from __future__ import annotations

import threading

import pytest

from tests.http.asking import ask, configured, contents, finish, interrupt, opening, reason, said, session
from tests.support.gateway import Gateway
from tests.support.ollama import (
    ScriptedOllama,
    Step,
    batch,
    chunk,
    done,
    drop,
    end,
    error_line,
    hang,
    line,
    text,
    texts,
    thinking,
    wait,
)
from tests.support.sse import text_of, thinking_of

pytestmark = configured(stream={"smoothing_ms": 0})

BLOCK = ("<thi", "nk>", "\n", "Hm, ", "<b", "r>.\n</", "think", ">\n", "\n")
THOUGHT = "Hm, <br>.\n"
USER = ("user", "hi")


def test_the_block_is_thinking_and_the_rest_is_text(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*BLOCK, "Yes", "."), done())
    events = ask(gate, opening("s-block"))
    assert (thinking_of(events), text_of(events), reason(events)) == (THOUGHT, "Yes.", "stop")
    message = session(gate, "s-block")["messages"][-1]
    assert message == {"role": "assistant", "content": "Yes.", "thinking": THOUGHT}
    upstream.script(text("b"), done())
    ask(gate, {"message": "and?", "session_id": "s-block"})
    assert contents(upstream.chats[1].json["messages"]) == [USER, ("assistant", "Yes."), ("user", "and?")]


def test_the_digest_is_that_of_the_same_answer_from_a_model_that_ollama_knows(
    gate: Gateway, upstream: ScriptedOllama
) -> None:
    for session_id, steps in (("s-a", texts(*BLOCK, "Yes.")), ("s-b", batch(thinking(THOUGHT), text("Yes.")))):
        upstream.script(steps, done())
        ask(gate, opening(session_id))
    one, other = session(gate, "s-a"), session(gate, "s-b")
    assert (one["messages"], one["digest"]) == (other["messages"], other["digest"])


def test_in_one_frame_it_is_the_same(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(batch(text("".join(BLOCK) + "Yes."), done()))
    assert said(ask(gate, "hi")) == [{"thinking": THOUGHT, "message": ""}, {"message": "Yes."}]


def test_an_empty_block_leaves_no_event(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts("<think>", "\n\n", "</think>", "\n\n", "Yes."), done())
    assert said(ask(gate, opening("s-empty"))) == [{"message": "Yes."}]
    assert session(gate, "s-empty")["messages"][-1] == {"role": "assistant", "content": "Yes."}


def test_a_whole_answer_has_them_apart(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*BLOCK, "Yes."), done())
    answer = gate.post("/api/chat", opening("s-whole", stream=False)).json
    assert (answer["thinking"], answer["message"]) == (THOUGHT, "Yes.")


def test_a_first_fragment_of_text_is_passed_on_at_once(gate: Gateway, upstream: ScriptedOllama) -> None:
    go = threading.Event()
    upstream.script(text("春"), wait(go), text("<think>"), done())
    with gate.stream("hi") as stream:
        stream.read_text("春")
        go.set()
        assert text_of(finish(stream)) == "春<think>"


ENDS: dict[str, tuple[Step, ...]] = {
    "stop": (done(),),
    "length": (done("length"),),
    "truncated": (end(),),
    "upstream_error": (error_line("no memory"),),
    "upstream_bad_frames": (chunk(b"x\n" * 3), hang()),
}


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    ("pieces", "thought", "answer"),
    [
        (("\n", "<thi"), "", "\n<thi"),
        (("<think>", "Hm </thi"), "Hm </thi", ""),
        (("<think>Hm</think>", "\n\n<thi"), "Hm", "<thi"),
        (("<think>Hm</think>", "\n\n "), "Hm", ""),
    ],
    ids=["no tag", "no closing tag", "no second tag", "no text"],
)
def test_a_false_start_is_text_where_the_answer_is_finished(
    gate: Gateway, upstream: ScriptedOllama, how: str, pieces: tuple[str, ...], thought: str, answer: str
) -> None:
    upstream.script(texts(*pieces), *ENDS[how])
    events = ask(gate, opening("s-false"))
    answer = answer if how == "stop" else ""  # else the model is asked anew, and may write the tag
    assert (thinking_of(events), text_of(events), reason(events)) == (thought, answer, how)
    assert session(gate, "s-false")["messages"][-1]["content"] == answer


@pytest.mark.parametrize(
    ("pieces", "thought", "partial"),
    [
        (("<think>Hm ", "</thi"), "Hm ", ""),
        (("<think>Hm</think>", "\n\n<thi"), "Hm", ""),
        (("<think>Hm</think>\n\nYes <think>",), "Hm", "Yes <think>"),
    ],
    ids=["inside", "behind", "text"],
)
def test_an_interrupt_tells_what_is_held_back(
    gate: Gateway, upstream: ScriptedOllama, pieces: tuple[str, ...], thought: str, partial: str
) -> None:
    upstream.script(chunk(b"".join(line(text(piece)) for piece in pieces)), hang())
    with gate.stream(opening("s-cut")) as stream:
        stream.read_until(lambda event: bool(event.data.get("thinking")))
        if partial.startswith("Yes"):
            stream.read_text("Yes")
        assert interrupt(gate, "s-cut")["partial"] == partial
        events = finish(stream)
    assert (text_of(events), reason(events)) == (partial, "interrupted")
    assert thinking_of(events).startswith(thought)
    message = session(gate, "s-cut")["messages"][-1]
    assert (message["content"], message["thinking"]) == (partial, thinking_of(events))


@pytest.mark.parametrize("before", ["\n", "\n<", "\n<think"])
@pytest.mark.parametrize("how", ["interrupted", "length", "upstream_error"])
def test_an_answer_that_was_cut_in_the_opening_tag_is_asked_again_as_a_whole(
    gate: Gateway, upstream: ScriptedOllama, before: str, how: str
) -> None:
    upstream.script(chunk(line(text("<think>Hm</think>")) + line(text(before))), *ENDS.get(how, (hang(),)))
    with gate.stream(opening("s-tag")) as stream:
        stream.read_until(lambda event: event.data.get("thinking") == "Hm")
        if how == "interrupted":
            interrupt(gate, "s-tag")
        assert reason(finish(stream)) == how
    upstream.script(texts(*BLOCK, "Yes."), done())
    events = ask(gate, {"continue": True, "session_id": "s-tag"})
    assert (thinking_of(events), text_of(events), reason(events)) == (THOUGHT, "Yes.", "stop")
    assert contents(upstream.chats[1].json["messages"]) == [USER]
    assert contents(session(gate, "s-tag")["messages"]) == [USER, ("assistant", "Yes.")]


def test_a_block_that_is_cut_begins_again(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts("<think>", "Hm, ", "so"), drop())
    upstream.script(texts("<think>", "Well", "</think>", "\n\nYes."), done())
    events = ask(gate, opening("s-again"))
    statuses = [data["status"] for data in said(events) if "status" in data]
    assert statuses == ["waiting", "restarted"]
    assert (thinking_of(events), text_of(events), reason(events)) == ("Well", "Yes.", "stop")
    assert session(gate, "s-again")["messages"][-1]["thinking"] == "Well"
    assert contents(upstream.chats[1].json["messages"]) == [USER]


@pytest.mark.parametrize("before", [("\n", "<thi"), ("<think>", "\n")], ids=["in the tag", "in an empty block"])
def test_a_cut_before_anything_was_said_goes_unseen(
    gate: Gateway, upstream: ScriptedOllama, before: tuple[str, ...]
) -> None:
    upstream.script(texts(*before), drop())
    upstream.script(texts(*BLOCK, "Yes."), done())
    events = ask(gate, "hi")
    assert [data["status"] for data in said(events) if "status" in data] == ["waiting", "resumed"]
    assert (thinking_of(events), text_of(events)) == (THOUGHT, "Yes.")


def test_an_answer_that_goes_on_from_its_text_has_no_block(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts(*BLOCK, "The tag "), drop())
    upstream.script(texts("<think>", " is text."), done("length"))
    events = ask(gate, opening("s-on"))
    assert (thinking_of(events), text_of(events)) == (THOUGHT, "The tag <think> is text.")
    upstream.script(texts("<think>", "."), done())
    assert text_of(ask(gate, {"continue": True, "session_id": "s-on"})) == "<think>."
    assert session(gate, "s-on")["messages"][-1]["content"] == "The tag <think> is text.<think>."
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "The tag "}]
    upstream.script(texts("<think>", "."), done())
    assert text_of(ask(gate, {"messages": history})) == "<think>."


def test_an_answer_that_was_cut_in_the_block_is_asked_again_as_a_whole(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(texts("<think>", "Hm"), done("length"))
    assert reason(ask(gate, opening("s-anew"))) == "length"
    upstream.script(texts("<think>", "Well", "</think>", "\n\nYes."), done())
    events = ask(gate, {"continue": True, "session_id": "s-anew"})
    assert (thinking_of(events), text_of(events)) == ("Well", "Yes.")
    assert contents(upstream.chats[1].json["messages"]) == [USER]
