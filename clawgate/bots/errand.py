"""The small requests to the gateway: to forget a conversation, and to stop an answer from before the bot's restart."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from clawgate.bots.draft import Cause, sentence_of
from clawgate.bots.message import Reply, Snapshot
from clawgate.bots.place import Place
from clawgate.bots.sentences import deliver
from clawgate.bots.talk import Key, Rules
from clawgate.client import ClientError, Gateway, Refused

logger = logging.getLogger(__name__)


class Errand:
    """One request to the gateway, in its turn, and the sentence that tells of it.

    Threads: any may look; it has one of its own.
    """

    is_answering = is_going_on = False

    def __init__(
        self,
        key: Key,
        ask: Callable[[], str],
        rules: Rules,
        reply: Reply,
        place: Place,
        on_change: Callable[[Errand], None],
        *,
        is_stop: bool = False,
    ) -> None:
        """ask: asks the gateway, and returns a sentence."""
        self.key = key
        self.place = place
        self.is_stop = is_stop
        self.is_over = False
        self._ask = ask
        self._rules = rules
        self._reply = reply
        self._on_change = on_change

    @property
    def is_delivered(self) -> bool:
        """True once the chat has the sentence."""
        return self.is_over

    def start(self) -> None:
        """Start it.

        Errors: RuntimeError where the system gives no further thread; the errand is over then.
        """
        try:
            threading.Thread(target=self._run, name="errand", daemon=True).start()
        except RuntimeError:
            self.is_over = True
            self.place.give_way()
            self.place.note_delivered()
            raise

    def cancel(self, cause: Cause) -> None:
        """Do nothing: it is over soon."""

    def _run(self) -> None:
        try:
            self.place.wait()
            try:
                sentence = self._ask()
            except ClientError as error:
                logger.warning("%s (%s)", error, error.code)
                sentence = sentence_of(error.code, self._rules.words)
                sentence = self._rules.say(sentence, code=error.code)
            finally:
                self.place.give_way()
            self.place.wait_delivered()
            deliver(self._reply, Snapshot(sentence, is_over=True), self.key)
        finally:
            self.is_over = True
            self.place.note_delivered()
            self._on_change(self)


def forget(gateway: Gateway, session_id: str, rules: Rules) -> str:
    """Have the gateway forget a session, and end its answer.

    Errors: ClientError.
    """
    try:
        gateway.forget(session_id)
    except Refused as error:
        if error.code != "unknown_session":
            raise
    return rules.words.new


def stop(gateway: Gateway, session_id: str, rules: Rules) -> str:
    """Have the gateway end an answer that this process knows nothing of: one from before a restart.

    Errors: ClientError.
    """
    try:
        is_ended = gateway.interrupt(session_id).interrupted
    except Refused as error:
        if error.code != "unknown_session":
            raise
        is_ended = False
    return rules.words.stopped if is_ended else rules.words.nothing_running
