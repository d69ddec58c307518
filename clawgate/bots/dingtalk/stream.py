"""The wire of DingTalk's stream mode: a ticket for each connection, and an acknowledgement for each frame.

A frame that is not acknowledged within 3 s comes again; so it is acknowledged before anything is asked of the gateway.
The exception is a bot that ends: it leaves messages unacknowledged, and DingTalk hands them to the next one.
Source: DingTalk's SDKs, whose frames tests/fixtures has; "机器人接收消息", 2026-06-30.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote_plus

from clawgate import __version__
from clawgate.bots.dingtalk.api import BOT_MESSAGES, Api
from clawgate.bots.dingtalk.failures import ApiError
from clawgate.bots.dingtalk.messages import message_of
from clawgate.bots.failures import Denied, Disconnected
from clawgate.bots.link import Frame, Link
from clawgate.bots.message import Message

logger = logging.getLogger(__name__)

USER_AGENT = f"clawgate/{__version__}"


class Stream:
    """DingTalk's end of a `Connection`.

    take: takes a message without waiting; False where the bot ends, and the message is for the next one.
    is_command: tells whether a text is a command, such as the one that stops an answer.
    """

    def __init__(
        self, api: Api, take: Callable[[Message], bool], is_command: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._api = api
        self._take = take
        self._is_command = is_command

    def address(self) -> str:
        """Get a ticket, which opens one connection.

        Errors: Denied, Disconnected.
        """
        try:
            opening = self._api.open_connection(USER_AGENT)
        except ApiError as error:
            if error.is_denial:
                raise Denied(f"{error}. Look at bots.dingtalk_client_id and bots.dingtalk_client_secret") from error
            raise Disconnected(str(error)) from error
        return f"{opening.endpoint}?ticket={quote_plus(opening.ticket)}"

    def begin(self, link: Link) -> None:
        """Do nothing: the ticket has said who the bot is."""

    def hear(self, link: Link, frame: Frame) -> None:
        """Acknowledge a frame, and hand a message on.

        Errors: Disconnected where DingTalk asks for a new connection.
        """
        headers = frame.get("headers")
        known: Mapping[str, Any] = headers if isinstance(headers, dict) else {}
        frame_id, topic = known.get("messageId"), known.get("topic")
        if not isinstance(frame_id, str) or not frame_id:
            logger.warning("a frame without an id was dropped")
            return
        if frame.get("type") == "SYSTEM":
            self._heed(link, frame_id, topic, frame.get("data"))
        elif topic != BOT_MESSAGES or self._is_taken(frame.get("data"), frame_id):
            link.send(_acknowledgement(frame_id))

    def tick(self, link: Link) -> None:
        """Do nothing: DingTalk sends the heartbeats."""

    def end(self) -> None:
        """Do nothing: answers take another way."""

    def _heed(self, link: Link, frame_id: str, topic: object, data: object) -> None:
        link.send(_acknowledgement(frame_id, data if isinstance(data, str) else None))
        if topic == "disconnect":
            raise Disconnected("DingTalk asks for a new connection", is_asked=True)

    def _is_taken(self, data: object, frame_id: str) -> bool:
        message = message_of(data, frame_id, is_command=self._is_command)
        if message is None:
            logger.warning("a message that names no person or no chat was dropped")
            return True
        return self._take(message)


def _acknowledgement(frame_id: str, data: str | None = None) -> dict[str, Any]:
    """Return what answers a frame; data: what a ping has brought, and gets back."""
    return {
        "code": 200,
        "headers": {"messageId": frame_id, "contentType": "application/json"},
        "message": "OK",
        "data": '{"response":"OK"}' if data is None else data,
    }
