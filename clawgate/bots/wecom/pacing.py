"""When a chat may have its next frame. WeCom allows 30 a minute and 1,000 an hour in each, streams and messages alike.

Whether the frames of a stream count is not documented; these figures are safe either way. Everybody in a group shares
its budget, so it belongs to the chat and not to an answer.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

MINUTE_S, HOUR_S = 61.0, 3605.0
"""The windows, and what the way to WeCom may push together."""
PER_MINUTE, PER_HOUR = 30, 1000
UPDATES_PER_MINUTE = 28
"""The rest of a minute is for the frames that end an answer."""
SLOW_FROM, NONE_FROM = 700, 950
"""Frames in an hour beyond which updates come more rarely, and not at all."""
SLOWEST = 10.0
"""So many times the usual pause between updates, just before there are none."""
LAST_PAUSE_S = 0.5
"""The pause before the frame that ends an answer."""
ENDS_HELD = 2
"""So many pauses between updates no end comes where WeCom has refused one for too much."""
MAX_CHATS = 1000
RIVAL_S = 10.0
"""So long an answer keeps its share of the updates without taking its turn."""


class Pacing:
    """Counts the frames of each chat.

    update_s: the least pause between two updates in one chat.
    answer: names an answer; those of one chat take turns. "" for one that takes no part in that.
    Units: all times are seconds; those of clock have any beginning.
    Threads: any; `_lock` guards the chats.
    """

    def __init__(self, update_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.update_s = update_s
        self._clock = clock
        self._lock = threading.Lock()
        self._chats: OrderedDict[str, _Chat] = OrderedDict()

    def due_s(self, chat: str, answer: str = "") -> float | None:
        """Return the seconds until an update may come; None: only ends of answers may come for now."""
        with self._lock:
            now, known = self._clock(), self._chat(chat)
            due_s = self._update_due_s(known, now)
            return max(due_s, known.turn_s(answer, now, self.update_s)) if due_s is not None and answer else due_s

    def claim_update(self, chat: str, answer: str = "") -> bool:
        """Count an update where one may come now."""
        with self._lock:
            now, known = self._clock(), self._chat(chat)
            is_due = self._update_due_s(known, now) == 0.0
            if is_due:
                known.sent.append(now)
                known.note_update(answer, now)
            return is_due

    def claim_last(self, chat: str, answer: str = "") -> float:
        """Count a frame that ends an answer, and return 0; or return how long it has to wait, before any update."""
        with self._lock:
            now, known = self._clock(), self._chat(chat)
            wait_s = known.wait_s(now, min(LAST_PAUSE_S, self.update_s), PER_MINUTE, PER_HOUR)
            wait_s = max(wait_s, known.ends_held_until - now)
            known.updates_at = now + wait_s + LAST_PAUSE_S if wait_s else 0.0
            known.rivals.pop(answer, None)
            if not wait_s:
                known.sent.append(now)
            return wait_s

    def hold(self, chat: str, pause_s: float) -> None:
        """Let no update come for a while: WeCom finds that too much comes."""
        with self._lock:
            self._chat(chat).held_until = self._clock() + pause_s

    def hold_ends(self, chat: str) -> None:
        """Let one answer at a time ask whether its end may come now: each refusal takes room of the chat's minute."""
        with self._lock:
            self._chat(chat).ends_held_until = self._clock() + ENDS_HELD * self.update_s

    def _chat(self, name: str) -> _Chat:
        known = self._chats.pop(name, None) or _Chat()
        self._chats[name] = known
        while len(self._chats) > MAX_CHATS:
            self._chats.popitem(last=False)
        return known

    def _update_due_s(self, chat: _Chat, now: float) -> float | None:
        in_hour = chat.count(now - HOUR_S)
        if in_hour >= NONE_FROM:
            return None
        pause_s = max(self.update_s, chat.spread_s(now))
        if in_hour > SLOW_FROM:
            pause_s *= 1 + (SLOWEST - 1) * (in_hour - SLOW_FROM) / (NONE_FROM - SLOW_FROM)
        wait_s = chat.wait_s(now, pause_s, UPDATES_PER_MINUTE, NONE_FROM)
        return max(wait_s, chat.updates_at - now, chat.held_until - now)


class _Rival(NamedTuple):
    """An answer that takes turns with others: when it had an update, and until when it is awaited for the next."""

    shown_at: float
    awaited_until: float


class _Chat:
    """When its frames went out.

    rivals: the answers that are updated there now.
    updates_at: an update waits so long, for an end that waits, too. held_until: see `hold`; ends_held_until: see
    `hold_ends`.
    """

    def __init__(self) -> None:
        self.sent: deque[float] = deque(maxlen=PER_HOUR)
        self.rivals: dict[str, _Rival] = {}
        self.updates_at = 0.0
        self.held_until = self.ends_held_until = 0.0

    def turn_s(self, answer: str, now: float, pause_s: float) -> float:
        """Return the seconds until it is an answer's turn: each of the others has had an update by then."""
        others = {name: each for name, each in self.rivals.items() if each.awaited_until > now and name != answer}
        shown_at = self.rivals[answer].shown_at if answer in self.rivals else float("-inf")
        wait_s = max(0.0, shown_at + pause_s * (len(others) + 1) - now)
        self.rivals = others | {answer: _Rival(shown_at, now + wait_s + RIVAL_S)}
        return wait_s

    def note_update(self, answer: str, now: float) -> None:
        """Note that an answer has had its turn."""
        if answer in self.rivals:
            self.rivals[answer] = _Rival(now, now + RIVAL_S)

    def count(self, since: float) -> int:
        """Forget what is older than an hour; return how many frames are newer than that."""
        while self.sent and self.sent[0] <= since:
            self.sent.popleft()
        return len(self.sent)

    def spread_s(self, now: float) -> float:
        """Return the pause that spreads what is left of a minute's updates over it, once half of them are used."""
        recent = [at for at in islice(reversed(self.sent), UPDATES_PER_MINUTE) if at > now - MINUTE_S]
        left = UPDATES_PER_MINUTE - len(recent)
        return (recent[-1] + MINUTE_S - self.sent[-1]) / (left + 1) if 2 * left <= UPDATES_PER_MINUTE else 0.0

    def wait_s(self, now: float, pause_s: float, per_minute: int, per_hour: int) -> float:
        """Return the seconds until the pause is over and both windows have room."""
        free_at = self.sent[-1] + pause_s if self.sent else now
        for most, window_s in ((per_minute, MINUTE_S), (per_hour, HOUR_S)):
            if len(self.sent) >= most:
                free_at = max(free_at, self.sent[-most] + window_s)
        return max(0.0, free_at - now)
