"""`clawgate chat` in a real terminal: it streams, Ctrl-C interrupts in every phase, the next question follows up."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from clawgate.terminal.talk import HELD_S
from tests.support.cutting import CuttingProxy
from tests.support.gateway import Gateway
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    done,
    drop,
    hang,
    notify,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.shared import ollama_of, shared_gateway
from tests.support.terminal import CTRL_C, CTRL_D, Terminal
from tests.support.tools import DEADLINE_S, require, wait_for

WITHOUT_RICH = "import sys; sys.modules['rich'] = None"
GREETING = rf"^{re.escape(DEFAULT_MODEL)} at http://\S+ /help says what can be done here\.$"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The module's gateway."""
    require("rich", "the client renders with it")
    stream = {"smoothing_ms": 0, "stall_seconds": 60}
    with shared_gateway(tmp_path_factory.mktemp("gate"), {"stream": stream}) as gateway:
        gateway.get("/healthz")
        yield gateway
        gateway.stop(signal.SIGKILL)


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind it."""
    with ollama_of(gate) as scripted:
        yield scripted


Chat = Callable[..., Terminal]


@pytest.fixture
def chat(gate: Gateway) -> Iterator[Chat]:
    """Start the client in a terminal, at its prompt."""
    started: list[Terminal] = []

    def start(*arguments: str, url: str = gate.base_url, is_ready: bool = True, **options: object) -> Terminal:
        terminal = Terminal(["chat", "--url", url, *arguments], **options)  # type: ignore[arg-type]
        started.append(terminal.__enter__())
        if is_ready:
            terminal.wait_for(GREETING)
            terminal.wait_for_prompt()
        return terminal

    yield start
    for terminal in started:
        terminal.__exit__(None, None, None)
        print(f"--- the terminal ---\n{terminal.screen.all}\n---")
        assert terminal.screen.foreign == []
        assert "Traceback" not in terminal.screen.all


def session_of(terminal: Terminal) -> str:
    """Leave, and return the session that the client says how to go on with."""
    terminal.type(CTRL_D)
    found = terminal.wait_for(r"^To go on: clawgate chat --url \S+ --session (\S+)$")
    assert terminal.wait() == 0
    assert terminal.is_in_order
    return found[1]


def test_an_answer_streams_and_the_conversation_goes_on(chat: Chat, upstream: ScriptedOllama, gate: Gateway) -> None:
    may_go_on = threading.Event()
    upstream.script(thinking("hm"), text("**春光**, "), wait(may_go_on), text("and\n\nmore."), done())
    terminal = chat()
    terminal.type("Hello?")
    terminal.wait_for(r"^Thought for 1 s\n\n春光,")
    assert not terminal.echoes
    may_go_on.set()
    terminal.wait_for(r"^春光, and\n\nmore\.\n\n>\Z")
    assert b"\x1b[1m\xe6\x98\xa5\xe5\x85\x89" in terminal.raw
    terminal.type("And \\")
    terminal.type("then?")
    terminal.wait_for(r"^Hello\.\n\n>\Z")
    session_id = session_of(terminal)
    view = gate.get(f"/api/sessions/{session_id}").json["messages"]
    assert [message["content"] for message in view] == ["Hello?", "**春光**, and\n\nmore.", "And \nthen?", "Hello."]


def test_what_is_typed_while_an_answer_streams_waits_for_the_prompt(chat: Chat, upstream: ScriptedOllama) -> None:
    may_end = threading.Event()
    upstream.script(text("One "), wait(may_end), text("two"), done())
    terminal = chat()
    terminal.type("Count")
    terminal.wait_for(r"^One\Z")
    terminal.type("And now?")
    terminal.type(CTRL_D)
    may_end.set()
    terminal.wait_for(r"^One two\n\n> And now\?\nHello\.\n\n>")
    assert terminal.wait() == 0
    assert terminal.is_in_order


def loading(terminal: Terminal) -> None:
    """The model says nothing yet."""
    terminal.wait_for(r"Waiting for the first word; the model may be loading… \d s\Z")


def is_thinking(terminal: Terminal) -> None:
    """It thinks."""
    terminal.wait_for(r"^hm\nThinking… \d s\Z")


def is_writing(terminal: Terminal) -> None:
    """It writes."""
    terminal.wait_for(r"^Once upon\Z")


PHASES: list[tuple[str, tuple[Step, ...], Callable[[Terminal], None], str]] = [
    ("loading", (hang(),), loading, ""),
    ("thinking", (thinking("hm"), hang()), is_thinking, ""),
    ("text", (text("Once upon"), hang()), is_writing, "Once upon"),
]


def test_ctrl_c_interrupts_in_every_phase_and_the_next_question_follows_up(
    chat: Chat, upstream: ScriptedOllama
) -> None:
    terminal = chat()
    for name, steps, is_there, _ in PHASES:
        upstream.script(*steps)
        terminal.type(f"Question {name}")
        is_there(terminal)
        request = upstream.next_request()
        seen = len(terminal.screen.all)
        terminal.type(CTRL_C)
        terminal.wait_for(r"interrupted\n\n>\Z", seen - 80)
        assert request.closed.wait(DEADLINE_S)
    terminal.type("And now?")
    terminal.wait_for(r"^Hello\.\n\n>\Z")
    said = [message["content"] for message in upstream.next_request().messages]
    assert said == ["Question loading", "Question thinking", "Question text", "Once upon", "And now?"]


def test_ctrl_c_while_ollama_is_away(chat: Chat, upstream: ScriptedOllama) -> None:
    upstream.script(text("Once "), drop())
    upstream.script(text("upon"), notify(cut := threading.Event()), wait(away := threading.Event()), drop())
    terminal = chat()
    terminal.type("A story")
    terminal.wait_for(r"^Once upon")
    assert cut.wait(DEADLINE_S)
    upstream.stop()
    away.set()
    terminal.wait_for(r"^Once upon\nOllama is away; trying again \(attempt \d+\)… \d s\Z")
    terminal.type(CTRL_C)
    terminal.wait_for(r"^Once upon\ninterrupted\n\n>\Z")
    upstream.start()
    terminal.type("/continue")
    terminal.wait_for(r"^Hello\.\n\n>\Z")
    assert [message["content"] for message in upstream.chats[-1].messages] == ["A story", "Once upon"]


def test_an_ollama_that_comes_back_goes_on(chat: Chat, upstream: ScriptedOllama) -> None:
    upstream.stop()
    terminal = chat()
    terminal.type("Hi")
    terminal.wait_for(r"^Ollama is away; trying again \(attempt \d+\)… \d s\Z")
    upstream.start()
    terminal.wait_for(r"^> Hi\nHello\.\n\n>\Z")


def test_ctrl_c_before_the_gateway_has_answered(chat: Chat, upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(hang())
    with CuttingProxy(gate.base_url) as proxy:
        terminal = chat(url=proxy.base_url)
        proxy.is_mute.set()
        terminal.type("Never mind")
        terminal.wait_for(r"^> Never mind\Z")
        assert proxy.is_spoken_to.wait(DEADLINE_S), "the question is on its way: before that, it is never sent"
        terminal.type(CTRL_C)
        terminal.wait_for(r"^interrupted\n\n>\Z")
        proxy.is_mute.clear()  # what was on its way arrives, and is ended behind the prompt
        assert upstream.next_request().closed.wait(DEADLINE_S)
        terminal.type("Hi")
        terminal.wait_for(r"^Hello\.\n\n>\Z")


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_cut_connection_is_made_anew_and_no_word_comes_twice(
    chat: Chat, upstream: ScriptedOllama, gate: Gateway, reset: bool
) -> None:
    cut, is_back = threading.Event(), threading.Event()
    upstream.script(texts("one ", "two "), wait(cut), texts("three ", "four "), wait(is_back), text("five"), done())
    with CuttingProxy(gate.base_url) as proxy:
        terminal = chat(url=proxy.base_url)
        terminal.type("Count")
        terminal.wait_for(r"^one two\Z")
        proxy.go_away(reset=reset)
        cut.set()
        terminal.wait_for(r"^one two\nThe connection was cut; connecting again… \d s\Z")
        proxy.come_back()
        terminal.wait_for(r"^one two three four\Z")
        is_back.set()
        terminal.wait_for(r"^one two three four five\n\n>\Z")
    assert len(upstream.chats) == 1


def test_ctrl_c_while_the_gateway_is_away(chat: Chat, upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(text("one"), hang())
    with CuttingProxy(gate.base_url) as proxy:
        terminal = chat(url=proxy.base_url)
        terminal.type("Count")
        terminal.wait_for(r"^one\Z")
        proxy.go_away()
        terminal.wait_for(r"connecting again… \d s\Z")
        terminal.type(CTRL_C)
        terminal.wait_for(r"^one\ninterrupted\nclawgate: no gateway answers at \S+ connection refused\n\n>\Z")
        proxy.come_back()
        terminal.type("Hi")
        terminal.wait_for(r"^Hello\.\n\n>\Z")
        assert [message["content"] for message in upstream.chats[-1].messages] == ["Count", "one", "Hi"]


def test_ctrl_c_at_the_prompt_hints_and_then_leaves(chat: Chat, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    terminal = chat()
    terminal.type(b"typed")
    terminal.wait_for(r"^> typed\Z")
    terminal.type(CTRL_C)
    terminal.wait_for(r"^> typed\n>\Z")
    terminal.type(CTRL_C)
    terminal.wait_for(r"^Ctrl-C again leaves, and so does Ctrl-D\.\n>\Z")
    time.sleep(2 * HELD_S)
    terminal.type(CTRL_C)
    assert terminal.wait() == 130
    assert terminal.is_in_order


def test_a_terminal_that_is_closed_at_the_prompt_ends_it(chat: Chat, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    terminal = chat()
    os.close(terminal._fd)
    os.close(terminal._program)
    terminal._fd, terminal._program = os.openpty()
    assert terminal.process.wait(DEADLINE_S) in (128 + signal.SIGHUP, -signal.SIGHUP, 141)


def test_a_prompt_that_was_stopped_goes_on_with_what_was_typed(
    chat: Chat,
    upstream: ScriptedOllama,  # noqa: ARG001
) -> None:
    require("readline", "it edits the line")
    terminal = chat()
    terminal.type(b"what")
    terminal.wait_for(r"^> what\Z")
    terminal.signal(signal.SIGSTOP)
    terminal.cook()
    terminal.signal(signal.SIGCONT)
    wait_for(lambda: not terminal.echoes, "the terminal is the prompt's again")
    terminal.type(b"!\x7f")
    terminal.type(" now?")
    terminal.wait_for(r"^> what now\?\nHello\.\n\n>\Z")


def test_chinese_is_typed_where_no_locale_is_set(chat: Chat, upstream: ScriptedOllama) -> None:  # noqa: ARG001
    require("readline", "it edits the line")
    terminal = chat(env={"LC_ALL": "C"})
    terminal.type("你好吗".encode() + b"\x7f")
    terminal.type("。")
    terminal.wait_for(r"^> 你好。\nHello\.\n\n>\Z")


def test_commands(chat: Chat, upstream: ScriptedOllama) -> None:
    terminal = chat("--system", "Be brief.", "--no-think")
    terminal.type("/help")
    terminal.wait_for(r"^/quit +leave\n>\Z")
    terminal.type("/continue")
    terminal.wait_for(r"^There is no answer to go on with\.\n>\Z")
    terminal.type("/nonsense")
    terminal.wait_for(r"^/nonsense is no command: /help lists them\.")
    for question in ("One", "Two"):
        terminal.type(question)
        terminal.wait_for(rf"^> {question}\nHello\.\n\n>\Z")
    terminal.type("/new")
    terminal.wait_for(r"^A new conversation\.\n>\Z")
    terminal.type(b"\x1b[200~Three\nlines\there\x1b[201~\r")
    terminal.wait_for(r"here\nHello\.\n\n>\Z")
    terminal.type("/quit")
    assert terminal.wait() == 0
    said = [[message["content"] for message in chat.messages] for chat in upstream.chats]
    assert said[1] == ["Be brief.", "One", "Hello.", "Two"]
    assert said[2] == ["Be brief.", "Three\nlines\there"]
    assert [chat.json["think"] for chat in upstream.chats] == [False] * 3


def test_an_old_session_is_gone_on_with(chat: Chat, upstream: ScriptedOllama) -> None:
    upstream.script(text("Once"), hang())
    terminal = chat()
    terminal.type("A story")
    terminal.wait_for(r"^Once\Z")
    terminal.type(CTRL_C)
    terminal.wait_for(r"^interrupted\n\n>\Z")
    session_id = session_of(terminal)
    again = chat("--session", session_id)
    again.wait_for(r"^Last asked, of 1: A story\nOnce\nIt was not finished: /continue goes on\.\n>\Z")
    again.type("Go on")
    again.wait_for(r"^Hello\.\n\n>\Z")
    assert [message["content"] for message in upstream.chats[-1].messages] == ["A story", "Once", "Go on"]


def test_a_session_whose_answer_is_being_made_is_read_on(chat: Chat, upstream: ScriptedOllama, gate: Gateway) -> None:
    may_end = threading.Event()
    upstream.script(text("one "), wait(may_end), text("two"), done())
    asked = {"session_id": "s-live", "messages": [{"role": "user", "content": "Count"}]}
    with gate.stream(asked) as stream:
        stream.read_text("one ")
        terminal = chat("--session", "s-live", is_ready=False)
        terminal.wait_for(r"^An answer is being made to: Count\none\Z")
        may_end.set()
        terminal.wait_for(r"^one two\n\n>\Z")
        stream.read_all()


def test_a_gateway_that_has_forgotten_is_told_again(chat: Chat, upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(text("Once"), hang())
    terminal = chat()
    terminal.type("One")
    terminal.wait_for(r"^Once\Z")
    gate.kill_worker()
    terminal.wait_for(r"^Once\nclawgate: the gateway has forgotten this conversation in the middle of the answer")
    terminal.wait_for_prompt()
    terminal.type("/continue")
    terminal.wait_for(r"^The gateway had forgotten this conversation, and is told it again\.\nHello\.\n\n>\Z")
    assert [message["content"] for message in upstream.chats[-1].messages] == ["One", "Once"]
    gate.kill_worker()
    terminal.type("Two")
    terminal.wait_for(r"> Two\nThe gateway had forgotten .*\nHello\.\n\n>\Z")
    assert [message["content"] for message in upstream.chats[-1].messages] == ["One", "OnceHello.", "Two"]


HOSTILE = "a\x1b]52;c;aGk=\x07\x1b]0;title\x07\x1b[2J &#27;[8m `\x9b2J`\n\n```\x1b[2J\n\x1b[31mred\n```\n"


@pytest.mark.parametrize("before", ["", WITHOUT_RICH], ids=["rendered", "plain"])
def test_an_answer_sends_the_terminal_no_escape_sequence(chat: Chat, upstream: ScriptedOllama, before: str) -> None:
    upstream.script(
        thinking(HOSTILE), text(HOSTILE), tool_calls([{"function": {"name": HOSTILE, "arguments": {}}}]), done()
    )
    terminal = chat("--show-thinking", before=before)
    terminal.type("Hi")
    terminal.wait_for(r"red")
    terminal.wait_for_prompt()
    assert terminal.screen.titles == []
    assert "52;c;aGk=" in terminal.screen.all
    upstream.script(status(400, {"error": "no \x1b[2J"}))
    terminal.type("Again")
    terminal.wait_for(r"^clawgate: .*\[2J")
    terminal.wait_for_prompt()
    assert terminal.screen.titles == []


def test_without_rich_the_answer_is_plain(chat: Chat, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), text("**one**\n"), text("二 three"), done())
    terminal = chat(before=WITHOUT_RICH)
    terminal.type("Hi")
    terminal.wait_for(r"^Thought for 1 s\n\*\*one\*\*\n二 three\n\n>\Z")
    upstream.script(text("four"), hang())
    terminal.type("Hi")
    terminal.wait_for(r"^four\Z")
    terminal.type(CTRL_C)
    terminal.wait_for(r"^four\ninterrupted\n\n>\Z")


def test_a_dumb_terminal_gets_no_control_sequence(chat: Chat, upstream: ScriptedOllama) -> None:
    upstream.script(thinking("hm"), text("**one**"), done())
    terminal = chat(env={"TERM": "dumb"})
    terminal.type("Hi")
    terminal.wait_for(r"^\*\*one\*\*\n\n>\Z")
    assert b"\x1b" not in terminal.raw


def test_signals_end_the_answer_and_leave(chat: Chat, upstream: ScriptedOllama) -> None:
    upstream.script(text("Once"), hang())
    terminal = chat()
    terminal.type("A story")
    terminal.wait_for(r"^Once\Z")
    terminal.signal(signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM
    assert upstream.next_request().closed.wait(DEADLINE_S)
    assert terminal.is_in_order
    terminal = chat()
    terminal.signal(signal.SIGHUP)
    assert terminal.wait() == 128 + signal.SIGHUP
    assert terminal.is_in_order


def test_what_stands_in_the_way_is_one_line(chat: Chat, upstream: ScriptedOllama, gate: Gateway) -> None:  # noqa: ARG001
    unknown = chat("--session", "s-unknown", is_ready=False)
    assert unknown.wait() == 1
    assert unknown.screen.shown[-1] == "clawgate: --session: the gateway does not know s-unknown (any more)"
