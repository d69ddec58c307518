"""DingTalk's messages to a bot, as values. Pure.

Whatever is missing or of another type is taken as not said: a message never ends the thread that reads it.
Source: DingTalk, "机器人接收消息", 2026-06-30. The quote of a message is in no document: its forms are those that users
saw.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from clawgate.bots.message import Message
from clawgate.bots.quoting import MAX_QUOTE, with_quote

GROUP = "2"
MENTION = re.compile(r"(@[^\s@]{1,64}\u2005\s*)+")
"""Mentions at the beginning, as DingTalk's clients make them: with a space of a quarter. Mostly DingTalk has taken the
bot's off, and left a blank."""
ANY_MENTION = re.compile(r"\s*@\S+(?:\s+|\Z)")
"""A text that looks like a mention at the beginning. A rich text, as HarmonyOS sends all, has that of the bot in it."""


class Place(NamedTuple):
    """The place of an answer, with all that is needed to send it.

    staff_id: the id by which people can be mentioned and written to; "" for somebody of another organisation.
    webhook: the address for answers, good until a time of `time.monotonic`; "" where there is none.
    """

    conversation_id: str
    is_group: bool
    staff_id: str
    webhook: str
    good_until: float

    def __repr__(self) -> str:
        """Leave the webhook out: whoever has it can write into the chat."""
        return f"Place({self.conversation_id!r}, {self.is_group!r}, {self.staff_id!r})"


def message_of(
    data: object,
    frame_id: str,
    now: Callable[[], float] = time.monotonic,
    is_command: Callable[[str], bool] = lambda _: False,
) -> Message | None:
    """Return the message that a frame's data is; None where it names nobody or no chat.

    frame_id: stands for the message's id where it has none.
    is_command: tells whether a text is one; a command stays one when the person quotes something with it.
    """
    given = _object(data)
    staff_id = _text(given.get("senderStaffId"))
    user = staff_id or _text(given.get("senderId"))
    chat = _text(given.get("conversationId"))
    if not user or not chat:
        return None
    is_group = _text(given.get("conversationType")) == GROUP
    text = _words(given, is_group=is_group)
    if text is not None and is_group:
        text = _addressed(text, is_command)
    if text is not None and not (text and is_command(text)):
        text = with_quote(text, _quote(given))
    webhook = _text(given.get("sessionWebhook"))
    place = Place(chat, is_group, staff_id, webhook, now() + _life_s(given) if webhook else 0.0)
    return Message(_text(given.get("msgId")) or frame_id, user, chat, is_group, text, place)


def _words(given: Mapping[str, Any], *, is_group: bool) -> str | None:
    """Return what a person wrote or said; None for a picture, a file, …"""
    kind = given.get("msgtype")
    content = _object(given.get("content"))
    if kind == "text":
        return _text(_object(given.get("text")).get("content")).strip()
    if kind == "richText":
        texts = [_text(part.get("text")) for part in _parts(content)]
        if is_group and texts:
            texts[0] = ANY_MENTION.sub("", texts[0], count=1) if ANY_MENTION.match(texts[0]) else texts[0]
        return "".join(texts).strip() or None
    if kind == "audio":  # DingTalk sends what it has heard, too
        return _text(content.get("recognition")).strip() or None
    return None


def _addressed(text: str, is_command: Callable[[str], bool]) -> str:
    """Take off the mentions that are known as such; any other where a command comes behind it."""
    text = MENTION.sub("", text, count=1) if MENTION.match(text) else text
    rest = ANY_MENTION.sub("", text, count=1) if ANY_MENTION.match(text) else text
    return rest if rest and is_command(rest) else text


def _quote(given: Mapping[str, Any]) -> str:
    """Return what the quoted message says; "" for none, and for one that says nothing."""
    text, content = _object(given.get("text")), _object(given.get("content"))
    quoted = _object(text.get("repliedMsg") or content.get("repliedMsg"))
    said = quoted.get("content")
    body = _object(said)
    if not body:
        return _text(said)
    parts = [_text(part.get("text") or part.get("content")) for part in _parts(body)]
    plain = (_text(body.get(name)) for name in ("text", "content", "recognition"))
    return next(filter(None, plain), "") or "".join(parts) or _of_card(body.get("cardContent"))


def _parts(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = content.get("richText")
    return [_object(part) for part in parts] if isinstance(parts, list) else []


def _of_card(root: object) -> str:
    """Return the texts in a tree of elements, in their order; no more of them than a quote has room for."""
    texts: list[str] = []
    room, waiting = MAX_QUOTE, [root]
    while waiting and room >= 0:
        element = _object(waiting.pop())
        children = element.get("children")
        waiting += reversed(children) if isinstance(children, list) else []
        if element.get("elementType") == "TEXT" and (text := _text(element.get("value"))):
            texts.append(text)
            room -= len(text)
    return "\n".join(texts)


def _life_s(given: Mapping[str, Any]) -> float:
    """Return how long the webhook is good: DingTalk's clock alone counts, since ours may be wrong."""
    ends_at, began_at = _number(given.get("sessionWebhookExpiredTime")), _number(given.get("createAt"))
    return max(0.0, (ends_at - (began_at or time.time() * 1000)) / 1000) if ends_at else 0.0


def _object(given: object) -> Mapping[str, Any]:
    """Return an object as it is, or as JSON has it in a text; an empty one for anything else."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return {}
    return given if isinstance(given, dict) else {}


def _text(given: object) -> str:
    """Return a text, in which half a surrogate pair is a question mark: nothing could encode it."""
    return given.encode(errors="replace").decode() if isinstance(given, str) else ""


def _number(given: object) -> float:
    """Return milliseconds, which come as a number or in a text; 0 for anything else."""
    if isinstance(given, str) and given.isdecimal() and len(given) <= 15:
        return float(given)
    return float(given) if isinstance(given, int | float) and 0 <= given < 1e15 else 0.0
