"""Our frames and calls beside those of DingTalk's own SDK, which were recorded before the same scripted peer.

So the peer is more than our own belief. The fixture's name has the SDK's version; its ids are test values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from clawgate.bots.dingtalk.stream import Stream
from clawgate.bots.failures import Disconnected
from clawgate.bots.link import Frame
from clawgate.bots.message import Snapshot
from tests.support.dingtalk import CREATE, OPEN, STREAMING, TOKEN, WEBHOOK
from tests.support.dingtalk import DingTalk as Peer
from tests.support.dingtalk_http import Call
from tests.unit.bots.dingtalk.room import Room

FIXTURE = Path(__file__).parents[3] / "fixtures" / "dingtalk_stream_0.24.3.json"
SDK: dict[str, Any] = json.loads(FIXTURE.read_text(encoding="utf-8"))
IDS = {"outTrackId", "guid", "cardTemplateId"}
"""Fields whose values are made anew, or a test's own."""


class Link:
    """A link that notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[Frame] = []

    def send(self, frame: Frame) -> None:
        """Note a frame."""
        self.sent.append(frame)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """DingTalk."""
    with Peer() as running:
        yield running


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], path: str = "") -> set[str]:
    """Return the fields that differ: `+` ours alone, `-` theirs alone, `~` another value."""
    found = {f"+{path}{name}" for name in ours.keys() - theirs.keys()}
    found |= {f"-{path}{name}" for name in theirs.keys() - ours.keys()}
    for name in (ours.keys() & theirs.keys()) - IDS:
        if isinstance(ours[name], dict) and isinstance(theirs[name], dict):
            found |= differences(ours[name], theirs[name], f"{path}{name}.")
        elif ours[name] != theirs[name]:
            found.add(f"~{path}{name}")
    return found


def compare(call: Call, name: str) -> set[str]:
    """Compare a call of ours with one of the SDK's."""
    theirs = SDK["calls"][name]
    assert (call.method, call.path) == (theirs["method"], theirs["path"])
    token = "x-acs-dingtalk-access-token"
    assert (token in call.headers) == (token in theirs["headers"])
    assert call.headers["content-type"] == theirs["headers"]["content-type"]
    return differences(call.body, theirs["body"])


def test_a_connection_is_opened_as_the_sdk_does(peer: Peer) -> None:
    Stream(Room(peer).api, lambda _: True).address()
    # `ua` names the program; `localIp` serves DingTalk's own statistics, and tells it an address that it need not know.
    assert compare(peer.calls_of(OPEN)[0], "open") == {"~ua", "-localIp"}


def test_frames_are_acknowledged_as_the_sdk_does(peer: Peer) -> None:
    link: Any = Link()
    stream = Stream(Room(peer).api, lambda _: True)
    sent: dict[str, Frame] = {
        "ping": peer.frame("SYSTEM", "ping", '{"opaque": "x"}'),
        "message": peer.frame("CALLBACK", "/v1.0/im/bot/messages/get", peer.message("你好")),
        "disconnect": peer.frame("SYSTEM", "disconnect", '{"reason": "maintenance"}'),
    }
    for frame in sent.values():
        frame["headers"]["messageId"] = "message1"
    stream.hear(link, sent["ping"])
    stream.hear(link, sent["message"])
    with pytest.raises(Disconnected) as caught:
        stream.hear(link, sent["disconnect"])
    assert caught.value.is_asked
    ours = dict(zip(sent, link.sent, strict=True))
    found = {name: differences(parsed(ours[name]), parsed(SDK["acknowledgements"][name])) for name in sent}
    # The SDK leaves the message of a callback's acknowledgement empty; DingTalk's document has "OK" there.
    assert found == {"ping": set(), "message": {"~message"}, "disconnect": set()}


def parsed(frame: Frame) -> dict[str, Any]:
    """Return an acknowledgement with its data as an object: blanks in JSON say nothing."""
    return {**frame, "data": json.loads(frame["data"])}


def test_a_message_is_sent_as_the_sdk_does(peer: Peer) -> None:
    room = Room(peer)
    room.messenger.reply_to(room.message()).finish(Snapshot("标题", is_over=True))
    # The SDK mentions the asker in a talk of two, too, where a mention says nothing.
    assert compare(peer.calls_of(WEBHOOK)[0], "webhook") == {"~markdown.text", "-at"}
    room.messenger.reply_to(room.message(is_group=True)).finish(Snapshot("标题", is_over=True))
    assert compare(peer.calls_of(WEBHOOK)[1], "webhook") == {"~markdown.text"}


def test_cards_are_made_and_filled_as_the_sdk_does(peer: Peer) -> None:
    room = Room(peer)
    for is_group in (False, True):
        reply = room.card_reply(is_group=is_group)
        reply.show(Snapshot("春"))
        room.now += 1
        reply.show(Snapshot("春 "))
        reply.show(Snapshot("春光"))
        reply.finish(Snapshot("春光", is_over=True))
    assert compare(peer.calls_of(TOKEN)[0], "token") == set()
    single, group = peer.calls_of(CREATE)
    # `userIdType` 1 says that ids are staff IDs: the SDK sends it where it delivers a card apart. A card has the text
    # from the beginning, so that it is never blank; the model of the other kind of place, which the SDK sends, is
    # nothing that this card needs. Without `robotCode` a talk of two may get the card from another bot.
    text = "~cardData.cardParamMap.content"
    assert compare(single, "create_single") == {
        text,
        "+userIdType",
        "-imGroupOpenSpaceModel",
        "+imRobotOpenDeliverModel.robotCode",
    }
    assert compare(group, "create_group") == {text, "+userIdType", "-imRobotOpenSpaceModel"}
    update, finish = peer.calls_of(STREAMING)[:2]
    assert compare(update, "update") == {"~content"}
    assert compare(finish, "finish") == set()
