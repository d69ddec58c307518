"""DingTalk's stream on a real socket: tickets, acknowledgements, heartbeats, and how it comes back."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from clawgate.bots.connection import Connection
from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.stream import Stream
from clawgate.bots.failures import Denied, Disconnected
from clawgate.bots.link import Times
from clawgate.bots.message import Message
from tests.support.dingtalk import CLIENT_ID, OPEN, QPS, SECRET, USED_UP, DingTalk
from tests.support.tools import DEADLINE_S

TIMES = Times(tick_s=0.02, close_s=0.1, first_pause_s=0.01, longest_pause_s=0.08)


class Bot:
    """A connection that notes what it hears; is_taking: what it says to each message."""

    def __init__(self, peer: DingTalk, times: Times = TIMES) -> None:
        self.messages: list[Message] = []
        self.is_taking = True
        self.pauses: list[float] = []
        self.error: BaseException | None = None
        wire = Stream(Api(peer.url, CLIENT_ID, SECRET), self._take)
        self.connection = Connection(wire, times, self._pause)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="bot")
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self.connection.stop()
        self._stopped.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()
        assert self.error is None, repr(self.error)

    def _pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self._stopped.wait(pause_s)

    def _keep(self) -> None:
        try:
            self.connection.keep()
        except Exception as error:  # noqa: BLE001  the test looks at it
            self.error = error

    def _take(self, message: Message) -> bool:
        self.messages.append(message)
        return self.is_taking


@pytest.fixture
def peer() -> Iterator[DingTalk]:
    """DingTalk, which delivers again after 0.15 s."""
    with DingTalk(ack_s=0.15) as running:
        yield running


@pytest.fixture
def start(peer: DingTalk) -> Iterator[Callable[..., Bot]]:
    """Start bots; each is stopped at the end."""
    with ExitStack() as stack:

        def make(times: Times = TIMES) -> Bot:
            bot = Bot(peer, times)
            stack.callback(bot.stop)
            return bot

        yield make


def test_a_message_is_acknowledged_and_handed_on(peer: DingTalk, start: Callable[..., Bot]) -> None:
    bot = start()
    peer.wait_connected()
    peer.ping()
    message_id = peer.say("你好", is_group=True)
    peer.wait(lambda peer: len(peer.acknowledged) == 2, "two acknowledgements")
    assert [message[:5] for message in bot.messages] == [(message_id, "staff1", "cid/Group+1==", True, "你好")]
    assert peer.deliveries == [message_id]


def test_what_a_bot_that_ends_does_not_take_comes_again(peer: DingTalk, start: Callable[..., Bot]) -> None:
    bot = start()
    peer.wait_connected()
    bot.is_taking = False
    message_id = peer.say()
    peer.wait(lambda peer: len(peer.deliveries) >= 2, "a second delivery")
    bot.is_taking = True
    peer.wait(lambda peer: peer.acknowledged, "an acknowledgement")
    assert {message.id for message in bot.messages} == {message_id}, "each copy has the same id"
    assert len(bot.messages) >= 2


def test_strange_frames_end_nothing(
    peer: DingTalk, start: Callable[..., Bot], caplog: pytest.LogCaptureFixture
) -> None:
    bot = start()
    peer.wait_connected()
    for frame in ("{", "[1]", "null", "7", "{}", '{"headers": 7}', '{"headers": {"messageId": 7}, "type": {}}'):
        peer.send(frame)
    for data in ("", "{", "[]", json.dumps({"msgId": "secret words"})):
        peer.push(peer.frame("CALLBACK", "/v1.0/im/bot/messages/get", data))
    peer.push(peer.frame("CALLBACK", "/v1.0/card/instances/callback", {}))
    peer.push(peer.frame("EVENT", "*", {"x": 1}))
    peer.push(peer.frame("NEW", "whatever", {}))
    peer.push(peer.frame("SYSTEM", "KEEPALIVE", {}))
    peer.wait(lambda peer: len(peer.acknowledged) == 8, "an acknowledgement of each frame with an id")
    message_id = peer.say("noch da?")
    peer.wait(lambda peer: len(peer.acknowledged) == 9, "an acknowledgement")
    assert [message.id for message in bot.messages] == [message_id]
    assert peer.connections == 1
    assert "secret words" not in caplog.text


def test_a_new_connection_follows_where_dingtalk_asks_for_one(peer: DingTalk, start: Callable[..., Bot]) -> None:
    bot = start()
    peer.wait_connected()
    peer.disconnect()
    message_id = peer.say()
    peer.wait_connected(2)
    peer.wait(lambda peer: len(peer.acknowledged) == 2, "the message on the new connection")
    assert [message.id for message in bot.messages] == [message_id]
    assert len(peer.opened_at) == 2


def test_a_break_leads_to_a_new_connection_with_a_new_ticket(peer: DingTalk, start: Callable[..., Bot]) -> None:
    start()
    for number in range(1, 4):
        peer.wait_connected(number)
        peer.ping()
        peer.wait(lambda peer, number=number: len(peer.acknowledged) == number, "an acknowledgement")  # type: ignore[misc]
        peer.drop()
    peer.wait_connected(4)
    assert len(peer.opened_at) == 4, "one ticket each"


def test_a_silent_connection_counts_as_dead(peer: DingTalk, start: Callable[..., Bot]) -> None:
    start(TIMES._replace(silence_s=0.2))
    peer.wait_connected(2)


def test_there_is_no_storm_of_tickets(peer: DingTalk, start: Callable[..., Bot]) -> None:
    peer.fail(OPEN, 500, "unknownError", times=3)
    peer.fail(OPEN, 403, QPS)
    peer.fail(OPEN, 403, USED_UP)
    peer.script(OPEN, 403, "<html>a proxy")
    peer.script(OPEN, 200, "<html>a sign-in")
    peer.script(OPEN, 302, "")
    bot = start()
    peer.wait_connected()
    assert len(peer.opened_at) == 9
    assert bot.error is None, "what passes by itself is no denial"
    bounds = [0.01, 0.02, 0.04, *[0.08] * 5]
    assert all(bound / 2 <= pause <= bound for bound, pause in zip(bounds, bot.pauses, strict=True))


def test_a_wrong_secret_ends_the_bot(peer: DingTalk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wire = Stream(Api(peer.url, CLIENT_ID, "wrong-secret"), lambda _: True)
    with pytest.raises(Denied, match=r"401 authFailed 鉴权失败.*bots\.dingtalk_client_secret") as caught:
        Connection(wire, TIMES).keep()
    assert len(peer.opened_at) == 1
    assert "wrong-secret" not in caplog.text + str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"endpoint": "wss://x"},
        {"endpoint": "http://x", "ticket": "t"},
        {"endpoint": "ws://example.org", "ticket": "t"},
        {"endpoint": "wss://127.0.0.1:99999", "ticket": "t"},
        {"endpoint": "wss://x\r\nHost: y", "ticket": "t"},
        {"endpoint": "wss://x", "ticket": "t\u00e9"},
        {"endpoint": "wss://x", "ticket": ""},
    ],
)
def test_an_endpoint_that_is_none_is_not_used(peer: DingTalk, body: dict[str, str]) -> None:
    peer.script(OPEN, 200, body)
    with pytest.raises(Disconnected, match="the response names no endpoint and ticket"):
        Stream(Api(peer.url, CLIENT_ID, SECRET), lambda _: True).address()


def test_the_ticket_is_in_no_line_of_the_log(
    peer: DingTalk, start: Callable[..., Bot], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    start()
    peer.wait_connected()
    peer.ping()
    peer.wait(lambda peer: peer.acknowledged, "an acknowledgement")
    peer.drop()
    peer.wait_connected(2)
    assert "connection was lost" in caplog.text
    mine = [record.getMessage() for record in caplog.records if record.name != "websockets.server"]
    assert not any("ticket" in line and "/connect?" in line for line in mine)
    assert SECRET not in caplog.text
