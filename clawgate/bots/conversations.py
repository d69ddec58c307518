"""The conversations of a bot: each message becomes an answer, an order to the gateway, or a sentence.

A wire calls `take` on the thread that keeps its connection. Nothing here waits on that thread: answers and errands have
threads of their own, sentences a few in common. Nothing is kept on disk, and nothing longer than it is needed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from clawgate.bots import errand
from clawgate.bots.draft import Cause
from clawgate.bots.errand import Errand
from clawgate.bots.message import Message, Messenger
from clawgate.bots.place import Place
from clawgate.bots.seen import Seen
from clawgate.bots.sentences import Sentences
from clawgate.bots.talk import Ask, Command, Identity, Key, Rules, is_allowed, key_of, order_of
from clawgate.bots.turn import Turn, Wish
from clawgate.client import Gateway

logger = logging.getLogger(__name__)

MAX_WORKS = 100
"""Answers and errands in hand: each has up to three threads, and a text."""
MAX_WORKS_OF_ONE = 8
"""Those of one conversation; an errand has one place more, so that whoever wrote too much can still begin anew."""
MAX_WORKS_OF_PERSON = 24
"""Those of one person in all chats: nobody takes the places of all others, however slow the messenger is."""
MAX_QUESTION = 200_000
"""A longer question is refused here; the gateway has a bound of its own."""
TEXT_ONLY_S = TOO_MANY_S = 60.0

Work = Turn | Errand
Make = Callable[[Place], Work]


class _Row:
    """The works of one conversation that are not over, oldest first; is_told: that they are too many was said."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.is_told = False


class Conversations:
    """All conversations of one bot.

    rules: may be replaced at any time; they count from the next message on.

    Threads: any; the lock guards the rows, and nothing waits while it is held.
    """

    def __init__(self, messenger: Messenger, gateway: Gateway, rules: Rules, identity: Identity) -> None:
        self.rules = rules
        self._messenger = messenger
        self._gateway = gateway
        self._identity = identity
        self._changed = threading.Condition()
        self._rows: dict[Key, _Row] = {}
        self._persons: dict[Work, str] = {}
        self._is_draining = False
        self._seen = Seen()
        self._refused = Seen()
        self._told_text_only = Seen(TEXT_ONLY_S)
        self._told_too_many = Seen(TOO_MANY_S)
        self._sentences = Sentences(self._wake)

    @property
    def count(self) -> int:
        """The number of answers and errands in hand."""
        with self._changed:
            return self._count()

    def is_command(self, text: str) -> bool:
        """Tell whether a text is a command, and no question."""
        return not isinstance(order_of(text, self.rules), Ask)

    def take(self, message: Message) -> bool:
        """Take a message, and return at once; False: the bot is ending, and whoever comes next is to have it."""
        rules = self.rules
        if self._is_draining:
            return False
        if not is_allowed(message, rules.users, rules.chats):
            self._refuse(message, rules)
            return True
        if message.id and not self._seen.is_new(message.id):
            return True
        key = key_of(message, rules.session_by)
        order = None if message.text is None else order_of(message.text, rules)
        kind = "question" if isinstance(order, Ask) else order.value if order else "no_text"
        session_id = self._identity.session_id_of(key)
        logger.info("message: kind=%(kind)s session=%(session)s", {"kind": kind, "session": session_id})
        if order is None:
            if self._told_text_only.is_new(*key):
                self._say(message, rules.words.text_only)
            return True
        match order:
            case Command.HELP:
                self._say(message, rules.say(rules.words.welcome))
            case Command.STOP:
                return self._stop(message, key, rules)
            case Command.NEW:
                return self._forget(message, key, rules)
            case Command.CONTINUE:
                return self._ask(message, key, rules, None)
            case ask:
                return self._ask(message, key, rules, ask.text)
        return True

    def greeting_of(self, user: str) -> str:
        """Return the words for a person who opens the chat with the bot: one who may not use it is told so."""
        rules = self.rules
        is_welcome = is_allowed(Message("", user, user, is_group=False, text=None), rules.users, rules.chats)
        return rules.say(rules.words.welcome if is_welcome else rules.words.refused, user=user)

    def drain(self, timeout_s: float) -> bool:
        """Take no more messages, end all answers, and wait until the chats have them; False: the time was too short."""
        with self._changed:
            self._is_draining = True
            works = [work for row in self._rows.values() for work in row.works]
        for work in works:
            work.cancel(Cause.RESTARTING)
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout_s)

    def _ask(self, message: Message, key: Key, rules: Rules, text: str | None) -> bool:
        """Ask a question; with None go on with the last answer, unless it is going on by itself."""
        if text is None and any(work.is_going_on for work in self._works_of(key)):
            return True
        if text is not None and len(text) > MAX_QUESTION:
            self._say(message, rules.say(rules.words.refused_by_model))
            return True
        wish = Wish(key, self._identity.session_id_of(key), text, rules)
        reply = self._messenger.reply_to(message)
        return self._add(message, key, rules, lambda place: Turn(wish, reply, self._gateway, place, self._note))

    def _stop(self, message: Message, key: Key, rules: Rules) -> bool:
        """End what is being answered. Of several, the newest one says so; the others were superseded by it."""
        works = self._works_of(key)
        answering = [work for work in works if work.is_answering]
        for number, work in enumerate(reversed(answering)):
            work.cancel(Cause.SUPERSEDED if number else Cause.STOPPED)
        if answering or any(isinstance(work, Errand) and work.is_stop for work in works):
            return True
        return self._run_errand(message, key, rules, errand.stop, is_stop=True)

    def _forget(self, message: Message, key: Key, rules: Rules) -> bool:
        for work in self._works_of(key):
            work.cancel(Cause.FORGOTTEN)
        return self._run_errand(message, key, rules, errand.forget)

    def _run_errand(
        self,
        message: Message,
        key: Key,
        rules: Rules,
        ask: Callable[[Gateway, str, Rules], str],
        *,
        is_stop: bool = False,
    ) -> bool:
        asking = partial(ask, self._gateway, self._identity.session_id_of(key), rules)
        reply = self._messenger.reply_to(message)
        return self._add(
            message,
            key,
            rules,
            lambda place: Errand(key, asking, rules, reply, place, self._note, is_stop=is_stop),
            most=MAX_WORKS_OF_ONE + 1,
        )

    def _add(self, message: Message, key: Key, rules: Rules, make: Make, *, most: int = MAX_WORKS_OF_ONE) -> bool:
        """Put a work at the end of its row, and start it; where there are too many, say so."""
        sentence = rules.words.busy
        work = None
        with self._changed:
            if self._is_draining:
                return False
            row = self._rows.get(key) or _Row()
            if len(row.works) >= most:
                sentence = "" if row.is_told else rules.words.too_many
                row.is_told = True
            elif list(self._persons.values()).count(message.user) >= MAX_WORKS_OF_PERSON:
                sentence = rules.words.too_many if self._told_too_many.is_new(message.user) else ""
            elif self._count() < MAX_WORKS:
                work = make(_place_behind(row.works))
                row.works.append(work)
                self._rows[key] = row
                self._persons[work] = message.user
        if work is not None and self._start(work):
            return True
        if sentence:
            self._say(message, sentence)
        return True

    def _start(self, work: Work) -> bool:
        try:
            work.start()
        except RuntimeError as error:
            logger.error("no answer: %s", error)
            self._note(work)
            return False
        return True

    def _refuse(self, message: Message, rules: Rules) -> None:
        """Tell a person once an hour that the bot is not for him, and the log who it was."""
        if self._refused.is_new(message.user):
            logger.info("refused: user %r in chat %r", message.user, message.chat)
            self._say(message, rules.say(rules.words.refused, user=message.user))

    def _say(self, message: Message, sentence: str) -> None:
        self._sentences.say(message.chat, self._messenger.reply_to(message), sentence)

    def _works_of(self, key: Key) -> list[Work]:
        with self._changed:
            row = self._rows.get(key)
            return list(row.works) if row else []

    def _note(self, work: Work) -> None:
        """Note that a work was delivered, or is over."""
        with self._changed:
            row = self._rows.get(work.key)
            if work.is_over and row is not None and work in row.works:
                row.works.remove(work)
                del self._persons[work]
                row.is_told = False
                if not row.works:
                    del self._rows[work.key]
            self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _count(self) -> int:
        return sum(len(row.works) for row in self._rows.values())

    def _is_idle(self) -> bool:
        works = [work for row in self._rows.values() for work in row.works]
        return self._sentences.is_idle and all(work.is_delivered for work in works)


def _place_behind(works: list[Work]) -> Place:
    """Return the place behind the last of a row's works, which is ended where it does not begin."""
    if not works:
        return Place(None)
    return Place(works[-1].place, partial(works[-1].cancel, Cause.SUPERSEDED))
