"""The values between conversations and messengers: what a person wrote, and what is to be seen of an answer."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Message(NamedTuple):
    """A message to the bot.

    id: the messenger's own; the copies that it delivers again have the same.
    user, chat: the messenger's ids of the person and of the place; a talk of two has a chat, too.
    text: without the mention of the bot; None for a picture, a file, …
    handle: what the messenger needs to answer, for itself alone.
    """

    id: str
    user: str
    chat: str
    is_group: bool
    text: str | None
    handle: object = None


class Snapshot(NamedTuple):
    """An answer as it stands.

    text: all of it so far, Markdown; it only grows.
    thinking: all of the thinking so far; "" where it is hidden.
    remark: a sentence of the bot's own below it: what is waited for, or why the answer ended as it did.
    is_over: this is the last one; is_failed: it ended with an error.
    """

    text: str = ""
    thinking: str = ""
    remark: str = ""
    is_over: bool = False
    is_failed: bool = False


class Undelivered(Exception):
    """An answer could not be handed over in whole; the message says why, for the log."""


class Reply(Protocol):
    """The place in a chat where one answer appears. One thread calls it."""

    def due_s(self) -> float | None:
        """Return the seconds until `show` may be called next; None: not before the end."""

    def show(self, snapshot: Snapshot) -> None:
        """Show an answer that goes on. Nothing is raised: a later snapshot has all of this one."""

    def finish(self, snapshot: Snapshot) -> None:
        """Show the whole answer, in as many messages as it takes, and wait until they are taken.

        Errors: Undelivered.
        """


class Messenger(Protocol):
    """A messenger's way back to the people in it."""

    def reply_to(self, message: Message) -> Reply:
        """Return the place of the answer to a message; nothing is sent yet."""
