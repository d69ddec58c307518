"""The way out: one frame of a req_id at a time, each acknowledged, over whatever connection there is now."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from clawgate.bots.failures import Disconnected
from clawgate.bots.link import Frame, Link

ACK_S = 5.0
"""So long the next frame of a req_id waits for the acknowledgement of the one before. WeCom's SDKs wait as long."""
MAX_OWED = 200
"""The req_ids of which is known what they lack, with a frame of 20 KB each."""


class Refused(Exception):
    """WeCom took a frame, and refuses what is in it."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(f"WeCom says {code} {words}".rstrip())
        self.code = code


class _Ack(NamedTuple):
    code: int
    words: str


class _Owed(NamedTuple):
    """The debt of a req_id: so many acknowledgements, the last of them for the frame of that place in the order."""

    acks: int
    frame: Frame
    place: int

    def behind(self, ack: _Ack) -> _Owed:
        """Return what is left once one of them has come too late.

        A refusal makes the frame one that has to be sent again; with the last one it has arrived.
        """
        left = max(0, self.acks - 1)
        if ack.code:
            return _Owed(left, {}, self.place)
        return _Owed(left, self.frame, self.place if left else 0)


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
        self._owed: OrderedDict[str, _Owed] = OrderedDict()
        self._sent = self._arrived = 0

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

    def send(self, frame: dict[str, Any], waits: int = 1) -> bool:
        """Send a frame and wait for its acknowledgement, so many times as long as usual.

        False: none came in time, or the frame before is not over. A frame that was sent before is not sent again where
        it has arrived: some are never acknowledged.

        Errors: Refused; Disconnected where there is no connection, or it is lost meanwhile.
        """
        req_id = frame["headers"]["req_id"]
        with self._changed:
            if not self._changed.wait_for(lambda: req_id not in self._waiting, 2 * self._ack_s):
                return False
            link = self._link
            if link is None:
                raise Disconnected("there is no connection to WeCom now")
            owed = self._owed.pop(req_id, None)
            if owed and owed.frame == frame and owed.place <= self._arrived:
                return True
            acks = self._waiting[req_id] = []
            expected = owed.acks + 1 if owed else 1
        try:
            link.send(frame)
            with self._changed:
                self._sent += 1
                place = owed.place if owed and owed.frame == frame else self._sent
            return self._was_taken(link, req_id, acks, _Owed(expected, frame, place), waits * self._ack_s)
        finally:
            with self._changed:
                if self._waiting.get(req_id) is acks:
                    del self._waiting[req_id]
                self._changed.notify_all()

    @property
    def sent(self) -> int:
        """The number of frames that were sent so far."""
        return self._sent

    def note_arrival(self, sent: int) -> None:
        """Note that so many of the frames have arrived: WeCom has answered a ping that was sent behind them."""
        with self._changed:
            self._arrived = max(self._arrived, sent)

    def take(self, req_id: str, frame: Frame) -> None:
        """Take an acknowledgement; one that nobody waits for is a welcome's, or came too late."""
        code, words = frame.get("errcode"), frame.get("errmsg")
        said = " ".join(words.split())[:200] if isinstance(words, str) else ""
        ack = _Ack(code if isinstance(code, int) else -1, said)
        with self._changed:
            if req_id in self._waiting:
                self._waiting[req_id].append(ack)
                self._changed.notify_all()
            elif req_id in self._owed:
                self._owed[req_id] = self._owed[req_id].behind(ack)

    def _was_taken(self, link: Link, req_id: str, acks: list[_Ack], owed: _Owed, ack_s: float) -> bool:
        """Wait for the acknowledgement of the last frame.

        Those of frames before that came too late have the same req_id: the last one that comes counts, for as long as
        some may be missing.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(acks) >= owed.acks or self._link is not link, ack_s)
            if acks and acks[-1].code:
                raise Refused(acks[-1].code, acks[-1].words)
            if acks:
                return True
            if self._link is not link:
                raise Disconnected("the connection was lost before WeCom acknowledged")
            if owed.place <= self._arrived:
                return True
            self._owed[req_id] = owed
            while len(self._owed) > MAX_OWED:
                self._owed.popitem(last=False)
            return False
