"""The wire on a real socket: the subscription, what WeCom sends, and connections that end in every way."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from clawgate.bots.failures import Denied, Disconnected, TakenOver
from clawgate.bots.link import Frame, Link
from clawgate.bots.message import Message
from clawgate.bots.wecom.frames import Place, push
from clawgate.bots.wecom.outbox import Outbox, Refused
from clawgate.bots.wecom.wire import PING_S, PONG_S, WecomWire
from tests.support.tools import wait_for
from tests.support.wecom import ScriptedWecom
from tests.support.wecom_rules import BUSY
from tests.unit.bots.wecom.bot import Bot, over

NO_FRAMES: list[str | bytes] = [
    "",
    "x",
    "[]",
    "null",
    "7",
    '"x"',
    "{",
    "[" * 100_000,
    '{"cmd":7}',
    '{"headers":[]}',
    b"\xff\xfe",
    "NaN",
]
ODD_FRAMES: list[dict[str, Any]] = [
    {},
    {"cmd": "aibot_msg_callback"},
    {"cmd": "aibot_msg_callback", "headers": "x", "body": []},
    {"cmd": "aibot_msg_callback", "headers": {"req_id": 7}, "body": {"from": {"userid": "zhang"}}},
    {"cmd": "aibot_msg_callback", "headers": {"req_id": "r"}, "body": {"from": None, "text": 7}},
    {"cmd": "aibot_event_callback", "body": {"event": "x"}},
    {"cmd": "aibot_event_callback", "headers": {}, "body": {"event": {"eventtype": "enter_chat"}}},
    {"cmd": "aibot_event_callback", "headers": {"req_id": "r"}, "body": {"event": {"eventtype": "feedback_event"}}},
    {"cmd": ["x"], "headers": {"req_id": "r"}},
    {"headers": {"req_id": "nobody's"}, "errcode": 0},
    {"headers": None, "errcode": None},
    {"errcode": {"x": 1}, "errmsg": []},
]


@pytest.fixture
def wecom() -> Iterator[ScriptedWecom]:
    """A scripted WeCom."""
    with ScriptedWecom() as scripted:
        yield scripted


def test_a_bot_subscribes_once_and_hears_what_people_write(wecom: ScriptedWecom) -> None:
    with Bot(wecom) as bot:
        message = bot.hears("@bot 你好", group="wr1")
    assert (message.text, message.user, message.chat) == ("你好", "zhang", "wr1")
    assert [frame["cmd"] for frame in wecom.frames] == ["aibot_subscribe"]
    assert wecom.most_live == 1


def test_a_wrong_secret_ends_the_bot_and_names_no_secret(wecom: ScriptedWecom) -> None:
    with Bot(wecom, secret="wr0ng") as bot:
        error = bot.ended()
    assert isinstance(error, Denied)
    assert str(error).startswith("WeCom refuses the bot: 853000 signature is incorrect")
    assert "wr0ng" not in str(error)


def test_a_subscription_that_comes_too_often_is_tried_again_later(wecom: ScriptedWecom) -> None:
    with Bot(wecom) as bot:
        wecom.wait_subscribed()
        wecom.rules.subscribe_s = 1000
        wecom.drop()
        wecom.wait(lambda: len(wecom.frames) >= 2, "a second subscription")
        wecom.rules.subscribe_s = 0
        wecom.wait_subscribed(2)
    assert any(30 <= pause <= 45 for pause in bot.pauses)
    assert bot.error is None


def test_who_enters_a_chat_is_welcomed(wecom: ScriptedWecom) -> None:
    with Bot(wecom):
        wecom.wait_subscribed()
        wecom.event("enter_chat", "li")
        assert wecom.answer("li")[0].contents == ["您好 li"]
    assert wecom.messages[0].kind == "welcome"


def test_a_newer_bot_ends_this_one(wecom: ScriptedWecom) -> None:
    with Bot(wecom) as old:
        wecom.wait_subscribed()
        with Bot(wecom) as new:
            assert isinstance(old.ended(), TakenOver)
            wecom.say("你好")
            assert new.messages.get(timeout=20).text == "你好"
    assert wecom.subscriptions == 2, "the old one did not come back"
    assert wecom.most_live == 2


def test_a_dropped_connection_is_made_anew(wecom: ScriptedWecom) -> None:
    with Bot(wecom) as bot:
        bot.hears("一")
        wecom.drop()
        wecom.wait_subscribed(2)
        assert bot.hears("二").text == "二"
    assert wecom.most_live == 1


def test_a_forgotten_subscription_is_made_anew_and_the_answer_arrives(wecom: ScriptedWecom) -> None:
    """The connection lives, and pings are answered: without a look at the code the bot would be deaf for good."""
    with Bot(wecom) as bot:
        reply = bot.reply()
        wecom.forget()
        reply.finish(over("回答"))
    assert wecom.subscriptions == 2
    assert [(each.kind, each.content) for each in wecom.messages] == [("push", "回答")]


def test_no_frame_ends_the_bot(wecom: ScriptedWecom) -> None:
    with Bot(wecom) as bot:
        wecom.wait_subscribed()
        for text in [*NO_FRAMES, *(json.dumps(frame) for frame in ODD_FRAMES)]:
            wecom.raw(text)
        assert bot.hears("还在吗").text == "还在吗"
    assert wecom.subscriptions == 1
    assert not wecom.messages


def test_a_busy_wecom_is_waited_for(wecom: ScriptedWecom) -> None:
    wecom.rules.refusals.append(BUSY)
    with Bot(wecom) as bot:
        bot.reply().finish(over("回答"))
    assert [(each.kind, each.contents) for each in wecom.messages] == [("stream", ["回答"])]


class FakeLink:
    """A connection that says what a test tells it to. answers: what comes to the subscription."""

    def __init__(self, *answers: Any) -> None:
        self.sent: list[Frame] = []
        self.answers = list(answers)

    def send(self, frame: Frame) -> None:
        """Keep it."""
        self.sent.append(frame)

    def receive(self, _: float) -> Frame | None:
        """Return the next answer, with the subscription's id."""
        answer = self.answers.pop(0) if self.answers else None
        return None if answer is None else {"headers": self.sent[0]["headers"], **answer}


class Room:
    """A wire on a fake connection, at a time that a test sets."""

    def __init__(self, *answers: Any) -> None:
        self.now = 1000.0
        self.outbox = Outbox(0.05)
        self.fake = FakeLink(*answers)
        self.link = cast(Link, self.fake)
        self.messages: list[Message] = []
        take, no_words = self.messages.append, str
        self.wire = WecomWire("ws://x", "bot", "s", self.outbox, take, no_words, clock=self._clock)

    def _clock(self) -> float:
        self.now += 0.01
        return self.now

    def later(self, seconds: float) -> Frame | None:
        """Let time pass; return what the wire sends then."""
        self.now += seconds
        before = len(self.fake.sent)
        self.wire.tick(self.link)
        return self.fake.sent[-1] if len(self.fake.sent) > before else None

    def pong(self, ping: Frame | None) -> None:
        """Answer a ping."""
        assert ping is not None
        self.wire.hear(self.link, {"headers": ping["headers"], "errcode": 0})


@pytest.fixture
def room() -> Room:
    """A wire that has subscribed."""
    room = Room({"errcode": 0})
    room.wire.begin(room.link)
    return room


def test_a_ping_leaves_each_30_s(room: Room) -> None:
    assert room.later(PING_S - 1) is None
    for _ in range(5):
        ping = room.later(PING_S)
        assert ping is not None
        assert ping["cmd"] == "ping"
        room.pong(ping)


def test_two_unanswered_pings_are_the_end_within_75_s(room: Room) -> None:
    assert room.later(PING_S)
    assert room.later(PING_S)
    assert room.later(PONG_S - 1) is None
    with pytest.raises(Disconnected, match="did not answer two pings"):
        room.later(2)


def test_one_unanswered_ping_is_forgiven(room: Room) -> None:
    room.later(PING_S)
    room.pong(room.later(PING_S))
    assert room.later(PONG_S + 1) is None
    assert room.later(PING_S)


def test_the_pings_of_a_connection_before_do_not_count(room: Room) -> None:
    assert room.later(PING_S)
    assert room.later(PING_S)
    room.wire.end()
    room.fake.sent.clear()
    room.fake.answers.append({"errcode": 0})
    room.wire.begin(room.link)
    assert room.later(PONG_S + 1) is None


def test_a_message_may_come_before_the_subscriptions_answer() -> None:
    body = {"msgid": "m", "msgtype": "text", "text": {"content": "早"}, "from": {"userid": "zhang"}}
    early = {"cmd": "aibot_msg_callback", "headers": {"req_id": "x"}, "body": body}
    room = Room(None, {"headers": 7}, early, {"errcode": 0})
    room.wire.begin(room.link)
    assert room.outbox.wait_open(0)
    assert [message.text for message in room.messages] == ["早"]


def test_a_subscription_without_an_answer_is_given_up() -> None:
    room = Room()
    with pytest.raises(Disconnected, match="did not answer the subscription within 10 s"):
        room.wire.begin(room.link)
    assert not room.outbox.wait_open(0)


@pytest.mark.parametrize(
    ("answer", "kind", "pause_s"),
    [
        ({"errcode": 45009, "errmsg": "api freq out of limit"}, Disconnected, 30),
        ({"errcode": -1, "errmsg": "system busy"}, Disconnected, 0),
        ({"errcode": 40058, "errmsg": "nobody knows"}, Disconnected, 0),
        ({"errcode": {"x": 1}}, Disconnected, 0),
        ({}, Disconnected, 0),
        ({"errcode": 93019, "errmsg": "invalid bot_id"}, Denied, None),
    ],
)
def test_what_a_subscription_is_answered(answer: Frame, kind: type[Exception], pause_s: float | None) -> None:
    room = Room(answer)
    with pytest.raises(kind) as caught:
        room.wire.begin(room.link)
    assert getattr(caught.value, "pause_s", None) == pause_s
    assert not room.outbox.wait_open(0)


def test_a_connection_that_ends_lets_replies_wait(room: Room) -> None:
    room.wire.end()
    with pytest.raises(Disconnected):
        room.outbox.send(push(Place("r", "c", False), "x"))


def test_the_sender_hears_of_the_forgotten_subscription_too(room: Room) -> None:
    """The one who sends tries again; the thread of the connection makes a new one."""
    frame = push(Place("r", "c", False), "x")
    caught: list[Exception] = []

    def send() -> None:
        try:
            room.outbox.send(frame)
        except Refused as error:
            caught.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    wait_for(lambda: frame in room.fake.sent, "the frame leaves")
    with pytest.raises(Disconnected, match="forgotten the subscription"):
        room.wire.hear(room.link, {"headers": frame["headers"], "errcode": 846609, "errmsg": "not subscribed"})
    thread.join()
    assert [str(error) for error in caught] == ["WeCom says 846609 not subscribed"]
