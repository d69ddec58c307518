"""The meaning of a message to a bot: who may write, whose conversation it belongs to, and what it asks for. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import unicodedata
from collections.abc import Collection
from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple

from clawgate.bots.message import Message
from clawgate.bots.words import Words, words_in

if TYPE_CHECKING:
    from clawgate.config.bots import BotsConfig

MAX_ORDER = 500
"""A longer message is a question, whatever its words are; NFKC may make a text 18 times as long."""
HELP_WORDS = ("/help",)
_ENDS = "。.!~,、;:⋯〜\"'`*_"
"""The marks at the end that do not count, as NFKC leaves them: it makes ！ and ～ these, and … three dots.

A question mark counts: 停？ is a question.
"""
_STARTS = ",:\"'`*_"
"""People write a comma behind the mention of the bot."""
_END_KINDS = ("So", "Sk", "Pe", "Pf", "Pi", "Zs", "Cc")
"""Emoji, closing brackets and quotes, blanks: people copy a word with its quotes from the bot's own sentences."""
_START_KINDS = ("So", "Sk", "Ps", "Pi", "Pf", "Zs", "Cc")
_UNSEEN = re.compile("[\ufe00-\ufe0f]")
_BLANKS_IN_CHINESE = re.compile(r"(?<=[^\x00-\x7f])\s+(?=[^\x00-\x7f])")
_SLASH = "、"
"""The key of / gives this one while Chinese is typed: 、new."""
_PLEASE = ("请", "請")

Key = tuple[str, ...]
"""The key of a conversation."""
SessionBy = Literal["user_in_chat", "chat"]


class Command(Enum):
    """The messages that ask nothing of the model, or nothing new."""

    STOP = "stop"
    NEW = "new"
    CONTINUE = "continue"
    HELP = "help"


class Ask(NamedTuple):
    """A question."""

    text: str


Order = Command | Ask


class Rules(NamedTuple):
    """The settings of a bot that may change while it runs: a turn keeps those with which it began.

    users, chats: those that are allowed; both empty: everybody is.
    """

    words: Words
    stop_words: tuple[str, ...] = ()
    continue_words: tuple[str, ...] = ()
    new_words: tuple[str, ...] = ()
    users: Collection[str] = ()
    chats: Collection[str] = ()
    session_by: SessionBy = "user_in_chat"
    is_thinking_shown: bool = False

    def say(self, sentence: str, *, code: str = "", user: str = "") -> str:
        """Fill in a sentence: with the first word of each command, an error's code, a person's id."""
        stop, go_on, new = (next(iter(words), "—") for words in (self.stop_words, self.continue_words, self.new_words))
        return sentence.format(stop=stop, go_on=go_on, new=new, code=code, user=user)


class Identity:
    """The bot itself; a plain class, so that nothing shows its secret.

    messenger: `dingtalk` or `wecom`.
    """

    def __init__(self, messenger: str, bot_id: str, secret: str) -> None:
        self._name = (messenger, bot_id)
        self._secret = secret.encode()

    def session_id_of(self, key: Key) -> str:
        """Return the id of a conversation's session: the same after a restart, and nobody can guess it."""
        name = json.dumps([*self._name, *key]).encode()
        return f"bot_{hmac.new(self._secret, name, hashlib.sha256).hexdigest()}"


def rules_of(config: BotsConfig, messenger: Literal["dingtalk", "wecom"]) -> Rules:
    """Return the rules that a configuration gives a messenger's bot."""
    is_dingtalk = messenger == "dingtalk"
    return Rules(
        words_in(config.language),
        config.stop_words,
        config.continue_words,
        config.new_words,
        frozenset(config.dingtalk_allowed_users if is_dingtalk else config.wecom_allowed_users),
        frozenset(config.dingtalk_allowed_chats if is_dingtalk else config.wecom_allowed_chats),
        config.session_by,
        config.thinking == "shown",
    )


def is_allowed(message: Message, users: Collection[str], chats: Collection[str]) -> bool:
    """Tell whether who wrote a message may use the bot there."""
    if not users and not chats:
        return True
    return message.user in users or (message.is_group and message.chat in chats)


def key_of(message: Message, session_by: SessionBy) -> Key:
    """Return the key of the conversation that a message belongs to."""
    return (message.chat,) if session_by == "chat" else (message.chat, message.user)


def order_of(text: str, rules: Rules) -> Order:
    """Return what a message asks for; one without a word, as a mere mention is, wants help."""
    text = text.strip()
    if not text:
        return Command.HELP
    commands = {
        Command.STOP: rules.stop_words,
        Command.NEW: rules.new_words,
        Command.CONTINUE: rules.continue_words,
        Command.HELP: HELP_WORDS,
    }
    forms = _forms(text) if len(text) <= MAX_ORDER else set()
    for command, words in commands.items():
        if not forms.isdisjoint(map(_plain, words)):
            return command
    return Ask(text.encode("utf-8", "replace").decode())  # half of a character cannot be sent


def _forms(text: str) -> set[str]:
    """Return what a text may mean as a command: with and without the Chinese please, which nobody puts in a setting."""
    plain = _plain(text)
    if plain.startswith(_SLASH):
        plain = f"/{plain[1:]}"
    return {plain, plain[1:] if plain.startswith(_PLEASE) else plain} - {""}


def _plain(text: str) -> str:
    """Return a text as commands are compared: without case, ends, quotes, and characters without a shape."""
    folded = _UNSEEN.sub("", unicodedata.normalize("NFKC", text).casefold())
    shown = [each for each in folded if unicodedata.category(each) != "Cf"]
    while shown and (shown[-1] in _ENDS or unicodedata.category(shown[-1]) in _END_KINDS):
        shown.pop()
    start = 0
    while start < len(shown) and (shown[start] in _STARTS or unicodedata.category(shown[start]) in _START_KINDS):
        start += 1
    return _BLANKS_IN_CHINESE.sub("", "".join(shown[start:]))
