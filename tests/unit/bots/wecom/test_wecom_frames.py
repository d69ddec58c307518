"""Our frames beside those that WeCom's own SDK sent to the scripted peer, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clawgate.bots.wecom import frames
from clawgate.bots.wecom.frames import Place

RECORDED = Path(__file__).parent / "wecom-aibot-python-sdk-1.0.2.json"
PLACE = Place("REQ", "zhang", False)
OURS = [
    frames.subscribe("bot", "s3cr3t"),
    frames.welcome("REQ", "您好"),
    frames.stream(PLACE, "stream_1", "<think></think>", is_last=False),
    frames.stream(PLACE, "stream_1", "你好，", is_last=False),
    frames.stream(PLACE, "stream_1", "你好，世界", is_last=True),
    frames.whole(PLACE, "**whole**"),
    frames.push(PLACE, "**push**"),
    frames.ping(),
]


def theirs() -> list[dict[str, Any]]:
    """The SDK's frames in the same order: it answers both callbacks at once."""
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["frames"]
    order = ["aibot_subscribe", "aibot_respond_welcome_msg", "aibot_respond_msg", "aibot_send_msg", "ping"]
    return sorted(recorded, key=lambda frame: order.index(frame["cmd"]))


def without_id(frame: dict[str, Any]) -> dict[str, Any]:
    """A frame with its req_id as what it is: a callback's, or the command and something that is never twice."""
    req_id = frame["headers"]["req_id"]
    is_own = req_id.startswith(f"{frame['cmd']}_")
    return {**frame, "headers": {"req_id": "its own" if is_own else "the callback's"}}


@pytest.mark.parametrize("number", range(len(OURS)))
def test_our_frames_are_those_of_the_sdk(number: int) -> None:
    ours, recorded = without_id(OURS[number]), without_id(theirs()[number])
    if ours["cmd"] == "aibot_send_msg":
        # The document has chat_type, and the SDK leaves it out: WeCom finds out by itself then whether the id is a
        # person's or a group's.
        assert ours["body"].pop("chat_type") == 1
    assert ours == recorded


def test_the_sdk_sent_nothing_else() -> None:
    assert len(theirs()) == len(OURS)


def test_a_group_is_a_chat_of_type_2() -> None:
    assert frames.push(Place("REQ", "wr1", True), "x")["body"]["chat_type"] == 2


def test_ids_are_never_twice() -> None:
    assert len({frames.new_id("ping") for _ in range(1000)}) == 1000
