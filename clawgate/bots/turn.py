"""One answer on its way from the gateway into a chat: one thread reads it, and one shows it.

The two share the draft alone. So a messenger that is slow delays neither the reading nor a stop, and what is shown is
always the latest. The interrupt has a third thread, for as long as the gateway takes to confirm it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from clawgate.bots.draft import ORDINARY, Cause, Draft
from clawgate.bots.message import Reply
from clawgate.bots.place import Place
from clawgate.bots.sentences import deliver
from clawgate.bots.splitting import open_fence
from clawgate.bots.talk import Key, Rules
from clawgate.client import Answer, ClientError, Gateway, Refused
from clawgate.client.events import Ended, Event, Failure

logger = logging.getLogger(__name__)

SETTLE_S = 3.0
"""So long the last words of an answer are waited for that the bot has ended."""
LOOK_S = 0.05
TRIES = 3
TRY_PAUSE_S = 0.3
MAX_LOGGED = 500
_QUIET = (Cause.SUPERSEDED, Cause.FORGOTTEN)
"""An answer that ends so is not sent at all where nobody has seen any of it: each message counts against a quota."""


class Wish(NamedTuple):
    """The wish of a person.

    text: the question; None to go on with the last answer.
    """

    key: Key
    session_id: str
    text: str | None
    rules: Rules

    def body(self) -> dict[str, Any]:
        """Return the body that asks it of a session that the gateway knows."""
        more = {"continue": True} if self.text is None else {"message": self.text}
        return {"session_id": self.session_id, **more}

    def anew(self) -> dict[str, Any]:
        """Return the body that asks it under the same id of a gateway that has forgotten the session."""
        return {"session_id": self.session_id, "messages": [{"role": "user", "content": self.text}]}


class Turn:
    """One answer: asked for in its turn, read, shown, and ended.

    key: the conversation's; is_delivered: the chat has all of it; is_over: no thread of it is left.

    Threads: any; the lock guards the draft and the state. Nothing waits while it holds the lock.
    """

    def __init__(
        self, wish: Wish, reply: Reply, gateway: Gateway, place: Place, on_change: Callable[[Turn], None]
    ) -> None:
        """on_change: called when the answer is delivered, and when its last thread ends."""
        self.key = wish.key
        self.place = place
        self.is_delivered = False
        self._wish = wish
        self._reply = reply
        self._gateway = gateway
        self._on_change = on_change
        self._changed = threading.Condition()
        self._draft = Draft(wish.rules)
        self._answer: Answer | None = None
        self._cause: Cause | None = None
        self._give_up_at: float | None = None
        self._is_read = False
        self._shown_version = 0

    @property
    def is_over(self) -> bool:
        """True once neither thread is left."""
        return self._is_read and self.is_delivered

    @property
    def is_answering(self) -> bool:
        """True until the answer has ended; it may still be on its way to the chat then."""
        return not self._draft.is_over

    @property
    def is_going_on(self) -> bool:
        """True while the answer is being made, and nothing has ended it."""
        return self.is_answering and self._cause is None

    def start(self) -> None:
        """Start to ask and to show.

        Errors: RuntimeError where the system gives no further thread; the turn is over then.
        """
        try:
            threading.Thread(target=self._show, name="show", daemon=True).start()
        except RuntimeError:
            self._is_read = self.is_delivered = True
            self.place.give_way()
            self.place.note_delivered()
            raise

    def cancel(self, cause: Cause) -> None:
        """End the answer in whatever phase it is; returns at once. Only the first cause counts."""
        with self._changed:
            if self._draft.is_over or self._cause is not None:
                return
            self._cause = cause
            self._give_up_at = time.monotonic() + SETTLE_S
            answer = self._answer
            if answer is None:  # it was not asked for yet, and is not any more
                self._draft.end(Ended("interrupted"), cause)
            self._changed.notify_all()
        if answer is not None:
            try:
                threading.Thread(target=_interrupt, args=(answer,), name="interrupt", daemon=True).start()
            except RuntimeError:  # no further thread: the gateway ends it once nobody has read it for a while
                answer.close()

    def _read(self) -> None:
        try:
            self.place.wait()
            self._ask()
        except ClientError as error:
            self._fail(Failure(error.code, str(error)))
        finally:
            self.place.give_way()
            self._end_unheard()
            self._is_read = True
            self._on_change(self)

    def _ask(self) -> None:
        """Ask, and hear the answer to its end."""
        if self._wish.text is None:
            self._open_code()
        try:
            self._hear(self._wish.body())
        except Refused as error:
            if error.code != "unknown_session" or self._draft.is_begun:
                raise
            if self._wish.text is None:
                raise Refused(error.status, "nothing_to_continue", str(error)) from error
            self._hear(self._wish.anew())

    def _open_code(self) -> None:
        """Have what goes on in the middle of code begin as code: a message is a document of its own.

        It waits for all of the text of an answer that is being ended right now.
        """
        until = time.monotonic() + SETTLE_S
        try:
            while (session := self._gateway.session(self._wish.session_id)).streaming and time.monotonic() < until:
                time.sleep(LOOK_S)
            last = session.messages[-1]
        except (ClientError, IndexError):
            return  # the gateway says what is wrong once it is asked to go on
        with self._changed:
            self._draft.opener = open_fence(str(last.get("content") or ""))

    def _hear(self, body: Mapping[str, Any]) -> None:
        with self._changed:
            if self._cause is not None:
                return
            answer = self._answer = self._gateway.ask(body)
        for event in answer:
            self._take(event)
            if self._draft.is_begun:
                self.place.give_way()
            if self._draft.is_full:
                self.cancel(Cause.TOO_LONG)

    def _take(self, event: Event) -> None:
        if isinstance(event, Ended) and event.failure is not None:
            self._fail(event.failure)
            return
        with self._changed:
            if self._draft.is_over:
                return
            if isinstance(event, Ended):
                self._draft.end(event, self._cause)
            else:
                self._draft.hear(event)
            self._changed.notify_all()

    def _fail(self, failure: Failure) -> None:
        """End with an error; one that comes after the bot has ended the answer is no news."""
        level = logging.INFO if failure.code in ORDINARY else logging.WARNING
        message = " ".join(failure.message.split())[:MAX_LOGGED]  # it may be in Ollama's words
        logger.log(level, "session %s: %s (%s)", self._wish.session_id, message, failure.code)
        with self._changed:
            if self._draft.is_over:
                return
            if self._cause is not None:
                self._draft.end(Ended("interrupted"), self._cause)
            else:
                self._draft.fail(failure)
            self._changed.notify_all()

    def _end_unheard(self) -> None:
        """End an answer whose reading ended without an end: one that was cancelled, if nothing is wrong."""
        with self._changed:
            if not self._draft.is_over and self._cause is not None:
                self._draft.end(Ended("interrupted"), self._cause)
                self._changed.notify_all()
        if not self._draft.is_over:
            self._fail(Failure("internal", "the answer was not read to its end"))

    def _show(self) -> None:
        try:
            self._start_to_read()
            self.place.wait_delivered()
            try:
                self._show_until_over()
            finally:  # whatever goes wrong on the way, the end is delivered
                self._wait(lambda: False)
                self._finish()
        finally:
            self.is_delivered = True
            self.place.note_delivered()
            self._on_change(self)

    def _start_to_read(self) -> None:
        try:
            threading.Thread(target=self._read, name="read", daemon=True).start()
        except RuntimeError as error:
            self._fail(Failure("busy", str(error)))
            self._is_read = True
            self.place.give_way()

    def _show_until_over(self) -> None:
        """Show each new state once it may be shown; the states between two that are shown are left out."""
        while True:
            self._wait(self._has_news)
            if self._draft.is_over:
                return
            due_s = self._reply.due_s()
            if due_s is None or due_s > 0:
                self._wait(lambda: False, due_s)
                continue
            with self._changed:
                if self._draft.is_over or not self._has_news():
                    continue
                self._shown_version = self._draft.version
                snapshot = self._draft.snapshot()
            self._reply.show(snapshot)

    def _has_news(self) -> bool:
        """Tell whether there is something to show; of an answer that is being ended, only the end is shown."""
        return self._cause is None and self._draft.version != self._shown_version

    def _wait(self, is_met: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait until something is met, the answer is over, or the time is; give up an answer that does not end."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not (self._draft.is_over or is_met()):
                now = time.monotonic()
                if self._give_up_at is not None and now >= self._give_up_at:
                    self._give_up()
                elif until is not None and now >= until:
                    return
                else:
                    ends = [end for end in (until, self._give_up_at) if end is not None]
                    self._changed.wait(min(ends) - now if ends else None)

    def _give_up(self) -> None:
        self._draft.end(Ended("interrupted"), self._cause)
        if self._answer is not None:
            self._answer.close()

    def _finish(self) -> None:
        draft, cause = self._draft, self._cause
        is_quiet = cause in _QUIET if cause is not None else draft.end_reason == "superseded"
        is_cut = draft.end_reason in ("interrupted", "superseded")
        if is_cut and is_quiet and not (self._shown_version or draft.has_text):
            return
        deliver(self._reply, draft.snapshot(), self.key)


def _interrupt(answer: Answer) -> None:
    """Tell the gateway to end an answer; a few times, where it cannot be told."""
    for number in range(1, TRIES + 1):
        try:
            answer.interrupt()
            return
        except ClientError as error:
            is_forgotten = error.code == "unknown_session"  # meanwhile, which is no fault
            level = logging.DEBUG if is_forgotten else logging.WARNING
            logger.log(level, "session %s: the interrupt failed: %s (%s)", answer.session_id, error, error.code)
        time.sleep(TRY_PAUSE_S * number)
