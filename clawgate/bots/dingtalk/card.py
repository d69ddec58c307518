"""One AI card: made, filled while the answer goes on, and finished once.

Each update has the whole text so far (`isFull`: a Markdown variable takes nothing else). DingTalk's document allows
"1 K" an update and recommends at most "3 K" in all, without a unit; users saw whole texts of more, and blank cards
above 3,000 Chinese characters. A card has 1,000 characters at most, which are 3,000 bytes of Chinese. A longer text
goes on in messages.

A card that ends with an error is finished like any other: `isError` needs a state that a template may lack, and may
show a sentence of DingTalk's instead of the text. The text says what happened.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.failures import ApiError
from clawgate.bots.dingtalk.markup import NOTHING, rendered
from clawgate.bots.dingtalk.messages import Place
from clawgate.bots.dingtalk.pacing import Cooldown, Updates

logger = logging.getLogger(__name__)

CARD_UNITS = 4_000
"""The bound of a card's text, by `markup.units`."""
FINISHING_PAUSES_S = (1.0, 3.0)
"""Between the tries of the last update."""
PROCESSING = "1"
"""The state 处理中 of a card's `flowStatus`; updates bring it to 输入中, and the last one to 完成."""


class Template(NamedTuple):
    """A card's template, and the name of its Markdown variable."""

    id: str
    key: str


class Card:
    """A card in a chat.

    most_updates: of its text, the last one among them.
    Threads: one.
    """

    def __init__(
        self,
        api: Api,
        place: Place,
        template: Template,
        most_updates: int,
        cooldown: Cooldown,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._place = place
        self._template = template
        self._updates = Updates(most_updates)
        self._cooldown = cooldown
        self._pause = pause
        self._clock = clock
        self._track_id = f"clawgate-{uuid.uuid4()}"
        self._shown = ""
        self.is_begun = False
        """True where the card is in the chat, or may be: its creation was asked for, and not refused."""
        self._is_given_up = False

    def due_s(self) -> float | None:
        """Return the seconds until the next update; None where there is none before the end."""
        if self._is_given_up or not self._cooldown.is_over:
            return None
        return self._updates.due_s(self._clock()) if self.is_begun else 0.0

    def show(self, text: str) -> None:
        """Show a text: the first one makes the card. Nothing is raised; a card that DingTalk refuses is given up."""
        if self.due_s() is None or (self.is_begun and text == self._shown):
            return
        is_creation = not self.is_begun
        try:
            if is_creation:
                self._begin(text)
            else:
                self._updates.count(self._clock())
                self._api.update_card(self._update_of(text, is_last=False))
            self._shown = text
        except ApiError as error:
            self._hear(error, is_creation=is_creation)

    def stop(self) -> None:
        """Show nothing more before the end: the card is full."""
        self._is_given_up = True

    def finish(self, text: str) -> bool:
        """Show the last text, and say that it is; False where DingTalk does not take it."""
        body = self._update_of(text, is_last=True)  # one guid for all tries: a try that was taken is not taken twice
        for pause_s in (*FINISHING_PAUSES_S, None):
            try:
                self._api.update_card(body)
            except ApiError as error:
                if pause_s is None or not error.passes:
                    self._hear(error)
                    return False
                self._pause(pause_s)
            else:
                break
        return True

    def _begin(self, text: str) -> None:
        self.is_begun = True
        try:
            self._api.create_card(self._creation(text))
        except ApiError as error:
            self.is_begun = error.status == 0 or error.status >= 500  # nobody knows: the end of the answer tries it
            self._is_given_up = True
            raise
        self._updates.begin(self._clock())

    def _creation(self, text: str) -> dict[str, object]:
        place = self._place
        robot = self._api.client_id
        body: dict[str, object] = {
            "cardTemplateId": self._template.id,
            "outTrackId": self._track_id,
            "callbackType": "STREAM",
            "cardData": {"cardParamMap": {self._template.key: rendered(text, is_card=True), "flowStatus": PROCESSING}},
            "userIdType": 1,
        }
        if place.is_group:
            body["openSpaceId"] = f"dtv1.card//IM_GROUP.{place.conversation_id}"
            body["imGroupOpenSpaceModel"] = {"supportForward": True}
            body["imGroupOpenDeliverModel"] = {"robotCode": robot}
        else:
            body["openSpaceId"] = f"dtv1.card//IM_ROBOT.{place.staff_id}"
            body["imRobotOpenSpaceModel"] = {"supportForward": True}
            body["imRobotOpenDeliverModel"] = {"spaceType": "IM_ROBOT", "robotCode": robot}
        return body

    def _update_of(self, text: str, *, is_last: bool) -> dict[str, object]:
        return {
            "outTrackId": self._track_id,
            "guid": str(uuid.uuid4()),
            "key": self._template.key,
            "content": rendered(text, is_card=True) or NOTHING,
            "isFull": True,
            "isFinalize": is_last,
            "isError": False,
        }

    def _hear(self, error: ApiError, *, is_creation: bool = False) -> None:
        """Give the card up where it was refused, and all cards for a while where the next ones would be, too."""
        if error.status == 0:
            logger.info("%s", error)  # a later update has all of this one
            return
        self._is_given_up = True
        is_general = error.status in (403, 429) or error.status >= 500 or error.is_used_up
        if is_general or (is_creation and error.status != 200):
            rest_s = self._cooldown.begin(is_used_up=error.is_used_up)
            logger.warning("%s. There are no cards for %.1f h; answers come as messages", error, rest_s / 3600)
        else:
            logger.warning("%s. The answer comes as a message", error)
