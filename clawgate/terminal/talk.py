"""The talk at a terminal: prompt, answer, prompt again; and the few commands."""

from __future__ import annotations

import re
import shlex
import sys
import time

from clawgate.client import Answer, Gateway
from clawgate.terminal import words
from clawgate.terminal.clean import one_line
from clawgate.terminal.conversation import Conversation, Message
from clawgate.terminal.display import Display
from clawgate.terminal.prompt import Discarded, Prompt, without_echo
from clawgate.terminal.settings import Settings
from clawgate.terminal.signals import Signals
from clawgate.terminal.turn import Outcome, Turn

SETTLE_S = 2.0
"""So long a question waits for the one before, where that is still being given up."""
HELD_S = 0.1
"""A Ctrl-C so soon after another is a key that is held down, as somebody does who wants an answer to end."""
MAX_SHOWN = 200
COMMAND = re.compile(r"/[a-z]+")


class Talk:
    """One run of the client at a terminal."""

    def __init__(
        self, gateway: Gateway, display: Display, prompt: Prompt, settings: Settings, signals: Signals
    ) -> None:
        self._gateway = gateway
        self._display = display
        self._prompt = prompt
        self._settings = settings
        self._signals = signals
        self._conversation = Conversation(settings.wishes, settings.system)
        self._turn: Turn | None = None
        self._number = 0

    def run(self) -> int:
        """Talk until somebody leaves; return the exit status.

        Errors: ClientError where there is no gateway, or it does not know the session that was asked for.
        """
        self._greet()
        if self._settings.session_id is not None:
            self._resume(self._settings.session_id)
        is_warned, status, pressed_at = False, 0, 0.0
        while not self._number:
            try:
                line = self._prompt.ask()
                is_warned = False
                if not self._obey(line):
                    break
            except EOFError:
                sys.stdout.write("\n")
                break
            except (Discarded, KeyboardInterrupt) as error:
                is_empty = not isinstance(error, Discarded) or error.is_empty
                is_held, pressed_at = time.monotonic() < pressed_at + HELD_S, time.monotonic()
                if is_empty and is_warned:
                    if is_held:
                        continue
                    status = 130
                    break
                is_warned = is_empty
                if is_warned:
                    self._say(words.LEAVE_HINT)
        self._say_goodbye()
        return 128 + self._number if self._number else status

    def _greet(self) -> None:
        status = self._gateway.status()
        model = self._settings.wishes.get("model", status.model)
        self._say(f"{one_line(model)} at {self._gateway.url}. /help says what can be done here.")
        if not status.upstream.reachable:
            self._say("Ollama is away; a question waits for it.")
        elif not status.upstream.model_ready and model == status.model:
            self._say(f"Ollama does not have this model: `ollama pull {one_line(model)}`")

    def _resume(self, session_id: str) -> None:
        view = self._gateway.session(session_id)
        self._conversation.resume(session_id, view.messages)
        if view.streaming:
            self._say(f"An answer is being made to: {_shortened(_last(view.messages, 'user'))}")
            self._finish(self._hear(self._gateway.follow(session_id)))
            self._conversation.resume(session_id, self._gateway.session(session_id).messages)
        elif self._conversation.is_begun:
            self._say(f"Last asked, of {view.turns}: {_shortened(_last(view.messages, 'user'))}")
            self._display.text(_last(view.messages, "assistant"))
            self._display.end()
            if self._conversation.is_cut_off:
                self._say("It was not finished: /continue goes on.")

    def _obey(self, line: str) -> bool:
        """Do what a line says; return False where it leaves."""
        if not line.strip():
            return True
        match line.rstrip():
            case "/quit" | "/exit":
                return False
            case "/help":
                for each in words.HELP.splitlines():
                    self._say(each)
            case "/new":
                self._conversation.begin()
                self._say("A new conversation.")
            case "/continue":
                if self._conversation.session_id and self._conversation.is_cut_off:
                    self._ask(None)
                else:
                    self._say("There is no answer to go on with.")
            case other if COMMAND.fullmatch(other):
                self._say(f"{other} is no command: /help lists them. A blank before it sends it.")
            case _:
                self._ask(line)
        return True

    def _ask(self, text: str | None) -> None:
        """Ask a question, or go on with the last answer where it is None."""
        conversation = self._conversation
        body = conversation.continuation() if text is None else conversation.question(text)
        outcome = self._hear(self._gateway.ask(body))
        if _is_forgotten(outcome) and conversation.is_begun:
            self._say(words.TOLD_AGAIN)
            outcome = self._hear(self._gateway.ask(conversation.anew(text)))
        self._finish(outcome)
        conversation.session_id = outcome.session_id or conversation.session_id
        if outcome.is_begun and outcome.code != "upstream_refused":
            is_whole = outcome.end is not None and outcome.end.done_reason == "stop"
            conversation.note(text, outcome.text, is_whole=is_whole)

    def _hear(self, answer: Answer) -> Outcome:
        if self._turn is not None:
            self._turn.join(SETTLE_S)
        self._turn = Turn(answer, self._display)
        with without_echo():
            outcome = self._turn.show(self._signals)
        self._number = outcome.number
        return outcome

    def _finish(self, outcome: Outcome) -> None:
        """Say what went wrong, and part the answer from the prompt."""
        if outcome.code == "unknown_session" and outcome.is_begun:
            complain(words.FORGOTTEN)
        elif outcome.failure:
            complain(outcome.failure)
        sys.stdout.write("\n")

    def _say(self, line: str) -> None:
        self._display.note(line)
        self._display.flush()

    def _say_goodbye(self) -> None:
        if self._conversation.session_id:
            again = [*self._settings.again, "--session", self._conversation.session_id]
            self._say(f"To go on: {shlex.join(again)}")


def complain(message: str) -> None:
    """Print an error as every command does: one line on stderr."""
    sys.stdout.flush()
    print(f"clawgate: {one_line(message)}", file=sys.stderr, flush=True)


def _is_forgotten(outcome: Outcome) -> bool:
    return outcome.code == "unknown_session" and not outcome.is_begun


def _last(messages: list[Message], role: str) -> str:
    """Return the content of the last message, where it is of this role, or of the last but one."""
    found = [message for message in messages[-2:] if message.get("role") == role]
    content = found[-1].get("content") if found else None
    return content if isinstance(content, str) else ""


def _shortened(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
