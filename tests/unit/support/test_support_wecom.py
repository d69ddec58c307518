"""The scripted WeCom notices what WeCom forbids: else no test of the bot could fail for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from clawgate.bots.wecom import frames
from clawgate.bots.wecom.frames import Place
from tests.support.tools import DEADLINE_S
from tests.support.wecom import ScriptedWecom
from tests.support.wecom_rules import CONTENT_BYTES, Rules

SUBSCRIBE = frames.subscribe("bot", "s3cr3t")


class Client:
    """A bot that sends what a test tells it to."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    def send(self, frame: dict[str, Any]) -> None:
        """Send a frame."""
        self._socket.send(json.dumps(frame))

    def receive(self) -> dict[str, Any]:
        """Return the next frame."""
        frame: dict[str, Any] = json.loads(self._socket.recv(timeout=DEADLINE_S))
        return frame

    def code_of(self, frame: dict[str, Any]) -> int:
        """Send a frame; return the code of its acknowledgement."""
        self.send(frame)
        return int(self.receive()["errcode"])


@contextmanager
def client_of(wecom: ScriptedWecom) -> Iterator[Client]:
    """Connect to a scripted WeCom."""
    with connect(wecom.url, compression=None) as socket:
        yield Client(socket)


@pytest.fixture
def wecom() -> Iterator[ScriptedWecom]:
    """A scripted WeCom whose violations the test looks at."""
    scripted = ScriptedWecom(rules=Rules())
    yield scripted
    scripted.close()


@pytest.fixture
def client(wecom: ScriptedWecom) -> Iterator[Client]:
    """A client that has subscribed."""
    with client_of(wecom) as connected:
        assert connected.code_of(SUBSCRIBE) == 0
        yield connected


@pytest.fixture
def place(wecom: ScriptedWecom, client: Client) -> Place:
    """The place of an answer."""
    wecom.say("你好")
    return Place(client.receive()["headers"]["req_id"], "zhang", False)


def test_an_answer_is_seen_and_is_no_violation(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    assert client.code_of(frames.stream(place, "s", "春", is_last=False)) == 0
    assert client.code_of(frames.stream(place, "s", "春光", is_last=True)) == 0
    assert client.code_of(frames.stream(place, "s", "春光", is_last=True)) == 0, "the end may be sent twice"
    assert client.code_of(frames.ping()) == 0
    assert wecom.answer()[0].content == "春光"
    assert wecom.violations == []


def test_a_frame_before_the_subscription_is_a_violation(wecom: ScriptedWecom) -> None:
    with client_of(wecom) as client:
        assert client.code_of(frames.push(Place("", "zhang", False), "x")) == 846609
    assert wecom.violations == ["aibot_send_msg before the subscription"]


def test_a_second_frame_before_the_acknowledgement_is_one(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    wecom.rules.unacknowledged = 1
    client.send(frames.stream(place, "s", "春", is_last=False))
    client.code_of(frames.stream(place, "s", "春光", is_last=False))
    assert len(wecom.violations) == 1
    assert "before the acknowledgement of the first" in wecom.violations[0]


def test_a_content_that_is_too_long_is_one(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    assert client.code_of(frames.stream(place, "s", "x" * CONTENT_BYTES, is_last=False)) == 0
    assert client.code_of(frames.stream(place, "s", "x" * CONTENT_BYTES + "x", is_last=False)) == 40058
    assert client.code_of(frames.push(place, "春" * 7000)) == 40058
    assert wecom.violations == ["a content of 20481 bytes", "a content of 21000 bytes"]


def test_too_many_frames_in_a_minute_are_one(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    codes = [client.code_of(frames.push(place, "x")) for _ in range(31)]
    assert codes == [0] * 30 + [45009]
    assert wecom.violations == ["more than 30 frames a minute in one chat"]


@pytest.mark.parametrize("content", ["", " ", "<think></think>"])
def test_an_end_with_nothing_to_be_seen_is_one(
    wecom: ScriptedWecom, client: Client, place: Place, content: str
) -> None:
    client.code_of(frames.stream(place, "s", content, is_last=True))
    assert len(wecom.violations) == 1


def test_a_frame_behind_the_end_is_one(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    client.code_of(frames.stream(place, "s", "春", is_last=True))
    client.code_of(frames.stream(place, "s", "光", is_last=True))
    assert wecom.violations == ["a frame after the end of a stream"]


def test_what_is_no_frame_is_one() -> None:
    scripted = ScriptedWecom()
    with connect(scripted.url, compression=None) as socket:
        socket.send("no JSON")
        socket.send("{}")
        socket.send(json.dumps(SUBSCRIBE))
        socket.recv(timeout=DEADLINE_S)
    with pytest.raises(AssertionError, match="no frame: 'no JSON'"):
        scripted.__exit__(None, None, None)


def test_an_unknown_and_an_old_callback_are_refused(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    assert client.code_of(frames.stream(Place("x", "zhang", False), "s", "春", is_last=False)) == 846605
    assert client.code_of(frames.stream(place, "s", "春", is_last=False)) == 0
    wecom.rules.stream_s = -1
    assert client.code_of(frames.stream(place, "s", "春光", is_last=False)) == 846608
    assert wecom.violations == []


def test_a_newer_connection_ends_the_one_before(wecom: ScriptedWecom, client: Client, place: Place) -> None:
    with client_of(wecom) as newer:
        assert newer.code_of(frames.subscribe("bot", "s3cr3t")) == 0
        assert client.receive()["body"]["event"]["eventtype"] == "disconnected_event"
        with pytest.raises(ConnectionClosed):
            client.receive()
        assert newer.code_of(frames.stream(place, "s", "春", is_last=False)) == 846605, "its callback was the other's"
    assert wecom.most_live == 2


def test_a_subscription_is_refused_for_its_secret_and_its_haste(wecom: ScriptedWecom, client: Client) -> None:
    with client_of(wecom) as other:
        assert other.code_of(frames.subscribe("bot", "wrong")) == 853000
        wecom.rules.subscribe_s = 1000
        assert other.code_of(SUBSCRIBE) == 45009
    assert client.code_of(frames.ping()) == 0


def test_a_silent_one_answers_nothing_and_stays(wecom: ScriptedWecom, client: Client) -> None:
    wecom.rules.is_silent = True
    client.send(frames.ping())
    wecom.wait(lambda: wecom.frames[-1]["cmd"] == "ping", "the ping comes")
    wecom.rules.is_silent = False
    assert client.code_of(SUBSCRIBE) == 0, "nothing came before it"
