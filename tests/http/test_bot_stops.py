"""A stop reaches Ollama within a second in every phase, and whatever the messenger does; so does a drain."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from clawgate.bots.conversations import MAX_WORKS_OF_ONE, MAX_WORKS_OF_PERSON
from clawgate.bots.message import Snapshot
from clawgate.bots.turn import Turn
from clawgate.bots.words import ZH
from tests.http.asking import assert_closed, configured, interrupt, session
from tests.support.bot import MINE, Bot, bot_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, done, hang, headers, text, thinking
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})

PHASES: dict[str, tuple[tuple[Step, ...], str]] = {
    "connecting": ((hang(),), ""),
    "loading": ((headers(), hang()), ""),
    "thinking": ((thinking("Hm"), hang()), ""),
    "text": ((text("春"), hang()), "春"),
}


@pytest.fixture
def bot(gate: Gateway, upstream: ScriptedOllama) -> Iterator[Bot]:
    """A bot; the session of its usual person is forgotten."""
    del upstream
    with bot_of(gate.base_url) as made:
        yield made
    gate.delete(f"/api/sessions/{MINE}")


@pytest.mark.parametrize("phase", PHASES)
def test_a_stop_closes_ollamas_connection(upstream: ScriptedOllama, bot: Bot, phase: str) -> None:
    steps, partial = PHASES[phase]
    upstream.script(*steps)
    message = bot.say("one")
    request = upstream.next_request()
    bot.messenger.wait_until_shown(partial)
    bot.say("停止。")
    assert_closed(request)
    assert bot.final_of(message) == Snapshot(partial, remark=ZH.stopped, is_over=True)
    assert len(bot.messenger.replies) == 1


def test_a_slow_messenger_does_not_delay_a_stop(upstream: ScriptedOllama, bot: Bot) -> None:
    bot.messenger.go.clear()
    upstream.script(text("春"), hang())
    message = bot.say("one")
    request = upstream.next_request()
    wait_for(lambda: bot.messenger.replies[0].shown, "the messenger hangs in the first snapshot")
    (turn,) = bot.conversations._works_of(("chat-1", "user-1"))
    assert isinstance(turn, Turn)
    wait_for(lambda: turn._draft.has_text, "the text has come")
    bot.say("stop")
    assert_closed(request)
    assert bot.messenger.finals == []
    bot.messenger.go.set()
    assert bot.final_of(message) == Snapshot("春", remark=ZH.stopped, is_over=True)


def test_a_stop_right_behind_the_question_ends_it(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    """Whichever of the two the gateway gets first."""
    upstream.default(hang())
    for _ in range(10):
        message = bot.say("one")
        bot.say("停止")
        assert bot.final_of(message) == Snapshot(remark=ZH.stopped, is_over=True)
    wait_for(lambda: gate.streams == 0, "no answer is left at the gateway")
    assert all(chat.closed.wait(1) for chat in upstream.chats)


def test_a_stop_ends_the_wait_for_an_ollama_that_is_away(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.stop()
    message = bot.say("one")
    bot.messenger.wait_until_shown(ZH.waiting)
    bot.say("停止")
    assert bot.final_of(message) == Snapshot(remark=ZH.stopped, is_over=True)
    wait_for(lambda: gate.streams == 0, "the gateway waits no more", 1)
    upstream.start()
    assert bot.ask("two").text == "Hello."


def test_a_stop_of_one_leaves_others_alone(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), hang())
    mine = bot.say("one")
    request = upstream.next_request()
    upstream.script(text("夏"), hang())
    bot.say("two", "user-2")
    other = upstream.next_request()
    bot.messenger.wait_until_shown("夏")
    bot.say("停止")
    assert bot.final_of(mine).remark == ZH.stopped
    assert_closed(request)
    assert not other.closed.is_set()


def test_a_stop_of_several_says_so_once(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.default(text("春"), hang())
    first = bot.say("one")
    bot.messenger.wait_until_shown("春")
    bot.messenger.due_s = None
    rest = [bot.say(words) for words in ("two", "three", "four")]
    bot.say("停止")
    last = bot.final_of(rest[-1])
    assert (last.remark, last.is_over) == (ZH.stopped, True)
    assert bot.final_of(first) == Snapshot("春", remark=ZH.superseded, is_over=True)
    wait_for(lambda: bot.conversations.count == 0, "all are over")
    assert [final.remark for final in bot.messenger.finals].count(ZH.stopped) == 1
    assert all(final.text or final.remark == ZH.stopped for final in bot.messenger.finals)


def test_nothing_to_stop_is_said_and_an_answer_from_before_a_restart_is_ended(
    gate: Gateway, upstream: ScriptedOllama, bot: Bot
) -> None:
    assert bot.ask("停止") == Snapshot(ZH.nothing_running, is_over=True)
    upstream.script(text("春"), hang())
    with gate.stream({"session_id": MINE, "messages": [{"role": "user", "content": "one"}]}) as stream:
        request = upstream.next_request()
        stream.read_text("春")
        assert bot.ask("停止") == Snapshot(ZH.stopped, is_over=True)
        assert_closed(request)


def test_a_question_behind_such_a_stop_is_not_hit_by_it(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.default(text("光"), done())
    for number in range(5):
        bot.say("停止")
        assert bot.ask(f"question {number}") == Snapshot("光", is_over=True)


def test_an_answer_that_others_end_says_that_it_can_go_on(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), hang())
    message = bot.say("one")
    bot.messenger.wait_until_shown("春")
    interrupt(gate, MINE)
    assert bot.final_of(message).remark == ZH.truncated.format(go_on="继续")


def test_a_drain_ends_every_answer_and_delivers_it(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.default(text("春"), hang())
    messages = [bot.say("one", f"user-{number}") for number in range(5)]
    wait_for(lambda: sum(bool(reply.shown and reply.shown[-1].text) for reply in bot.messenger.replies) == 5, "all say")
    assert bot.conversations.drain(10)
    restarting = ZH.restarting.format(go_on="继续")
    assert bot.messenger.finals == [Snapshot("春", remark=restarting, is_over=True)] * 5
    assert all(chat.closed.wait(1) for chat in upstream.chats)
    assert not bot.conversations.take(bot.messenger.message("two"))
    assert len(bot.messenger.replies) == len(messages)
    assert session(gate, MINE)["messages"][-1]["interrupted"]


def test_a_drain_is_over_in_time_where_the_messenger_hangs(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), hang())
    bot.messenger.go.clear()
    bot.say("one")
    request = upstream.next_request()
    wait_for(lambda: bot.messenger.replies[0].shown, "the messenger hangs")
    started = time.monotonic()
    assert not bot.conversations.drain(0.2)
    assert time.monotonic() - started < 10
    assert_closed(request)


def test_many_at_once_are_bounded(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    """One person's by 8, with one sentence for all beyond; everybody's by 100, without a thread for each refusal."""
    upstream.default(hang())
    bot.messenger.go.clear()
    for number in range(20):
        bot.say(f"question {number}")
    assert bot.conversations.count == 8
    for number in range(200):
        bot.say("one", f"user-{number + 10}")
    assert bot.conversations.count == 100
    ours = [thread for thread in threading.enumerate() if thread.name in ("show", "read", "sentences")]
    assert len(ours) <= 2 * 100 + 4
    bot.messenger.go.set()
    wait_for(lambda: ZH.busy in [final.text for final in bot.messenger.finals], "the others are told")
    wait_for(lambda: [final.text for final in bot.messenger.finals].count(ZH.too_many) == 1, "it is told once")
    assert bot.conversations.drain(15)
    wait_for(lambda: gate.streams == 0, "no answer is left at the gateway")


def test_a_person_who_wrote_too_much_can_begin_anew(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), hang())
    upstream.default(hang())
    bot.messenger.go.clear()
    bot.say("question")
    wait_for(lambda: bot.messenger.replies[0].shown, "the messenger hangs")
    for number in range(MAX_WORKS_OF_ONE):
        bot.say(f"question {number}")
    for _ in range(3):
        bot.say("/new")
    assert bot.conversations.count == MAX_WORKS_OF_ONE + 1
    wait_for(lambda: gate.get(f"/api/sessions/{MINE}").status == 404, "the session is forgotten")


def test_a_person_in_many_chats_leaves_places_to_others(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.default(hang())
    bot.messenger.go.clear()
    for chat in range(20):
        for number in range(8):
            bot.take(bot.messenger.message(f"question {number}", chat=f"chat-{chat + 10}"))
    assert bot.conversations.count == MAX_WORKS_OF_PERSON
    bot.say("one", "user-2")
    assert bot.conversations.count == MAX_WORKS_OF_PERSON + 1
    bot.messenger.go.set()
    wait_for(lambda: ZH.too_many in [final.text for final in bot.messenger.finals], "it is told")
    assert bot.conversations.drain(15)
    assert [final.text for final in bot.messenger.finals].count(ZH.too_many) == 1
    wait_for(lambda: gate.streams == 0, "no answer is left at the gateway")
