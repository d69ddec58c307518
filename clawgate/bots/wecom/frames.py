"""The frames that we send: pure.

Source: WeCom's document 101463, "智能机器人长连接". The tests compare them with those of WeCom's own SDK.
"""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple


class Place(NamedTuple):
    """The place of an answer.

    req_id: the callback's, which a reply has too; it means nothing to another connection.
    chat: the group's ID, or the user's ID where it is a talk of two.
    """

    req_id: str
    chat: str
    is_group: bool


def new_id(prefix: str) -> str:
    """Return an id that no other frame has."""
    return f"{prefix}_{uuid.uuid4().hex}"


def subscribe(bot_id: str, secret: str) -> dict[str, Any]:
    """Return the first frame of a connection."""
    return _frame("aibot_subscribe", new_id("aibot_subscribe"), {"bot_id": bot_id, "secret": secret})


def ping() -> dict[str, Any]:
    """Return a heartbeat."""
    return {"cmd": "ping", "headers": {"req_id": new_id("ping")}}


def stream(place: Place, stream_id: str, content: str, *, is_last: bool) -> dict[str, Any]:
    """Return all of a reply so far; the next frame of the same stream replaces it."""
    body = {"msgtype": "stream", "stream": {"id": stream_id, "finish": is_last, "content": content}}
    return _frame("aibot_respond_msg", place.req_id, body)


def whole(place: Place, content: str) -> dict[str, Any]:
    """Return a reply that does not stream."""
    return _frame("aibot_respond_msg", place.req_id, {"msgtype": "markdown", "markdown": {"content": content}})


def push(place: Place, content: str) -> dict[str, Any]:
    """Return a message to a chat that needs no callback."""
    chat_type = 2 if place.is_group else 1
    body = {"chatid": place.chat, "chat_type": chat_type, "msgtype": "markdown", "markdown": {"content": content}}
    return _frame("aibot_send_msg", new_id("aibot_send_msg"), body)


def welcome(req_id: str, text: str) -> dict[str, Any]:
    """Return the words for a person who enters a chat."""
    return _frame("aibot_respond_welcome_msg", req_id, {"msgtype": "text", "text": {"content": text}})


def _frame(command: str, req_id: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"cmd": command, "headers": {"req_id": req_id}, "body": body}
