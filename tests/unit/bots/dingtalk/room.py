"""What the tests of DingTalk's replies share: an API before the scripted peer, with time that a test moves."""

from __future__ import annotations

from typing import Any

from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.card import Card, Template
from clawgate.bots.dingtalk.messages import message_of
from clawgate.bots.dingtalk.pacing import Cooldown
from clawgate.bots.dingtalk.reply import CardReply, DingTalk
from clawgate.bots.dingtalk.sending import Sender
from clawgate.bots.message import Message
from clawgate.config.bots import BotsConfig
from tests.support.dingtalk import CLIENT_ID, SECRET
from tests.support.dingtalk import DingTalk as Peer

TEMPLATE = "0a1b2c3d.schema"


class Room:
    """A bot's way out; `now` is its time, in seconds, and pauses take no time."""

    def __init__(self, peer: Peer, **settings: Any) -> None:
        self.peer = peer
        self.now = 1_000.0
        self.pauses: list[float] = []
        self.api = Api(peer.url, CLIENT_ID, SECRET, pause=self._pause, clock=lambda: self.now)
        self.cooldown = Cooldown(lambda: self.now)
        self.messenger = DingTalk(self.api, BotsConfig(**settings), pause=self._pause)

    def message(self, *, is_group: bool = False, staff_id: str | None = "staff1", **fields: Any) -> Message:
        """A message as the stream hands it on."""
        made = message_of(self.peer.message("你好", is_group=is_group, staff_id=staff_id) | fields, "frame1")
        assert made is not None
        return made

    def card_reply(self, *, most: int = 8, is_group: bool = False) -> CardReply:
        """A reply by a card, in this room's time."""
        place: Any = self.message(is_group=is_group).handle
        template = Template(TEMPLATE, "content")
        card = Card(self.api, place, template, most, self.cooldown, pause=self._pause, clock=lambda: self.now)
        return CardReply(card, Sender(self.api, place, self._pause), clock=lambda: self.now)

    def _pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        self.now += pause_s


def long_answer(size: int = 50_000) -> str:
    """An answer of so many bytes: Chinese paragraphs, with a long piece of code in their middle."""
    paragraph = "春光明媚，北京的故宫、天坛和颐和园都值得一看；" * 12
    code = "```python\n" + "".join(f"print('第 {number} 行', a < b)\n" for number in range(300)) + "```"
    blocks = [f"{number}. {paragraph}" for number in range(1, 60)]
    blocks.insert(8, code)
    text = "\n\n".join(blocks)
    return text.encode()[:size].decode(errors="ignore")


def plain(parts: list[str]) -> str:
    """The characters of a text that was cut and rendered, without blanks, fences and what rendering adds."""
    text = "\n".join(parts).replace("&lt;", "<").replace("<br>", "\n")
    return "".join("".join(line.split()) for line in text.split("\n") if not line.startswith("```"))
