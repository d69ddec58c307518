"""Conversations on a system that gives no further thread: they say so, hold nobody up, and leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from clawgate.bots import turn
from clawgate.bots.message import Snapshot
from clawgate.bots.words import ZH
from tests.support.bot import bot_of
from tests.support.tools import refuse_thread, wait_for
from tests.unit.client.fake_gateway import FakeGateway, begun, end, ended, failed, hang, sse, wait

BUSY = Snapshot(ZH.busy, is_over=True)


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A gateway that does what it is told."""
    with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the threads that the system gives no more."""
    names: set[str] = set()
    start = threading.Thread.start

    def start_or_refuse(thread: threading.Thread) -> None:
        (refuse_thread if thread.name in names else start)(thread)

    monkeypatch.setattr(threading.Thread, "start", start_or_refuse)
    return names


@pytest.mark.parametrize(
    ("name", "words", "said"),
    [
        ("show", "one", BUSY),
        ("read", "one", Snapshot(remark=ZH.busy, is_over=True, is_failed=True)),
        ("errand", "/new", BUSY),
        ("errand", "停止", BUSY),
    ],
)
def test_a_wish_that_gets_no_thread_is_told_and_passed_by(
    fake: FakeGateway, refused: set[str], name: str, words: str, said: Snapshot
) -> None:
    fake.script(sse(begun(), "光", ended()), end)
    with bot_of(fake.url) as bot:
        refused.add(name)
        assert bot.ask(words) == said
        refused.clear()
        assert bot.ask("two").text == "光"
    assert len(fake.requests) == 1


@pytest.mark.parametrize("name", ["show", "read"])
def test_a_question_behind_one_that_gets_no_thread_is_answered(
    fake: FakeGateway, refused: set[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    go = threading.Event()
    fake.script(wait(go), sse(begun(), "春", ended()), end)
    fake.script(sse(begun(), "光", ended()), end)
    with bot_of(fake.url) as bot:
        first = bot.say("one")
        wait_for(lambda: fake.requests, "the first is asked")
        refused.add(name)
        second = bot.say("two")
        wait_for(lambda: "can't start new thread" in caplog.text, "the second gets no thread")
        refused.clear()
        third = bot.say("three")
        go.set()
        assert ZH.busy in "".join(bot.final_of(second)[:3])
        assert bot.final_of(third).text == "光"
        assert bot.final_of(first).text == "春"


def test_an_interrupt_that_gets_no_thread_gives_the_answer_up(
    fake: FakeGateway, refused: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "SETTLE_S", 0.05)
    go = threading.Event()
    fake.script(sse(begun(), "春"), wait(go), sse("ping", first=3), hang)
    with bot_of(fake.url) as bot:
        message = bot.say("one")
        bot.messenger.wait_until_shown("春")
        refused.add("interrupt")
        bot.say("停止")
        assert bot.final_of(message) == Snapshot("春", remark=ZH.stopped, is_over=True)
        go.set()
        wait_for(lambda: bot.conversations.count == 0, "its reader leaves")
    fake.stop()


def test_an_answer_that_does_not_end_is_read_no_more(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its reader would stay for as long as the gateway has heartbeats."""
    monkeypatch.setattr(turn, "SETTLE_S", 0.05)
    monkeypatch.setattr(turn, "TRY_PAUSE_S", 0.0)
    go = threading.Event()
    fake.script(sse(begun(), "春"), wait(go), sse("ping", first=3), hang)
    for _ in range(turn.TRIES):
        fake.script(failed(500, "internal"))
    with bot_of(fake.url) as bot:
        message = bot.say("one")
        bot.messenger.wait_until_shown("春")
        bot.say("停止")
        assert bot.final_of(message) == Snapshot("春", remark=ZH.stopped, is_over=True)
        go.set()
        wait_for(lambda: bot.conversations.count == 0, "its reader leaves")
    fake.stop()


def test_a_sentence_that_gets_no_thread_is_dropped(
    fake: FakeGateway, refused: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    with bot_of(fake.url) as bot:
        refused.add("sentences")
        lost = bot.say("/help")
        refused.clear()
        assert bot.ask("/help").text
        assert [each.message for each in bot.messenger.replies if each.final is None] == [lost]
    assert "sentences are dropped, 1 so far" in caplog.text
