"""The Markdown messages of one answer: cut, and sent one after the other until each is taken.

A message goes by the webhook of the chat, which costs nothing of the API's quota and can mention the asker. A webhook
is good for 90 minutes, sometimes for much less; the Open API follows where it refuses. After an error that passes by
itself there is another try. One whose response is lost may have been taken: then a message appears twice, which is
better than never. A DingTalk that is slow does not get it again and again: each copy is seen, and counts against the
quota.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.failures import ApiError
from clawgate.bots.dingtalk.markup import rendered, units
from clawgate.bots.dingtalk.messages import Place
from clawgate.bots.message import Undelivered
from clawgate.bots.splitting import split

logger = logging.getLogger(__name__)

PART_UNITS = 18_000
"""The bound of a message, by `markup.units`: 18,000 bytes of body at most, and 4,500 characters.

DingTalk refuses a webhook's body above 20,000 bytes (460101); others saw Markdown above 3,500 to 5,000 characters shown
badly.
"""
PAUSES_S = (1.0, 2.0, 5.0, 10.0)
"""Between the tries of one message."""
MAX_SILENT = 2
"""So many tries of one way may be without a response in time; of the second way one, where the first had none."""
MARGIN_S = 5.0
"""A webhook that ends so soon is not used any more."""


class Sender:
    """Sends the messages of one answer.

    Threads: one.
    """

    def __init__(self, api: Api, place: Place, pause: Callable[[float], None] = time.sleep) -> None:
        self._api = api
        self._place = place
        self._pause = pause
        self._is_webhook_good = api.may_use(place.webhook, "https")

    def send(self, text: str, title: str, *, is_first: bool = True) -> None:
        """Send a text in as many messages as it takes; is_first: nothing of the answer was seen before.

        Errors: Undelivered at the first message that is not taken: what follows it would not make sense.
        """
        parts = [part for part in split(text, PART_UNITS, units) if part.strip()]
        for number, part in enumerate(parts):
            error = self._deliver(title, rendered(part), is_mentioning=is_first and number == 0)
            if error is not None:
                raise Undelivered(f"message {number + 1} of {len(parts)}: {error}") from error

    def _deliver(self, title: str, text: str, *, is_mentioning: bool) -> ApiError | None:
        error: ApiError | None = None
        most_silent = MAX_SILENT
        if self._is_webhook_good and time.monotonic() < self._place.good_until - MARGIN_S:
            body = _message(title, text, self._place, is_mentioning=is_mentioning)
            error = self._try(lambda: self._api.post_webhook(self._place.webhook, body), most_silent)
            if error is None:
                return None
            most_silent = 1 if error.is_silent else MAX_SILENT
            self._is_webhook_good = error.passes
            logger.info("%s; the message goes by the Open API", error)
        place = self._place
        if place.is_group:
            return self._try(lambda: self._api.send_to_group(place.conversation_id, title, text), most_silent)
        if place.staff_id:
            return self._try(lambda: self._api.send_to_person(place.staff_id, title, text), most_silent)
        return error or ApiError("sessionWebhook", "it is over, and the person has no staff ID to write to")

    def _try(self, call: Callable[[], None], most_silent: int) -> ApiError | None:
        """Call until it succeeds, or return the failure that stays."""
        silent = 0
        for pause_s in (*PAUSES_S, None):
            try:
                call()
            except ApiError as error:
                silent += error.is_silent
                if pause_s is None or not error.passes or silent >= most_silent:
                    return error
                self._pause(pause_s)
            else:
                break
        return None


def _message(title: str, text: str, place: Place, *, is_mentioning: bool) -> dict[str, Any]:
    """Return a webhook's body. A mention needs the staff ID in the text, too: DingTalk shows the name instead."""
    body: dict[str, Any] = {"msgtype": "markdown", "markdown": {"title": title, "text": text}}
    if is_mentioning and place.is_group and place.staff_id:
        body["markdown"]["text"] = f"@{place.staff_id}\n\n{text}"
        body["at"] = {"atUserIds": [place.staff_id]}
    return body
