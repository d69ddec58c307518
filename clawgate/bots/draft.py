"""One answer as it comes: the gateway's events, put together to what a chat is to show of it. Pure."""

from __future__ import annotations

from enum import Enum

from clawgate.bots.message import Snapshot
from clawgate.bots.talk import Rules
from clawgate.bots.words import Words
from clawgate.client.events import (
    Ended,
    Event,
    Failure,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    Waiting,
)

MAX_TEXT = 200_000
"""An answer of so many characters is ended: it is forty messages long."""
MAX_THINKING = 4_000
"""So much of the thinking is shown, from its start on: what is shown once does not change."""


class Cause(Enum):
    """The reason for which the bot itself ended an answer."""

    STOPPED = "stopped"
    SUPERSEDED = "superseded"
    FORGOTTEN = "forgotten"
    TOO_LONG = "too_long"
    RESTARTING = "restarting"


_CAUSES = {
    Cause.STOPPED: "stopped",
    Cause.SUPERSEDED: "superseded",
    Cause.FORGOTTEN: "stopped",
    Cause.TOO_LONG: "shortened",
    Cause.RESTARTING: "restarting",
}
_ENDS = {"length": "shortened", "superseded": "superseded"}
_CODES = {
    "unreachable": "away",
    "not_a_gateway": "away",
    "shutting_down": "away",
    "session_store_unavailable": "away",
    "unknown_session": "away",
    "busy": "busy",
    "model_not_found": "model_missing",
    "upstream_refused": "refused_by_model",
    "too_large": "refused_by_model",
    "unauthorized": "unauthorized",
    "nothing_to_continue": "nothing_to_continue",
    "cannot_continue": "cannot_continue",
    "nothing_left": "truncated",
}
"""The sentences for errors; those of Ollama have one in common, any other is named by its code."""
ORDINARY = ("nothing_to_continue", "cannot_continue")
"""These are answers to a wish that cannot be met, and nothing is wrong."""


def sentence_of(code: str, words: Words) -> str:
    """Return the sentence for an error of the gateway or of the way there: never in the words of others."""
    if code in _CODES:
        return str(getattr(words, _CODES[code]))
    return words.model_away if code.startswith("upstream_") else words.failed


class Draft:
    """Takes the events of one answer.

    version: changes with all that is to be seen.
    is_begun: the gateway has taken the question.
    opener: the line that opens the code in which the text begins; "" where it begins in none.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._text: list[str] = []
        self._length = 0
        self._thinking = ""
        self._is_waiting = False
        self._remark = ""
        self._is_failed = False
        self.opener = ""
        self.version = 0
        self.is_begun = False
        self.is_over = False
        self.end_reason = ""

    @property
    def has_text(self) -> bool:
        """True once there is anything but blanks."""
        return any(piece.strip() for piece in self._text)

    @property
    def is_full(self) -> bool:
        """True where no more text is taken: the answer is to be ended."""
        return self._length >= MAX_TEXT

    def hear(self, event: Event) -> None:
        """Take an event; the one that ends it is for `end`."""
        is_waiting = False
        match event:
            case Started() | Resumed():
                self.is_begun = True
            case Text():
                self._take(event.text)
            case Thinking():
                self._think(event.text)
            case Restarted():
                self._thinking = ""
            case Reset():
                self.is_begun = True
                self._text, self._length, self._thinking = [], 0, ""
                self._take(event.text)
                self._think(event.thinking)
            case Waiting():
                if self._is_waiting:
                    return
                is_waiting = True
            case _:
                return
        self._is_waiting = is_waiting
        self.version += 1

    def end(self, event: Ended, cause: Cause | None = None) -> None:
        """Take the end of the answer, which the bot may have caused; an error is for `fail`."""
        self.is_over = True
        self.end_reason = event.done_reason
        if event.done_reason != "stop":
            is_ours = cause is not None and event.done_reason in ("interrupted", "superseded")
            name = _CAUSES[cause] if cause and is_ours else _ENDS.get(event.done_reason, "truncated")
            self._remark = self._rules.say(str(getattr(self._rules.words, name)))
        elif not self.has_text:
            self._remark = self._rules.words.empty

    def fail(self, failure: Failure) -> None:
        """End with an error; the text of an Ollama that failed in the middle can be gone on with."""
        sentence = sentence_of(failure.code, self._rules.words)
        if self.has_text and failure.code.startswith("upstream_"):
            sentence = self._rules.words.truncated
        self._remark = self._rules.say(sentence, code=failure.code)
        self.is_over = True
        self._is_failed = failure.code not in ORDINARY
        self.end_reason = "error"

    def snapshot(self) -> Snapshot:
        """Return the answer as it stands."""
        text = "".join(self._text)
        self._text = [text] if text else []
        if self.has_text:
            text = self.opener + text
        remark = self._rules.words.waiting if self._is_waiting and not self.is_over else self._remark
        thinking = self._thinking
        if len(thinking) > MAX_THINKING:
            thinking = f"{thinking[:MAX_THINKING]}…"
        return Snapshot(text, thinking, remark, self.is_over, self._is_failed)

    def _take(self, text: str) -> None:
        piece = text[: MAX_TEXT - self._length]
        if piece:
            self._text.append(piece)
            self._length += len(piece)

    def _think(self, text: str) -> None:
        if self._rules.is_thinking_shown and len(self._thinking) <= MAX_THINKING:
            self._thinking += text[: MAX_THINKING + 1 - len(self._thinking)]
