"""The answers in DingTalk: Markdown messages at the end, or a card that grows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.card import CARD_UNITS, Card, Template
from clawgate.bots.dingtalk.markup import FENCE, NOTHING, growing_of, title_of, units, whole_of
from clawgate.bots.dingtalk.messages import Place
from clawgate.bots.dingtalk.pacing import Cooldown
from clawgate.bots.dingtalk.sending import Sender
from clawgate.bots.message import Message, Reply, Snapshot
from clawgate.bots.splitting import split

if TYPE_CHECKING:
    from clawgate.config.bots import BotsConfig

SIGN_OF_LIFE_S = 1.0
"""After so long a card is made, with a text or without: an answer that is over by then is one message."""


class MarkdownReply:
    """An answer in messages, sent at its end: they cannot be edited, and each counts against a quota."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def due_s(self) -> float | None:
        """Return None: nothing is shown before the end."""
        return None

    def show(self, snapshot: Snapshot) -> None:
        """Do nothing."""

    def finish(self, snapshot: Snapshot) -> None:
        """Send the answer.

        Errors: Undelivered.
        """
        self._sender.send(whole_of(snapshot) or NOTHING, title_of(snapshot))


class CardReply:
    """An answer in a card, as far as it fits; the rest, or all of what no card took, is sent in messages."""

    def __init__(self, card: Card, sender: Sender, clock: Callable[[], float] = time.monotonic) -> None:
        self._card = card
        self._sender = sender
        self._clock = clock
        self._made_at = clock()

    def due_s(self) -> float | None:
        """Return the seconds until the card may be made or updated; None where it may not, or is full."""
        due_s = self._card.due_s()
        if due_s is None or self._card.is_begun:
            return due_s
        return max(due_s, SIGN_OF_LIFE_S - (self._clock() - self._made_at), 0.0)

    def show(self, snapshot: Snapshot) -> None:
        """Show the answer so far, and make the card for it."""
        text = growing_of(snapshot)
        if units(text) > CARD_UNITS:
            if self._card.is_begun:
                self._card.stop()
                return
            text = split(text, CARD_UNITS, units)[0]
        if text or self._clock() - self._made_at >= SIGN_OF_LIFE_S:
            self._card.show(text)

    def finish(self, snapshot: Snapshot) -> None:
        """Finish the card, and send what it does not have.

        Errors: Undelivered.
        """
        whole, title = whole_of(snapshot) or NOTHING, title_of(snapshot)
        if not self._card.is_begun:
            self._sender.send(whole, title)
            return
        head, rest = head_and_rest(whole)
        if not self._card.finish(head):
            self._sender.send(whole, title)
        elif rest:
            self._sender.send(rest, title, is_first=False)


class DingTalk:
    """The way back into DingTalk's chats.

    config: how answers are shown; it may be replaced at any time, and counts from the next answer on.
    """

    def __init__(self, api: Api, config: BotsConfig, *, pause: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self._api = api
        self._pause = pause
        self._cooldown = Cooldown()

    def reply_to(self, message: Message) -> Reply:
        """Return the place of the answer to a message."""
        place = message.handle
        if not isinstance(place, Place):
            raise TypeError("the message is none of DingTalk's")
        config = self.config
        sender = Sender(self._api, place, self._pause)
        is_possible = place.is_group or place.staff_id
        if config.dingtalk_reply != "card" or not config.dingtalk_card_template_id or not is_possible:
            return MarkdownReply(sender)
        template = Template(config.dingtalk_card_template_id, config.dingtalk_card_key)
        card = Card(self._api, place, template, config.dingtalk_max_updates, self._cooldown, pause=self._pause)
        return CardReply(card, sender)


def head_and_rest(whole: str) -> tuple[str, str]:
    """Return what a card shows of a text, and what follows in messages, its open fence opened again."""
    parts = split(whole, CARD_UNITS, units)
    head = parts[0]
    if len(parts) == 1:
        return head, ""
    if whole.startswith(head):
        return head, whole[len(head) :].lstrip("\n")
    before = head[: head.rfind("\n")]  # the last line closes a fence that is open in the text
    opening = parts[1].partition("\n")[0]
    if whole.startswith(before) and FENCE.match(opening):
        return head, f"{opening}\n{whole[len(before) :].removeprefix(chr(10))}"
    return head, "\n\n".join(parts[1:])
