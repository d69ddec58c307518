"""An order: a checked request for an answer, and the context that it makes of what its session knows; pure.

web/requests.py makes orders, the desk carries them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from clawgate.errors import NothingToContinue
from clawgate.sessions import Message, Session, join_answer


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request for an answer. Exactly one of messages, message and is_continue is given.

    request_id: the id under which logs, and Ollama, know the HTTP request.
    """

    model: str
    session_id: str | None = None
    messages: tuple[Message, ...] | None = None
    message: Message | None = None
    is_continue: bool = False
    extras: dict[str, Any] = {}
    on_busy: Literal["interrupt", "reject"] = "interrupt"
    ignored: tuple[str, ...] = ()
    request_id: str = ""


def context_of(order: Order, session: Session | None, answer: Message | None) -> Sequence[Message]:
    """Give what the session knows from now on: what was said, what the ended run adds to it, and the new message.

    Errors: NothingToContinue.
    """
    if order.messages is not None:
        return order.messages
    before = joined(session.messages if session is not None else (), answer)
    if order.message is not None:
        return (*before, order.message)
    if not is_unfinished(before):  # the running answer ended by itself meanwhile
        raise NothingToContinue("continue: the answer has just ended by itself")
    return before


def joined(messages: Sequence[Message], answer: Message | None) -> Sequence[Message]:
    """Give what was said with the answer that is not settled yet, where there is one."""
    return messages if answer is None else join_answer(messages, answer)


def is_unfinished(messages: Sequence[Message]) -> bool:
    """Tell whether the last thing said is an answer that can be continued."""
    return bool(messages) and messages[-1].is_unfinished
