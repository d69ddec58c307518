"""What a run asks the model, first and again after Ollama was away: pure.

Ollama continues a trailing assistant message and returns only the continuation (prefill): that is how a run goes on
from its partial text. The text goes back exactly as it came, not even a trailing space altered: so it stays a whole
number of tokens, and byte-identical for Ollama's prompt cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from clawgate.sessions import Message
from clawgate.sessions.message import join_texts


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One question to Ollama; `extras` are the request fields that are passed on, each by its name.

    is_continuation: a client asked to go on with the last message, so the model must be able to.

    Source: Ollama docs/api.md, "Generate a chat completion".
    """

    model: str
    messages: tuple[Message, ...]
    extras: dict[str, Any] = {}
    is_continuation: bool = False

    @property
    def holds_frames_back(self) -> bool:
        """True where Ollama gathers frames before it sends them, so that silence is no sign of a stall."""
        return bool(self.extras.get("tools") or self.extras.get("format"))

    @property
    def has_format(self) -> bool:
        """True where a grammar forms the answer: it cannot be entered in the middle."""
        return bool(self.extras.get("format"))

    def request(self) -> dict[str, Any]:
        """Give the body of the first request."""
        return {"model": self.model, "messages": _for_ollama(self.messages), "stream": True, **self.extras}

    def request_from(self, text: str, thinking: str, tokens: int) -> dict[str, Any]:
        """Give the body of a request that goes on behind the text so far.

        Units: tokens counts what the text took, so that `num_predict` still bounds the whole answer.
        """
        if not text:
            return self.request()
        partial = Message(role="assistant", content=text, thinking=thinking)
        before = self.messages
        if before and before[-1].role == "assistant":
            base = before[-1]
            partial = replace(base, content=join_texts(base.content, text), thinking=base.thinking or thinking)
            before = before[:-1]
        request = {**self.request(), "messages": _for_ollama((*before, partial))}
        limit = (self.extras.get("options") or {}).get("num_predict")
        if isinstance(limit, int) and limit > 0:
            request["options"] = {**self.extras["options"], "num_predict": max(1, limit - tokens)}
        return request


def _for_ollama(messages: Iterable[Message]) -> list[Message]:
    return [message.for_ollama() for message in messages]
