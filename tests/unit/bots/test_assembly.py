"""A bot that is put together: what its parts know of each other."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from clawgate.bots.assembly import GatewayAddress, bot_of
from clawgate.bots.conversations import Conversations
from clawgate.bots.link import Link
from clawgate.bots.message import Message
from clawgate.config.bots import BotsConfig

CONFIG = BotsConfig(
    dingtalk_client_id="id",
    dingtalk_client_secret="secret",
    wecom_bot_id="id",
    wecom_secret="secret",
    stop_words=("嘘",),
)


def callback(name: str, text: str, quote: str) -> dict[str, Any]:
    """A message in a talk of two that quotes another one."""
    if name == "wecom":
        body: dict[str, Any] = {
            "msgtype": "text",
            "text": {"content": text},
            "quote": {"msgtype": "text", "text": {"content": quote}},
        }
        body |= {"msgid": "m", "chattype": "single", "from": {"userid": "u"}}
        return {"cmd": "aibot_msg_callback", "headers": {"req_id": "r"}, "body": body}
    words = {"content": text, "repliedMsg": {"msgType": "text", "content": {"content": quote}}}
    data = {"conversationId": "c", "conversationType": "1", "senderStaffId": "u", "msgtype": "text", "text": words}
    headers = {"topic": "/v1.0/im/bot/messages/get", "messageId": "f"}
    return {"type": "CALLBACK", "headers": headers, "data": json.dumps(data)}


@pytest.mark.parametrize("name", ["dingtalk", "wecom"])
def test_a_quote_goes_with_a_question_and_not_with_a_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Message] = []

    def take(_: Conversations, message: Message) -> bool:
        taken.append(message)
        return True

    class Deaf:
        """A link that takes everything."""

        def send(self, frame: object) -> None:
            """Do nothing."""

    monkeypatch.setattr(Conversations, "take", take)
    bot = bot_of(name, CONFIG, GatewayAddress("http://127.0.0.1:9"))
    for text in ("何意", "嘘"):
        bot.wire.hear(cast(Link, Deaf()), callback(name, text, "原文"))
    assert [message.text for message in taken] == ["> 原文\n\n何意", "嘘"]
