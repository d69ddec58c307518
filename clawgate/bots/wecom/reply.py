"""The place of one answer in WeCom: streams as long as WeCom takes them, else messages at its end.

    stream ──full: finished, the next part in a new stream─────────► …
       ├──older than 5.5 min: finished, the rest in a new stream───► …
       └──refused (its callback means nothing any more, it is too old, a client shows no streams)
             └► nothing until the end, then messages to the chat ──refused─► a whole reply to the callback

Nothing that a person has seen is sent again, but for the line that was not whole.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from clawgate.bots.failures import Disconnected
from clawgate.bots.message import Message, Snapshot, Undelivered
from clawgate.bots.wecom import frames
from clawgate.bots.wecom.frames import Place
from clawgate.bots.wecom.layout import SIGN_OF_LIFE, Section, contents_of, section_behind, whole_lines
from clawgate.bots.wecom.outbox import Outbox, Refused
from clawgate.bots.wecom.pacing import Pacing
from clawgate.bots.wecom.wire import CONFLICT, PASSING, TOO_OFTEN
from clawgate.bots.words import Words

logger = logging.getLogger(__name__)

STREAM_S = 330.0
"""The age at which a stream is left. WeCom ends one after 10 minutes, by other reports 6 minutes after a frame."""
HOLD_S = 30.0
"""No updates for so long where WeCom finds that too much comes."""
PATIENCE_S = 180.0
"""The longest time to deliver an answer's end: a new connection and a full minute are waited for."""
MESSAGE_WAITS = 3
"""So many times as long as a stream's frame, a message waits for its acknowledgement: once more would be a copy."""
MAX_COPIES = 2
"""So often a message is sent that nobody acknowledges."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 20.0
NO_STREAM = {600039, 846604, 846605, 846608}
"""Errors after which no stream helps: a client that shows none, a callback too old or unknown, an old stream."""
UNSEEN = "\n\n\u200b"
"""The mark that tells an end from an update with the same text: some saw that WeCom drops such an end."""
MOST_CONFLICTS = 3
"""So often in a row a frame of a stream is in conflict with another before the stream is left."""


class Way(enum.Enum):
    """A way to deliver, in the order in which they are tried."""

    STREAM = 1
    PUSH = 2
    WHOLE = 3


class _Old(NamedTuple):
    """The end of an old stream that WeCom may have taken without a word: nothing else can end it then.

    behind: the section of the next one.
    """

    content: str
    behind: Section


class WecomMessenger:
    """WeCom's way back to the people in it. words: the sentences, which may change."""

    def __init__(
        self,
        outbox: Outbox,
        pacing: Pacing,
        words: Callable[[], Words],
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._outbox = outbox
        self._pacing = pacing
        self._words = words
        self._clock = clock
        self._pause = pause

    def reply_to(self, message: Message) -> WecomReply:
        """Return the place of the answer to a message."""
        assert isinstance(message.handle, Place)
        return WecomReply(message.handle, self._outbox, self._pacing, self._words(), self._clock, self._pause)


class WecomReply:
    """One answer. One thread calls it."""

    def __init__(
        self,
        place: Place,
        outbox: Outbox,
        pacing: Pacing,
        words: Words,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self._place = place
        self._outbox = outbox
        self._pacing = pacing
        self._words = words
        self._clock = clock
        self._pause = pause
        self._way = Way.STREAM
        self._section = Section()
        self._done = 0
        self._is_first = True
        self._stream_id = ""
        self._began_at = 0.0
        self._content = self._sent = ""
        self._old: _Old | None = None
        self._shown = 0
        self._conflicts = 0

    def due_s(self) -> float | None:
        """Return the seconds until an update may come; None where only the end is delivered."""
        return self._pacing.due_s(self._place.chat, self._place.req_id) if self._way is Way.STREAM else None

    def show(self, snapshot: Snapshot) -> None:
        """Show an answer that goes on, with a sign of life where it has no text."""
        try:
            if self._way is Way.STREAM:
                self._show(snapshot)
        except Disconnected as error:
            logger.debug("an update was not shown: %s", error)
        except Refused as error:
            logger.debug("an update was refused: %s", error)
            self._note(error, snapshot)

    def finish(self, snapshot: Snapshot) -> None:
        """Show the whole answer, and wait until WeCom has acknowledged it.

        Errors: Undelivered.
        """
        ends_at = self._clock() + PATIENCE_S
        while not self._is_complete(snapshot):
            old = self._old
            content, *more = [old.content] if old else self._contents(snapshot)
            try:
                self._deliver(content, ends_at)
            except Refused as error:
                self._fall_back(error, snapshot)
                continue
            self._close()
            if old:
                self._begin(old.behind)
            elif not more:
                return

    def _contents(self, snapshot: Snapshot) -> list[str]:
        return contents_of(
            snapshot,
            self._section,
            self._done,
            is_first=self._is_first,
            continued=self._words.continued if self._section.at else "",
            empty=self._words.empty,
        )

    def _show(self, snapshot: Snapshot) -> None:
        if self._old or (self._stream_id and self._clock() - self._began_at >= STREAM_S):
            self._roll(snapshot)
            return
        *full, content = self._contents(snapshot)
        if not all(self._end(each) for each in full) or content == self._content:
            return
        if self._pacing.claim_update(self._place.chat, self._place.req_id) and self._outbox.send(
            self._frame(content, is_last=False)
        ):
            self._content, self._shown, self._conflicts = content, len(snapshot.text), 0

    def _roll(self, snapshot: Snapshot) -> None:
        """End a stream before WeCom does; what comes goes into a new one."""
        full, old = ([], self._old) if self._old else self._old_in(snapshot)
        if all(self._end(each) for each in full) and self._end(old.content, old):
            self._begin(old.behind)

    def _old_in(self, snapshot: Snapshot) -> tuple[list[str], _Old]:
        """Return the messages that are full by now, and the end of the current one."""
        text = snapshot.text
        for cut in (whole_lines(text, self._section), len(text)):
            *full, last = self._contents(snapshot._replace(text=text[:cut], remark=""))
            if last != SIGN_OF_LIFE:
                break
        else:
            last = snapshot.remark or self._words.waiting
        return full, _Old(last, section_behind(text[:cut], self._section, cut))

    def _end(self, content: str, old: _Old | None = None) -> bool:
        """End the current stream without waiting; tell whether WeCom acknowledged it."""
        if self._pacing.claim_last(self._place.chat, self._place.req_id):
            return False
        self._old = old
        if not self._outbox.send(self._frame(content, is_last=True)):
            return False
        self._close()
        return True

    def _deliver(self, content: str, ends_at: float) -> None:
        """Send a message that ends, again and again until WeCom acknowledges it, or is known to have it.

        A stream's frame may be sent twice. A message to the chat that WeCom took without a word appears twice then,
        which is better than not at all; and not more often, since a WeCom that is slow would take each of them.

        Errors: Refused for good; Undelivered.
        """
        frame = self._frame(content, is_last=True)
        pause_s, problem = FIRST_PAUSE_S, "there was no connection to WeCom"
        is_message, copies = self._way is not Way.STREAM, 0
        while self._clock() < ends_at and self._outbox.wait_open(ends_at - self._clock()):
            wait_s = self._pacing.claim_last(self._place.chat, self._place.req_id)
            if wait_s:
                self._pause(min(wait_s, max(0.0, ends_at - self._clock())))
                problem = "too many messages were in this chat"
                continue
            try:
                if self._outbox.send(frame, MESSAGE_WAITS if is_message else 1):
                    return
                problem, copies = "WeCom did not acknowledge it", copies + 1
                if is_message and copies >= MAX_COPIES:
                    break
            except Disconnected as error:
                problem = str(error)
            except Refused as error:
                if error.code not in PASSING or self._is_in_conflict(error):
                    raise
                problem = str(error)
                if error.code == TOO_OFTEN:
                    self._pacing.hold_ends(self._place.chat)
            self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        raise Undelivered(problem)

    def _fall_back(self, error: Refused, snapshot: Snapshot) -> None:
        """Take the next way.

        Errors: Undelivered where there is none.
        """
        if self._way is Way.WHOLE:
            raise Undelivered(str(error)) from error
        if self._way is Way.PUSH:
            self._way = Way.WHOLE
        else:
            self._leave_streams(snapshot)

    def _note(self, error: Refused, snapshot: Snapshot) -> None:
        """Learn from the refusal of an update."""
        if error.code in NO_STREAM or self._is_in_conflict(error):
            self._leave_streams(snapshot)
        elif error.code == TOO_OFTEN:
            self._pacing.hold(self._place.chat, HOLD_S)

    def _is_in_conflict(self, error: Refused) -> bool:
        """Count a conflict; tell whether there are too many of them."""
        self._conflicts += error.code == CONFLICT
        return self._conflicts >= MOST_CONFLICTS

    def _leave_streams(self, snapshot: Snapshot) -> None:
        """Go on with messages, behind what the last stream shows."""
        self._way = Way.PUSH
        if self._content:
            self._begin(section_behind(snapshot.text, self._section, max(self._shown, self._section.at)))
        self._close_stream()

    def _begin(self, section: Section) -> None:
        self._section, self._done = section, 0

    def _close(self) -> None:
        """Note that a message is complete; the next part has one of its own."""
        self._done += 1
        self._close_stream()

    def _close_stream(self) -> None:
        self._is_first = False
        self._conflicts = 0
        self._stream_id = self._content = self._sent = ""
        self._old = None

    def _is_complete(self, snapshot: Snapshot) -> bool:
        """Tell whether the messages before have all of an answer."""
        is_behind = self._section.at > 0 and not self._stream_id
        return is_behind and not self._done and not (snapshot.text[self._section.at :].strip() or snapshot.remark)

    def _frame(self, content: str, *, is_last: bool) -> dict[str, Any]:
        if self._way is Way.PUSH:
            return frames.push(self._place, content)
        if self._way is Way.WHOLE:
            return frames.whole(self._place, content)
        if not self._stream_id:
            self._stream_id, self._began_at = frames.new_id("stream"), self._clock()
        if not is_last:
            self._sent = content
        elif content in (self._content, self._sent):
            content += UNSEEN
        return frames.stream(self._place, self._stream_id, content, is_last=is_last)
