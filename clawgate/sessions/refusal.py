"""A turn that Ollama refuses for good: in the view of its session and in no later prompt, until Ollama takes it.

Pure; session.py uses it. A refused message in the context would have every later message refused with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from clawgate.sessions.message import Message


def with_refusal(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Mark what Ollama has refused: the last question, or what has followed the last answer (results of tools).

    If another question since that answer, be it a blank one, had been refused before, the last one need not be to
    blame: then the mark goes back to the last answer with anything in it, so that a question that was never answered
    cannot have all later ones refused. A blank answer at the end goes, because the turn is asked again without it.
    System messages stay, but for the one asked.
    """
    if len(messages) > 1 and messages[-1].is_blank:
        messages = messages[:-1]
    start = _behind_answer(messages)
    if any(message.refused for message in messages[start:-1]):
        start = _behind_answer(messages, may_be_blank=False)
    else:
        start = max(start, last_turn_of(messages))
    earlier = (
        message if message.role in ("system", "assistant") else replace(message, refused=True)
        for message in messages[start:-1]
    )
    return (*messages[:start], *earlier, replace(messages[-1], refused=True))


def _behind_answer(messages: Sequence[Message], *, may_be_blank: bool = True) -> int:
    """Return the index behind the last answer; a last message of the assistant's is a client's, to be gone on with."""
    for index in range(len(messages) - 1, 0, -1):
        message = messages[index - 1]
        if message.role == "assistant" and (may_be_blank or message.thinking or not message.is_blank):
            return index
    return 0


def last_turn_of(messages: Sequence[Message]) -> int:
    """Return the index at which the last turn begins; without a user message all of it is that."""
    return next((index for index in reversed(range(len(messages))) if messages[index].role == "user"), 0)


def refused_from(messages: Sequence[Message]) -> int:
    """Return the index at which the refused turn at the end begins; the length of messages where none is there.

    It reaches back to one question: a refused question before that is another turn.
    """
    start = len(messages)
    while start and messages[start - 1].refused:
        start -= 1
        if messages[start].role == "user":
            break
    return start


def asked_again(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return messages with the refused turn at their end no longer marked."""
    start = refused_from(messages)
    return (*messages[:start], *(replace(message, refused=False) for message in messages[start:]))
