"""The relay's input: the request of a client, and the prompt for the model. Pure; wire formats need nothing else of it.

web/ makes a `ChatRequest`, and admission makes a `Prompt` of it and of its session's messages.

Ollama continues a trailing assistant message and returns only the continuation (prefill): that is how a run goes on
from its partial text. The text goes back exactly as it came, trailing spaces included: it stays a whole number of
tokens, and byte-identical for Ollama's prompt cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from clawgate.errors import NothingToContinue
from clawgate.sessions import Message, Session, prompt_of, with_answer
from clawgate.sessions.message import join_texts

CHAT = "/api/chat"
GENERATE = "/api/generate"
FREE_FORM = frozenset({"raw", "suffix", "template", "context"})
"""The fields of `/api/generate` whose prompt is no conversation."""


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request for an answer. Exactly one of messages, message and is_continue is given.

    request_id: the id under which logs, and Ollama, know the HTTP request; a wire format leaves it out.
    is_kept: the answer is settled in a session; False, where the client has named none, and will not know one.
    generate: the fields of a request for `/api/generate` that `/api/chat` does not have; then `messages` is the
    conversation that means the same, with which a cut answer is gone on with.
    """

    model: str
    session_id: str | None = None
    messages: tuple[Message, ...] | None = None
    message: Message | None = None
    is_continue: bool = False
    extras: dict[str, Any] = {}
    on_busy: Literal["interrupt", "reject"] = "interrupt"
    on_disconnect: Literal["stop", "detach"] = "stop"
    ignored: tuple[str, ...] = ()
    request_id: str = ""
    is_kept: bool = True
    generate: dict[str, Any] | None = None

    @property
    def is_increment(self) -> bool:
        """True where the session's own messages are needed for an answer."""
        return self.session_id is not None and self.messages is None


def context_of(request: ChatRequest, session: Session | None, answer: Message | None) -> Sequence[Message]:
    """Return the session's messages from now on: those so far, the ended run's answer, and the new message.

    Errors: NothingToContinue.
    """
    if request.messages is not None:
        return request.messages
    before = joined(session, answer)
    if request.message is not None:
        return (*before, request.message)
    if not is_unfinished(before):  # the running answer has ended by itself meanwhile
        raise NothingToContinue("continue: the answer has just ended by itself")
    return before


def joined(session: Session | None, answer: Message | None) -> Sequence[Message]:
    """Return a session's messages with an answer appended that is not settled yet, where there is one."""
    if session is None:
        return ()
    return session.messages if answer is None else with_answer(session, answer)


def is_unfinished(messages: Sequence[Message]) -> bool:
    """Return whether the last message is an answer that can be continued, or a refused one that can be sent again."""
    return bool(messages) and (messages[-1].is_unfinished or messages[-1].refused)


def continues_text(request: ChatRequest, context: Sequence[Message]) -> bool:
    """Return whether a request goes on with an answer that has some text; an empty one is asked again."""
    return request.is_continue and bool(context) and context[-1].is_unfinished and not context[-1].is_empty


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One question to Ollama; `extras` are the request fields that are passed on, each by its name.

    is_continuation: the client asks to go on with the last message, and whether the model can is yet to be asked.
    is_accepted: the model has begun to answer before, so that a refusal is not one of the question.

    Source: Ollama docs/api.md, "Generate a chat completion".
    """

    model: str
    messages: tuple[Message, ...]
    extras: dict[str, Any] = {}
    is_continuation: bool = False
    is_accepted: bool = False
    generate: dict[str, Any] | None = None

    @property
    def path(self) -> str:
        """The address of the first request."""
        return CHAT if self.generate is None else GENERATE

    @property
    def is_free_form(self) -> bool:
        """True for a prompt that is no conversation, and whose answer is taken as it is."""
        return not FREE_FORM.isdisjoint(self.generate or ())

    @property
    def can_go_on(self) -> bool:
        """False where a second request could not go on with a text: it has a grammar, or is no conversation's."""
        return not (self.has_format or self.is_free_form)

    @property
    def holds_frames_back(self) -> bool:
        """True where Ollama gathers frames before it sends them, so that silence is no sign of a stall."""
        return bool(self.extras.get("tools") or self.extras.get("format"))

    @property
    def has_format(self) -> bool:
        """True where a grammar forms the answer; a grammar cannot be entered in the middle."""
        return bool(self.extras.get("format"))

    @property
    def num_ctx(self) -> int | None:
        """The size of the context in tokens, where the request or the configuration sets it."""
        size = (self.extras.get("options") or {}).get("num_ctx")
        return size if isinstance(size, int) and size > 0 else None

    @property
    def goes_on(self) -> bool:
        """True where the answer begins in the middle of a text: that of the last message, the assistant's."""
        return bool(self.messages) and self.messages[-1].role == "assistant" and bool(self.messages[-1].content)

    def request(self) -> dict[str, Any]:
        """Return the body of the first request."""
        if self.generate is not None:
            return {"model": self.model, **self.generate, "stream": True, **self.extras}
        return self._chat(self.messages)

    def _chat(self, messages: Iterable[Message]) -> dict[str, Any]:
        return {"model": self.model, "messages": _for_ollama(messages), "stream": True, **self.extras}

    def request_from(self, text: str, thinking: str, tokens: int) -> dict[str, Any]:
        """Return the body of a request that goes on behind the text so far; one with a text is always a chat.

        Units: tokens is the length of the text, so that `num_predict` still bounds the whole answer.
        """
        if not text:
            return self.request()
        partial = Message(role="assistant", content=text, thinking=thinking)
        before = self.messages
        if before and before[-1].role == "assistant":
            base = before[-1]
            partial = replace(base, content=join_texts(base.content, text), thinking=base.thinking or thinking)
            before = before[:-1]
        request = self._chat((*before, partial))
        limit = (self.extras.get("options") or {}).get("num_predict")
        if isinstance(limit, int) and limit > 0:
            request["options"] = {**self.extras["options"], "num_predict": max(1, limit - tokens)}
        return request


def make_prompt(request: ChatRequest, context: Sequence[Message], is_able: bool = False) -> Prompt:
    """Make the prompt of a request and of its session's messages, the request's own among them.

    is_able: the model is known to be able to go on with a partial answer.
    """
    is_continuation = continues_text(request, context)
    return Prompt(
        model=request.model,
        messages=prompt_of(context),
        extras=request.extras,
        generate=request.generate,
        is_continuation=is_continuation and not is_able,
        is_accepted=is_continuation or (request.is_continue and bool(context[-1].thinking)),
    )


def _for_ollama(messages: Iterable[Message]) -> list[Message]:
    return [message.for_ollama() for message in messages]
