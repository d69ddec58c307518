"""A conversation as its client knows it: enough to go on with it after the gateway has forgotten it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]


class Conversation:
    """The session, the messages so far, and the wishes that go with each question.

    wishes: fields of every question, like `model` and `think`.
    system: the system message of a new conversation.
    """

    def __init__(self, wishes: Mapping[str, Any], system: str | None = None) -> None:
        self._wishes = wishes
        self._system = system
        self.session_id = ""
        self.messages: list[Message] = []
        self.begin()

    def begin(self) -> None:
        """Begin anew."""
        self.session_id = ""
        self.messages = [{"role": "system", "content": self._system}] if self._system else []

    def resume(self, session_id: str, messages: list[Message]) -> None:
        """Take an old conversation over."""
        self.session_id = session_id
        self.messages = list(messages)

    @property
    def is_begun(self) -> bool:
        """True once something was asked."""
        return any(message.get("role") != "system" for message in self.messages)

    @property
    def is_cut_off(self) -> bool:
        """True where the last answer may be gone on with."""
        last = self.messages[-1] if self.messages else {}
        return bool(last.get("interrupted")) or (self.is_begun and last.get("role") == "user")

    def question(self, text: str) -> dict[str, Any]:
        """Return the body that asks a question."""
        message = {"role": "user", "content": text}
        if not self.session_id:
            return {**self._wishes, "messages": [*self.messages, message]}
        return {**self._wishes, "session_id": self.session_id, "message": text}

    def continuation(self) -> dict[str, Any]:
        """Return the body that goes on with the last answer."""
        return {**self._wishes, "session_id": self.session_id, "continue": True}

    def anew(self, text: str | None) -> dict[str, Any]:
        """Return the body that tells a gateway all of it again, and asks; text is None to go on with the answer."""
        more = [] if text is None else [{"role": "user", "content": text}]
        whole = [*self.messages, *more]
        if text is None and whole[-1].get("role") == "assistant" and not whole[-1].get("content"):
            whole.pop()  # it is asked again
        return {**self._wishes, "session_id": self.session_id, "messages": whole}

    def note(self, text: str | None, answer: str, *, is_whole: bool) -> None:
        """Note a question, None where it went on with the last answer, and what was answered."""
        if text is not None:
            self.messages.append({"role": "user", "content": text})
        elif self.messages and self.messages[-1].get("role") == "assistant":
            answer = self.messages.pop().get("content", "") + answer
        reply: Message = {"role": "assistant", "content": answer}
        if not is_whole:
            reply["interrupted"] = True
        self.messages.append(reply)
