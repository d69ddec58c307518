"""A bot's conversations in front of a real gateway: what is asked, in which order, and what the chat gets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial

import pytest

from clawgate.bots.message import Message, Snapshot
from clawgate.bots.turn import Turn
from clawgate.bots.words import EN, ZH
from tests.http.asking import ask, assert_closed, configured, session
from tests.support.bot import MINE, RULES, Bot, bot_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, status, text, texts, thinking, wait
from tests.support.sse import text_of
from tests.support.tools import wait_for

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})

MARKDOWN = "# 春\n\n```py\nprint('光')\n```\n\n- a\n- **b** \n\n末"


@pytest.fixture
def bot(gate: Gateway, upstream: ScriptedOllama) -> Iterator[Bot]:
    """A bot; the session of its usual person is forgotten."""
    del upstream
    with bot_of(gate.base_url) as made:
        yield made
    gate.delete(f"/api/sessions/{MINE}")


def has_shown(bot: Bot, message: Message, length: int) -> bool:
    """Tell whether the chat has so many characters of the answer to a message."""
    (reply,) = [reply for reply in bot.messenger.replies if reply.message is message]
    return any(len(snapshot.text) >= length for snapshot in list(reply.shown))


def asked(upstream: ScriptedOllama) -> list[list[tuple[str, str]]]:
    """The contexts that the model was asked with."""
    return [[(message["role"], message["content"]) for message in chat.messages] for chat in upstream.chats]


def test_the_final_text_is_that_of_the_gateways_own_stream(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.answer(MARKDOWN, token_size=3)
    final = bot.ask("Hello")
    assert final == Snapshot(text_of(ask(gate, {"message": "Hello"})), is_over=True)
    assert final.text == MARKDOWN


def test_a_conversation_goes_on_and_a_forgotten_one_begins_afresh(
    gate: Gateway, upstream: ScriptedOllama, bot: Bot
) -> None:
    upstream.default(text("光"), done())
    assert [bot.ask(words).text for words in ("one", "two")] == ["光", "光"]
    gate.delete(f"/api/sessions/{MINE}")
    assert bot.ask("three") == Snapshot("光", is_over=True)
    assert asked(upstream) == [
        [("user", "one")],
        [("user", "one"), ("assistant", "光"), ("user", "two")],
        [("user", "three")],
    ]


def test_a_newer_message_supersedes_and_both_stay_in_the_context(
    gate: Gateway, upstream: ScriptedOllama, bot: Bot
) -> None:
    upstream.script(text("春"), hang())
    upstream.script(text("光"), done())
    first = bot.say("one")
    bot.messenger.wait_until_shown("春")
    second = bot.say("two")
    assert bot.final_of(second) == Snapshot("光", is_over=True)
    assert bot.final_of(first) == Snapshot("春", remark=ZH.superseded, is_over=True)
    assert_closed(upstream.chats[0])
    contents = [message["content"] for message in session(gate, MINE)["messages"]]
    assert contents == ["one", "春", "two", "光"]


def test_quick_questions_keep_their_order(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.default(text("光"), done())
    words = [f"question {number}" for number in range(6)]
    last = [bot.say(each) for each in words][-1]
    assert bot.final_of(last) == Snapshot("光", is_over=True)
    told = [each["content"] for each in session(gate, MINE)["messages"] if each["role"] == "user"]
    assert told == words


def test_others_are_not_disturbed(upstream: ScriptedOllama, bot: Bot) -> None:
    go = threading.Event()
    upstream.script(text("春"), wait(go), text("光"), done())
    upstream.default(text("夏"), done())
    other = bot.say("one", "user-2")
    bot.messenger.wait_until_shown("春")
    assert [bot.ask(words).text for words in ("one", "two")] == ["夏", "夏"]
    go.set()
    assert bot.final_of(other) == Snapshot("春光", is_over=True)


def test_a_chat_may_share_a_conversation(upstream: ScriptedOllama, gate: Gateway) -> None:
    upstream.script(text("春"), hang())
    upstream.script(text("光"), done())
    with bot_of(gate.base_url, rules=RULES._replace(session_by="chat")) as bot:
        first = bot.say("one", "user-2")
        bot.messenger.wait_until_shown("春")
        assert bot.ask("two", "user-3").text == "光"
        assert bot.final_of(first).remark == ZH.superseded


def test_copies_of_a_message_are_answered_once(upstream: ScriptedOllama, bot: Bot) -> None:
    copies = [bot.messenger.message("one", id="same") for _ in range(100)]
    for copy in copies:
        bot.take(copy)
    assert bot.final_of(copies[0]).text == "Hello."
    assert (len(upstream.chats), len(bot.messenger.replies)) == (1, 1)


def test_an_answer_is_gone_on_with(upstream: ScriptedOllama, bot: Bot) -> None:
    assert bot.ask("继续") == Snapshot(remark=ZH.nothing_to_continue, is_over=True)
    upstream.answer("春光明媚，百花齐放", token_size=1)
    upstream.script(texts("春", "光"), hang())
    first = bot.say("one")
    bot.messenger.wait_until_shown("春光")
    bot.say("停止")
    assert bot.final_of(first) == Snapshot("春光", remark=ZH.stopped, is_over=True)
    assert bot.ask(" 继续！") == Snapshot("明媚，百花齐放", is_over=True)
    assert bot.ask("继续") == Snapshot(remark=ZH.nothing_to_continue, is_over=True)


def test_an_answer_that_goes_on_in_code_begins_as_code(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春\n\n```py\nx = "), hang())
    bot.say("one")
    bot.messenger.wait_until_shown("春\n\n```py\nx = ")
    bot.say("停止")
    upstream.script(text("1\n```\n\n光"), done())
    assert bot.ask("继续") == Snapshot("```py\n1\n```\n\n光", is_over=True)
    assert bot.ask("two").text == "Hello."


def test_going_on_right_behind_a_stop_loses_and_repeats_nothing(upstream: ScriptedOllama, bot: Bot) -> None:
    """Wherever the stop hits, and whichever of the two the gateway gets first."""
    words = "".join(chr(0x4E00 + number) for number in range(160))
    upstream.answer(words, token_size=2, interval_s=0.01)  # a late stop still finds it
    for cut in range(2, 42, 8):
        first = bot.say("one")
        wait_for(partial(has_shown, bot, first, cut), "it has come so far")
        bot.say("停止")
        rest = bot.ask("继续")
        assert bot.final_of(first).text + rest.text == words
        assert (bot.final_of(first).remark, rest.remark) == (ZH.stopped, "")


def test_going_on_while_an_answer_goes_on_says_nothing(upstream: ScriptedOllama, bot: Bot) -> None:
    go = threading.Event()
    upstream.script(text("春"), wait(go), text("光"), done())
    first = bot.say("one")
    bot.messenger.wait_until_shown("春")
    bot.say("继续")
    go.set()
    assert bot.final_of(first).text == "春光"
    assert len(bot.messenger.replies) == 1


def test_a_new_conversation_forgets_and_the_next_question_comes_after_it(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), hang())
    upstream.script(text("光"), done())
    first = bot.say("one")
    bot.messenger.wait_until_shown("春")
    new, second = bot.say("/NEW"), bot.say("two")
    assert bot.final_of(second) == Snapshot("光", is_over=True)
    assert bot.final_of(new) == Snapshot(ZH.new, is_over=True)
    assert bot.final_of(first) == Snapshot("春", remark=ZH.stopped, is_over=True)
    assert asked(upstream)[1] == [("user", "two")]


@pytest.mark.parametrize(("order", "said"), [("/new", ZH.new), ("two", "Hello.")])
def test_the_chat_gets_all_in_its_order(upstream: ScriptedOllama, bot: Bot, order: str, said: str) -> None:
    """However slowly the messenger takes the end of the answer before."""
    bot.messenger.due_s = None
    upstream.script(text("春"), hang())
    bot.say("one")
    (turn,) = bot.conversations._works_of(("chat-1", "user-1"))
    assert isinstance(turn, Turn)
    wait_for(lambda: turn._draft.has_text, "the text has come")
    (reply,) = bot.messenger.replies
    finish, is_overtaken, ends = reply.finish, threading.Event(), []

    def finish_slowly(snapshot: Snapshot) -> None:
        is_overtaken.wait(0.3)
        ends.append(snapshot.text)
        finish(snapshot)

    reply.finish = finish_slowly  # type: ignore[method-assign]
    ends.append(bot.ask(order).text)
    is_overtaken.set()
    wait_for(lambda: len(ends) == 2, "both are there")
    assert ends == ["春", said]


def test_a_question_that_nobody_saw_an_answer_to_is_dropped_silently(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(hang())
    upstream.script(text("光"), done())
    with bot_of(gate.base_url, due_s=None) as bot:
        bot.say("one", "user-4")
        upstream.next_request()
        assert bot.ask("two", "user-4").text == "光"
        wait_for(lambda: bot.conversations.count == 0, "both are over")
        assert len(bot.messenger.finals) == 1


def test_thinking_is_shown_only_where_it_is_wanted(gate: Gateway, upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.default(thinking("Hm"), text("光"), done())
    assert bot.ask("one") == Snapshot("光", is_over=True)
    with bot_of(gate.base_url, rules=RULES._replace(is_thinking_shown=True)) as other:
        assert other.ask("one", "user-5") == Snapshot("光", "Hm", is_over=True)


def test_a_slow_messenger_gets_the_latest_alone(upstream: ScriptedOllama, bot: Bot) -> None:
    bot.messenger.go.clear()
    upstream.script(*[text(f"{number} ") for number in range(200)], done())
    message = bot.say("one")
    upstream.next_request().finished.wait()
    bot.messenger.go.set()
    assert bot.final_of(message).text == "".join(f"{number} " for number in range(200))
    assert len(bot.messenger.replies[0].shown) < 20


def test_an_error_is_told_in_the_bots_own_words(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(status(400, {"error": "secret words of Ollama"}))
    final = bot.ask("one")
    assert (final.text, final.is_failed) == ("", True)
    assert final.remark == RULES.say(ZH.refused_by_model)


def test_an_empty_answer_says_so(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(done())
    assert bot.ask("one") == Snapshot(remark=ZH.empty, is_over=True)


def test_rules_count_from_the_next_message_on(upstream: ScriptedOllama, bot: Bot) -> None:
    del upstream
    assert bot.ask("/help").text == RULES.say(ZH.welcome)
    bot.conversations.rules = RULES._replace(words=EN, users=("user-9",))
    assert bot.ask("/help").text == RULES.say(EN.refused, user="user-1")
    assert bot.ask("/help", "user-9").text == RULES.say(EN.welcome)


def test_who_is_not_allowed_is_refused_once_and_asks_no_model(
    upstream: ScriptedOllama, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    bot.conversations.rules = RULES._replace(users=("user-2",), chats=("chat-2",))
    assert bot.ask("secret question").text == RULES.say(ZH.refused, user="user-1")
    for number in range(5):
        bot.say(f"again {number}")
    assert bot.ask("one", "user-2").text == "Hello."
    inside = bot.messenger.message("one", chat="chat-2")
    bot.take(inside)
    assert bot.final_of(inside).text == "Hello."
    assert len(bot.messenger.finals) == 3
    assert (len(upstream.chats), "secret question" in caplog.text) == (2, False)
    lines = [record.getMessage() for record in caplog.records if "kind=question" not in record.getMessage()]
    assert lines == ["refused: user 'user-1' in chat 'chat-1'"]


def test_a_picture_is_answered_with_one_sentence_a_minute(upstream: ScriptedOllama, bot: Bot) -> None:
    pictures = [bot.messenger.message(None) for _ in range(5)]
    for each in pictures:
        bot.take(each)
    assert bot.final_of(pictures[0]).text == ZH.text_only
    assert (len(bot.messenger.finals), upstream.chats) == (1, [])


def test_what_a_messenger_does_not_take_is_logged_without_its_text(
    upstream: ScriptedOllama, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.default(text("春光"), done())
    bot.messenger.is_broken = True
    bot.say("secret question")
    wait_for(lambda: bot.conversations.count == 0, "the turn is over")
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.getMessage().startswith("an answer of 2 characters to ('chat-1', 'user-1') was not delivered: ")
    assert "春光" not in caplog.text
    assert "secret" not in caplog.text
    bot.messenger.is_broken = False
    assert bot.ask("two").text == "春光"
