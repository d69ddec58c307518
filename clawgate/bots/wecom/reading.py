"""The messages of people, read from WeCom's callbacks: pure. A callback may have anything in it."""

from __future__ import annotations

import re
from collections.abc import Callable

from clawgate.bots.message import Message
from clawgate.bots.quoting import with_quote
from clawgate.bots.wecom.frames import Place

MAX_MENTIONS = 20
"""So many mentions may stand before a command. An @ that is none, as in `@ 8:00`, stays where it is."""
_FIRST_MENTION = re.compile(r"[@＠](?:[^\n@＠\u2005]{1,64}\u2005|\S+)\s*")
_LAST_MENTION = re.compile(r"[@＠]\S+\s*\Z")


def message_in(req_id: str, body: object, is_command: Callable[[str], bool]) -> Message | None:
    """Return the message of a callback; None where it names nobody.

    is_command: tells whether a text is one; a command stays one when the person quotes something with it.
    """
    user, message_id = text_at(body, "from", "userid"), text_at(body, "msgid") or req_id
    if not user or not message_id:
        return None
    is_group = text_at(body, "chattype") == "group"
    chat = (text_at(body, "chatid") if is_group else "") or user
    text = _text_in(body)
    if text is not None:
        text = (_addressed(text, is_command) if is_group else text).strip()
        if not (text and is_command(text)):
            text = with_quote(text, _text_in(at(body, "quote")) or "")
    return Message(message_id, user, chat, is_group, text, Place(req_id, chat, is_group))


def without_mention(text: str) -> str:
    """Take the mention of the bot off a text from a group, which reaches the bot only where it is mentioned.

    Some clients end a mention with U+2005: then its name may have blanks in it. A mention at the end of a text is the
    bot's where there is no other.
    """
    text = text.strip()
    if text[:1] in ("@", "＠"):
        return _FIRST_MENTION.sub("", text, count=1)
    if len(re.findall("[@＠]", text)) == 1:
        return _LAST_MENTION.sub("", text).rstrip()
    return text


def _addressed(text: str, is_command: Callable[[str], bool]) -> str:
    """Take the mention off; the mentions of other people too where a command comes behind them."""
    first = rest = without_mention(text)
    for _ in range(MAX_MENTIONS):
        if rest[:1] not in ("@", "＠"):
            break
        rest = without_mention(rest)
    return rest if rest and is_command(rest) else first


def at(value: object, *path: str) -> object:
    """Return what is at a path of keys; None where there is nothing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_at(value: object, *path: str) -> str:
    """Return the text at a path of keys, as UTF-8 can have it; "" where there is none."""
    found = at(value, *path)
    return found.encode("utf-8", "replace").decode("utf-8") if isinstance(found, str) else ""


def _text_in(body: object) -> str | None:
    """Return the text of a message or of a quote; None where it has none."""
    kind = text_at(body, "msgtype")
    if kind == "text":
        return text_at(body, "text", "content")
    if kind == "voice":
        return text_at(body, "voice", "content") or None
    if kind == "markdown":
        return text_at(body, "markdown", "content")
    if kind == "mixed":
        items = at(body, "mixed", "msg_item")
        texts = [text_at(item, "text", "content") for item in items] if isinstance(items, list) else []
        return "\n".join(text for text in texts if text) or None
    return None
