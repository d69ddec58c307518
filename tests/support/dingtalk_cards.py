"""The rules of DingTalk's AI cards, as its documents and its users' reports have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.dingtalk_http import Answer, Call

MAX_CHARACTERS, MAX_BYTES = 1_100, 4_000
"""The bounds of a text: what is written as `<br>` is more than a thousand characters."""


class Card:
    """One card: its creation, its text over time, and whether it is finished."""

    def __init__(self, created: dict[str, Any]) -> None:
        self.created = created
        self.contents: list[str] = []
        self.guids: dict[str, dict[str, Any]] = {}
        self.is_finished = False

    @property
    def text(self) -> str:
        """What it shows."""
        return self.contents[-1] if self.contents else ""


class Cards:
    """All cards.

    violate: notes what no bot may do.
    """

    def __init__(self, violate: Callable[[str], None]) -> None:
        self._violate = violate
        self.by_id: dict[str, Card] = {}
        self.lose_next = False
        """True where the next card is made, and its response lost."""
        self.lose_last = False
        """True where the next last update is taken, and its response lost."""
        self.may_stay_open = False
        """True in a test in which the last update of a card is refused for good."""

    @property
    def all(self) -> list[Card]:
        """The cards in the order of their creation."""
        return list(self.by_id.values())

    def judge(self, call: Call) -> Answer:
        """Answer a call about cards."""
        if (call.method, call.path) == ("PUT", "/v1.0/card/streaming"):
            return self._update(call.body)
        if call.method == "PUT":  # the SDK sets a card's state so
            return Answer(200, {"success": True, "result": True})
        return self._create(call.path, call.body)

    def check(self) -> None:
        """Note the cards that were left in the middle."""
        if not self.may_stay_open and any(not card.is_finished for card in self.all):
            self._violate("a card was not finished: it shows 输入中 for ever")

    def _create(self, path: str, body: dict[str, Any]) -> Answer:
        card_id = body.get("outTrackId", "")
        if path.endswith("/deliver"):
            return Answer(200, {"success": True, "result": []})
        if card_id in self.by_id:
            self._violate("a card was made twice")
        if not body.get("cardTemplateId") or "flowStatus" not in body.get("cardData", {}).get("cardParamMap", {}):
            self._violate(f"a card without template or state: {body}")
        if path.endswith("/createAndDeliver"):
            space = str(body.get("openSpaceId", ""))
            model = "imGroupOpenDeliverModel" if "IM_GROUP" in space else "imRobotOpenDeliverModel"
            if not space.startswith("dtv1.card//") or model not in body:
                self._violate(f"a card without its place: {body}")
        self.by_id[card_id] = Card(body)
        if self.lose_next:
            self.lose_next = False
            return Answer(0, "")
        delivered = [{"spaceId": "space", "spaceType": "IM_ROBOT", "success": True, "errorMsg": ""}]
        return Answer(200, {"success": True, "result": {"outTrackId": card_id, "deliverResults": delivered}})

    def _update(self, body: dict[str, Any]) -> Answer:
        card = self.by_id.get(body.get("outTrackId", ""))
        content = body.get("content")
        if card is None:
            return Answer(400, {"code": "param.error", "message": "outTrackId"})
        if card.guids.get(str(body.get("guid"))) == body:  # the same call again
            return Answer(200, {"success": True, "result": True})
        if not isinstance(content, str):
            self._violate(f"an update without a text: {body}")
            return Answer(400, {"code": "param.error", "message": "param.error"})
        if body.get("isFull") is not True:
            self._violate("a Markdown variable takes whole texts alone")
            return Answer(400, {"code": "param.error", "message": "isFull"})
        if card.is_finished:
            self._violate("an update after the last one")
        if body.get("guid") in card.guids or not body.get("guid"):
            self._violate("an update without a guid of its own")
        if not content.strip() or len(content) > MAX_CHARACTERS or len(content.encode()) > MAX_BYTES:
            self._violate(f"a text of {len(content)} characters, {len(content.encode())} bytes")
        is_last = bool(body.get("isFinalize") or body.get("isError"))
        if not content.startswith(card.text) and not (is_last and card.text.startswith(content)):
            self._violate(f"a text that does not go on: {card.text[-40:]!r}, then {content[-80:]!r}")
        card.guids[str(body.get("guid"))] = body
        card.contents.append(content)
        card.is_finished = card.is_finished or is_last
        if is_last and self.lose_last:
            self.lose_last = False
            return Answer(0, "")
        return Answer(200, {"success": True, "result": True})
