"""The way out: one frame of a req_id at a time, each acknowledged, over whatever connection there is now."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import Any, NamedTuple

from clawgate.bots.connection import Frame, Link
from clawgate.bots.failures import Disconnected

ACK_S = 5.0
"""So long the next frame of a req_id waits for the acknowledgement of the one before. WeCom's SDKs wait as long."""
MAX_OWED = 500
"""The req_ids of which is known how many acknowledgements they lack."""


class Refused(Exception):
    """WeCom took a frame, and refuses what is in it."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"WeCom says {code} {words}".rstrip())
        self.code = code


class _Ack(NamedTuple):
    code: int
    words: str


class Outbox:
    """Sends frames and waits for what WeCom says of them.

    Threads: any. `_changed` guards all that is below it.
    """

    def __init__(self, ack_s: float = ACK_S) -> None:
        self._ack_s = ack_s
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._is_closed = False
        self._waiting: dict[str, list[_Ack]] = {}
        self._owed: OrderedDict[str, int] = OrderedDict()

    def attach(self, link: Link) -> None:
        """Send over this connection from now on."""
        with self._changed:
            self._link = link
            self._changed.notify_all()

    def detach(self) -> None:
        """Forget the connection: whoever waits for an acknowledgement is told. A new one owes none of them."""
        with self._changed:
            self._link = None
            self._owed.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for no connection any more: the bot leaves."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def wait_open(self, timeout_s: float) -> bool:
        """Wait for a connection; tell whether there is one."""
        with self._changed:
            self._changed.wait_for(lambda: self._link is not None or self._is_closed, timeout_s)
            return self._link is not None

    def send(self, frame: dict[str, Any]) -> bool:
        """Send a frame and wait for its acknowledgement; False where none came in time.

        Errors: Refused; Disconnected where there is no connection, or it is lost meanwhile.
        """
        req_id = frame["headers"]["req_id"]
        with self._changed:
            self._changed.wait_for(lambda: req_id not in self._waiting, 2 * self._ack_s)
            link = self._link
            if link is None:
                raise Disconnected("there is no connection to WeCom now")
            acks = self._waiting[req_id] = []
            expected = self._owed.pop(req_id, 0) + 1
        try:
            link.send(frame)
            return self._was_taken(link, req_id, acks, expected)
        finally:
            with self._changed:
                if self._waiting.get(req_id) is acks:
                    del self._waiting[req_id]
                self._changed.notify_all()

    def take(self, req_id: str, frame: Frame) -> None:
        """Take an acknowledgement; one that nobody waits for is a welcome's, or came too late."""
        code, words = frame.get("errcode"), frame.get("errmsg")
        with self._changed:
            if req_id in self._waiting:
                said = " ".join(words.split())[:200] if isinstance(words, str) else ""
                ack = _Ack(code if isinstance(code, int) else -1, said)
                self._waiting[req_id].append(ack)
                self._changed.notify_all()

    def _was_taken(self, link: Link, req_id: str, acks: list[_Ack], expected: int) -> bool:
        """Wait for the acknowledgement of the last frame.

        Those of frames before that came too late have the same req_id: the last one that comes counts, for as long as
        some may be missing.
        """
        ends_at = time.monotonic() + self._ack_s
        with self._changed:
            self._changed.wait_for(
                lambda: len(acks) >= expected or self._link is not link, max(0.0, ends_at - time.monotonic())
            )
            if acks and acks[-1].code:
                raise Refused(acks[-1].code, acks[-1].words)
            if acks:
                return True
            if self._link is not link:
                raise Disconnected("the connection was lost before WeCom acknowledged")
            self._owed[req_id] = expected
            while len(self._owed) > MAX_OWED:
                self._owed.popitem(last=False)
            return False
