"""Conversations in front of a gateway that is away, hangs or breaks, and the row in which their orders stand."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from functools import partial

import pytest

from clawgate.bots import place, sentences, turn
from clawgate.bots.draft import MAX_TEXT
from clawgate.bots.message import Snapshot
from clawgate.bots.place import Place
from clawgate.bots.sentences import MAX_THREADS, MAX_WAITING, MAX_WAITING_OF_ONE, Sentences
from clawgate.bots.words import ZH
from clawgate.client import Gateway
from clawgate.telemetry.ids import Pseudonyms
from tests.support.bot import MINE, RULES, Bot, bot_of
from tests.support.messenger import RecordingMessenger, RecordingReply
from tests.support.tools import DEADLINE_S, free_port, wait_for
from tests.unit.client.fake_gateway import FakeGateway, Step, begun, drop, end, ended, failed, hang, reply, sse, wait

INTERRUPT = reply(200, {"session_id": MINE, "run_id": "run_1", "interrupted": True, "partial": ""})


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A gateway that does what it is told."""
    with FakeGateway() as gateway:
        yield gateway


def asked(fake: FakeGateway) -> list[object]:
    """What the gateway was asked: texts of questions, and paths of everything else."""
    return [(request.json or {}).get("message", request.path) for request in fake.requests]


def test_a_gateway_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    with bot_of(f"http://127.0.0.1:{free_port()}") as bot:
        assert bot.ask("secret question") == Snapshot(remark=ZH.away, is_over=True, is_failed=True)
        assert bot.ask("停止").text == ZH.away
        assert bot.ask("/new").text == ZH.away
    assert "no gateway answers" in caplog.text
    assert "secret question" not in caplog.text


def test_the_log_has_no_id_that_opens_a_session(fake: FakeGateway, caplog: pytest.LogCaptureFixture) -> None:
    fake.script(failed(500, "internal", f"no session {MINE}"))
    fake.script(failed(500, "internal", f"no session {MINE}"))
    with caplog.filtering(Pseudonyms(b"k" * 16, is_whole=False)), bot_of(fake.url) as bot:
        bot.ask("one")
        bot.ask("停止")
    assert len(caplog.records) == 2
    assert "no session" in caplog.text
    assert MINE not in caplog.text


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (failed(503, "shutting_down"), ZH.away),
        (failed(503, "session_store_unavailable"), ZH.away),
        (failed(504, "upstream_timeout"), ZH.model_away),
        (failed(500, "internal"), ZH.failed.format(code="internal")),
        (reply(200, "<html>", "text/html"), ZH.away),
    ],
)
def test_an_error_is_a_sentence(fake: FakeGateway, step: Step, sentence: str) -> None:
    fake.script(step)
    with bot_of(fake.url) as bot:
        assert bot.ask("one") == Snapshot(remark=sentence, is_over=True, is_failed=True)


def test_a_model_that_cannot_go_on_says_so(fake: FakeGateway) -> None:
    fake.script(reply(200, {"session_id": MINE, "messages": []}))
    fake.script(failed(409, "cannot_continue"))
    with bot_of(fake.url) as bot:
        assert bot.ask("继续") == Snapshot(remark=ZH.cannot_continue, is_over=True)


def test_a_connection_that_breaks_shows_nothing_and_loses_nothing(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "春"), drop)
    fake.script(sse("光", ended(), first=3), end)
    with bot_of(fake.url) as bot:
        assert bot.ask("one") == Snapshot("春光", is_over=True)


def test_a_gateway_that_hangs_is_given_up_by_a_stop(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "SETTLE_S", 0.1)
    fake.script(hang)
    bot = Bot(fake.url)
    message = bot.say("one")
    wait_for(lambda: fake.requests, "it is asked")
    bot.say("停止")
    assert bot.final_of(message) == Snapshot(remark=ZH.stopped, is_over=True)
    assert bot.conversations.drain(5)
    fake.stop()


def test_an_interrupt_that_fails_is_tried_again(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn, "TRY_PAUSE_S", 0.0)
    go = threading.Event()
    fake.script(sse(begun(), "春"), wait(go), sse(ended("interrupted"), first=3), end)
    fake.script(drop)
    fake.script(INTERRUPT)
    with bot_of(fake.url) as bot:
        message = bot.say("one")
        bot.messenger.wait_until_shown("春")
        bot.say("停止")
        wait_for(lambda: asked(fake).count("/api/interrupt") == 2, "it is told twice")
        go.set()
        assert bot.final_of(message) == Snapshot("春", remark=ZH.stopped, is_over=True)


def test_a_question_waits_for_the_start_of_the_one_before(fake: FakeGateway) -> None:
    go = threading.Event()
    fake.script(wait(go), sse(begun(), ended("superseded")), end)
    fake.script(sse(begun(), "光", ended()), end)
    with bot_of(fake.url) as bot:
        bot.say("one")
        wait_for(lambda: fake.requests, "the first is asked")
        second = bot.say("two")
        assert asked(fake) == ["one"]
        go.set()
        assert bot.final_of(second).text == "光"
    assert asked(fake) == ["one", "two"]


def test_a_question_that_does_not_begin_is_ended_for_the_next(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "BEGIN_S", 0.1)
    monkeypatch.setattr(turn, "SETTLE_S", 0.1)
    fake.script(hang)
    fake.script(sse(begun(), "光", ended()), end)
    bot = Bot(fake.url)
    bot.say("one")
    wait_for(lambda: fake.requests, "the first is asked")
    assert bot.ask("two").text == "光"
    assert bot.conversations.drain(5)
    assert len(bot.messenger.finals) == 1
    fake.stop()


def test_a_new_conversation_comes_behind_a_question_that_has_not_begun(fake: FakeGateway) -> None:
    """Else the question, which is on its way, would begin the conversation that was to be forgotten."""
    go = threading.Event()
    fake.script(wait(go), sse(begun(), ended("interrupted")), end)
    fake.script(INTERRUPT)
    fake.script(reply(204))
    fake.script(failed(404, "unknown_session"))
    fake.script(sse(begun(), "光", ended()), end)
    with bot_of(fake.url) as bot:
        bot.say("one")
        wait_for(lambda: fake.requests, "the question is asked")
        new, second = bot.say("/new"), bot.say("two")
        wait_for(lambda: sum(thread.name in ("errand", "read") for thread in threading.enumerate()) == 3, "all wait")
        go.set()
        assert bot.final_of(second).text == "光"
        assert bot.final_of(new).text == ZH.new
    forgotten = f"/api/sessions/{MINE}"
    assert asked(fake) == ["one", "/api/interrupt", forgotten, "two", "/api/chat"]
    assert len(bot.messenger.finals) == 2


def test_an_endless_answer_is_ended(fake: FakeGateway) -> None:
    go = threading.Event()
    fake.script(sse(begun(), "x" * MAX_TEXT, "x"), wait(go), sse(ended("interrupted"), first=4), end)
    fake.script(INTERRUPT)
    with bot_of(fake.url) as bot:
        message = bot.say("one")
        wait_for(lambda: "/api/interrupt" in asked(fake), "the gateway is told")
        go.set()
        assert bot.final_of(message) == Snapshot("x" * MAX_TEXT, remark=RULES.say(ZH.shortened), is_over=True)


def test_the_end_is_delivered_whatever_goes_wrong_before(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    problems: list[object] = []
    go = threading.Event()

    def break_down(_: RecordingReply) -> float:
        go.set()
        raise ValueError("a defect of a messenger's")

    monkeypatch.setattr(threading, "excepthook", problems.append)
    monkeypatch.setattr(RecordingReply, "due_s", break_down)
    fake.script(sse(begun(), "春"), wait(go), sse(ended(), first=3), end)
    with bot_of(fake.url) as bot:
        assert bot.ask("one") == Snapshot("春", is_over=True)
    wait_for(lambda: len(problems) == 1, "it is told")


def test_an_answer_whose_reader_breaks_down_is_told_as_an_error(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    problems: list[object] = []
    monkeypatch.setattr(threading, "excepthook", problems.append)
    with bot_of(fake.url) as bot:
        with monkeypatch.context() as broken:
            broken.setattr(Gateway, "ask", lambda *_: 1 // 0)
            assert bot.ask("one").remark == ZH.failed.format(code="internal")
        fake.script(sse(begun(), "光", ended()), end)
        assert bot.ask("two").text == "光"
    assert len(problems) == 1


def test_a_second_stop_behind_one_that_is_on_its_way_asks_nothing(fake: FakeGateway) -> None:
    go = threading.Event()
    fake.script(wait(go), failed(404, "unknown_session"))
    with bot_of(fake.url) as bot:
        first = bot.say("停止")
        bot.say("停止")
        go.set()
        assert bot.final_of(first).text == ZH.nothing_running
    assert asked(fake) == ["/api/interrupt"]
    assert len(bot.messenger.replies) == 1


def test_a_drain_waits_for_the_bots_own_sentences(fake: FakeGateway) -> None:
    with bot_of(fake.url) as bot:
        bot.messenger.go.clear()
        message = bot.say("/help")
        assert not bot.conversations.drain(0.05)
        bot.messenger.go.set()
        assert bot.conversations.drain(5)
        assert bot.final_of(message).text


def test_a_place_is_reached_in_its_turn() -> None:
    first = Place(None)
    ended_early = threading.Event()
    second = Place(first, ended_early.set)
    waiting = threading.Thread(target=second.wait)
    first.wait()
    waiting.start()
    first.give_way()
    waiting.join(DEADLINE_S)
    assert not waiting.is_alive()
    assert not ended_early.is_set()


def test_a_place_keeps_none_of_those_before_it() -> None:
    """A conversation that never rests would keep all of them."""
    first = Place(None)
    second, kept = Place(first), weakref.ref(first)
    first.give_way()
    second.wait()
    del first
    assert kept() is None


def test_a_place_behind_several_waits_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "BEGIN_S", 0.01)
    places = [Place(None)]
    given_up: list[int] = []
    for number in range(5):
        places.append(Place(places[-1], partial(given_up.append, number)))
    threads = [threading.Thread(target=each.wait) for each in places]
    for thread in reversed(threads):
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert given_up == [0, 1, 2, 3, 4]


def test_sentences_are_bounded_and_their_threads_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentences, "SILENT_S", 3600.0)
    messenger = RecordingMessenger()
    messenger.go.clear()
    idle = threading.Event()
    made = Sentences(idle.set)
    for number in range(MAX_THREADS):
        made.say(f"chat-{number}", messenger.reply_to(messenger.message("one")), "hello")
    wait_for(lambda: not made._waiting, "each thread has one")
    for number in range(3 * MAX_WAITING):
        made.say(f"chat-{number}", messenger.reply_to(messenger.message("one")), "hello")
    assert sum(thread.name == "sentences" for thread in threading.enumerate()) == MAX_THREADS
    messenger.go.set()
    wait_for(lambda: made.is_idle, "all is said")
    assert idle.wait(DEADLINE_S)
    assert len(messenger.finals) == MAX_THREADS + MAX_WAITING
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("users", "chats", "sentence"),
    [
        ((), (), ZH.welcome),
        (("user-1",), ("group-1",), ZH.welcome),
        (("user-2",), (), ZH.refused),
        ((), ("group-1",), ZH.refused),
    ],
)
def test_a_person_who_opens_the_chat_is_not_invited_to_what_is_refused(
    users: tuple[str, ...], chats: tuple[str, ...], sentence: str
) -> None:
    bot = Bot(f"http://127.0.0.1:{free_port()}", rules=RULES._replace(users=users, chats=chats))
    assert bot.conversations.greeting_of("user-1") == RULES.say(sentence, user="user-1")


def test_a_chat_that_is_flooded_holds_up_no_sentence_of_another() -> None:
    slow, quick = RecordingMessenger(), RecordingMessenger()
    slow.go.clear()
    made = Sentences(lambda: None)
    for _ in range(2 * MAX_WAITING):
        made.say("flooded", slow.reply_to(slow.message("/help")), "hello")
    message = quick.message("/help")
    made.say("other", quick.reply_to(message), "hello")
    assert quick.final_of(message).text == "hello"
    slow.go.set()
    wait_for(lambda: made.is_idle, "all is said")
    assert len(slow.finals) <= MAX_WAITING_OF_ONE + 1
