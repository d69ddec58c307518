"""RecordingMessenger: a messenger for tests of the bots' conversations, which keeps all that it is given to show."""

from __future__ import annotations

import threading
from itertools import count

from clawgate.bots.message import Message, Snapshot, Undelivered
from tests.support.tools import DEADLINE_S

USER, CHAT = "user-1", "chat-1"


class RecordingReply:
    """The answer to one message.

    shown: the snapshots before the end; final: the last one. Each waits for `go` before it returns, as a messenger that
    is slow does.
    """

    def __init__(self, messenger: RecordingMessenger, message: Message) -> None:
        self.message = message
        self.shown: list[Snapshot] = []
        self.final: Snapshot | None = None
        self._messenger = messenger

    def due_s(self) -> float | None:
        """Say what the messenger is set to."""
        return self._messenger.due_s

    def show(self, snapshot: Snapshot) -> None:
        """Note a snapshot."""
        self._messenger.note(lambda: self.shown.append(snapshot))
        assert self._messenger.go.wait(DEADLINE_S)

    def finish(self, snapshot: Snapshot) -> None:
        """Note the last one.

        Errors: Undelivered where the messenger is broken.
        """
        assert self._messenger.go.wait(DEADLINE_S)
        if self._messenger.is_broken:
            raise Undelivered("the messenger is broken")
        assert self.final is None, "a second end"

        def end() -> None:
            self.final = snapshot

        self._messenger.note(end)


class RecordingMessenger:
    """Makes replies, and keeps them in order.

    due_s: what each reply says; None shows nothing before the end. go: while it is not set, the messenger hangs.
    """

    def __init__(self, due_s: float | None = 0.0) -> None:
        self.due_s = due_s
        self.is_broken = False
        self.go = threading.Event()
        self.go.set()
        self.replies: list[RecordingReply] = []
        self._changed = threading.Condition()
        self._numbers = count(1)

    def reply_to(self, message: Message) -> RecordingReply:
        """Make a reply."""
        reply = RecordingReply(self, message)
        with self._changed:
            self.replies.append(reply)
        return reply

    def message(
        self, text: str | None, user: str = USER, chat: str = CHAT, *, is_group: bool = True, id: str | None = None
    ) -> Message:
        """Make a message with an id of its own."""
        return Message(id or f"message-{next(self._numbers)}", user, chat, is_group, text)

    @property
    def finals(self) -> list[Snapshot]:
        """What was sent for good, in the order of the messages."""
        with self._changed:
            return [reply.final for reply in self.replies if reply.final is not None]

    def note(self, change: object) -> None:
        """Make a change, and wake those who wait for one."""
        assert callable(change)
        with self._changed:
            change()
            self._changed.notify_all()

    def final_of(self, message: Message) -> Snapshot:
        """Wait for the end of the answer to a message."""

        def found() -> Snapshot | None:
            ends = [reply.final for reply in self.replies if reply.message is message]
            return next((end for end in ends if end is not None), None)

        with self._changed:
            assert self._changed.wait_for(found, DEADLINE_S), f"no end of the answer to {message}"
            final = found()
            assert final is not None
            return final

    def wait_until_shown(self, text: str) -> None:
        """Wait until a text is to be seen, as a whole answer so far or as a thought."""

        def is_shown() -> bool:
            snapshots = [snapshot for reply in self.replies for snapshot in reply.shown]
            return any(text in (snapshot.text, snapshot.thinking, snapshot.remark) for snapshot in snapshots)

        with self._changed:
            assert self._changed.wait_for(is_shown, DEADLINE_S), f"{text!r} was not shown"
