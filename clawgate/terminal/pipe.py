"""One question from stdin, its answer on stdout, and nothing else there."""

from __future__ import annotations

import signal
import sys

from clawgate.client import Gateway
from clawgate.errors import ConfigError
from clawgate.terminal import words
from clawgate.terminal.conversation import Conversation
from clawgate.terminal.display import Display
from clawgate.terminal.settings import Settings
from clawgate.terminal.signals import Signals
from clawgate.terminal.talk import complain
from clawgate.terminal.turn import Turn

MAX_QUESTION_BYTES = 64 << 20
"""More than any gateway takes as it comes: the gateway's own bound has the last word."""


def answer_once(gateway: Gateway, display: Display, settings: Settings, signals: Signals) -> int:
    """Ask, and write the answer as it comes.

    Returns 0 where it is whole, 130 where it was interrupted, and 1 with a line on stderr for anything else.

    Errors: ConfigError where there is no question; OSError where stdout cannot be written to.
    """
    conversation = Conversation(settings.wishes, settings.system)
    conversation.session_id = settings.session_id or ""
    outcome = Turn(gateway.ask(conversation.question(_question())), display).show(signals)
    if outcome.number:
        return 128 + outcome.number
    if outcome.code == "unknown_session" and settings.session_id is not None:
        complain(words.UNKNOWN_SESSION.format(session_id=settings.session_id))
        return 1
    if outcome.failure:
        complain(outcome.failure)
        return 1
    reason = outcome.end.done_reason if outcome.end is not None else "interrupted"
    if reason == "stop":
        return 0
    if reason == "interrupted":
        return 128 + signal.SIGINT
    complain(f"the answer is not whole: {words.ENDS.get(reason, reason)}")
    return 1


def _question() -> str:
    if sys.stdin.isatty():
        print("The question, and then Ctrl-D:", file=sys.stderr)
    data = sys.stdin.buffer.read(MAX_QUESTION_BYTES + 1)
    if len(data) > MAX_QUESTION_BYTES:
        raise ConfigError(f"stdin: expected a question of at most {MAX_QUESTION_BYTES} bytes")
    try:
        text = data.decode(sys.stdin.encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(f"stdin: expected {sys.stdin.encoding} text (byte {error.start} is none)") from error
    if not text.strip():
        raise ConfigError("stdin: expected a question, got nothing")
    return text.rstrip("\n")
