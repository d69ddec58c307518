"""The body of `POST /api/chat`, in whichever form its answer is: Ollama's own fields, and ours for sessions.

Each mistake is named with its field and what was expected. Long values (messages, tools, a format) stay the bytes that
they were, copied out of the body; only short ones are decoded.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from clawgate.config.options import Options
from clawgate.errors import BadRequest
from clawgate.relay.prompt import ChatRequest
from clawgate.sessions import Message
from clawgate.web.door import messages
from clawgate.web.door.messages import Messages
from clawgate.web.door.naming import SessionId
from clawgate.web.door.options import options
from clawgate.web.door.reading import Members
from clawgate.web.door.shapes import Fields, Shape

EXPECTED = {
    **messages.EXPECTED,
    "continue": "true",
    "on_busy": '"interrupt" or "reject"',
    "on_disconnect": '"stop" or "detach"',
}
"""The words for what a field should have been, in a refusal."""


class ChatBody(msgspec.Struct, frozen=True, kw_only=True, rename={"is_continue": "continue"}):
    """The body of POST /api/chat. `think` to `keep_alive` are passed on to Ollama.

    Source: Ollama docs/api.md, "Generate a chat completion".
    """

    messages: Messages | None = None
    message: str | Message | None = None
    is_continue: Literal[True] | None = None
    session_id: SessionId | None = None
    stream: bool = True
    model: str | None = None
    on_busy: Literal["interrupt", "reject"] = "interrupt"
    on_disconnect: Literal["stop", "detach"] = "stop"
    think: bool | str | None = None
    options: Options | None = None
    format: str | dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    keep_alive: str | int | float | None = None


PASSED_ON = ("think", "options", "format", "tools", "keep_alive")


def read_chat(given: Members, model_name: str, *, may_be_bare: bool = False) -> tuple[ChatRequest, bool]:
    """Check the body of POST /api/chat; return the request, and whether its answer is streamed.

    model_name: the model that answers where the body names none.
    may_be_bare: a request without messages is taken as Ollama takes it: it loads the model, or unloads it.

    Errors: BadRequest.
    """
    fields = Fields(EXPECTED)
    body = CHAT.read(given, "", fields)
    ways = [name for name in ("messages", "message", "continue") if name in body]
    is_bare = may_be_bare and (not ways or ways == ["messages"]) and not body.get("messages")
    if is_bare:
        body["messages"] = ()
    elif body.get("messages") == ():
        raise fields.wrong("messages")
    elif len(ways) != 1:
        found = " and ".join(ways) or "none of them"
        raise BadRequest(f"expected exactly one of `messages`, `message` and `continue`, got {found}")
    if "continue" in body and "session_id" not in body:
        raise BadRequest("session_id: expected the session whose answer is to be continued, got none")
    chat = ChatRequest(
        model=body.get("model", model_name),
        session_id=None if is_bare else body.get("session_id"),
        is_kept=not is_bare,
        messages=body.get("messages"),
        message=body.get("message"),
        is_continue="continue" in body,
        extras={name: body[name] for name in PASSED_ON if name in body},
        on_busy=body.get("on_busy", "interrupt"),
        on_disconnect=body.get("on_disconnect", "stop"),
        ignored=tuple(fields.ignored),
    )
    return chat, body.get("stream", True)


CHAT = Shape(
    ChatBody,
    messages=messages.read_messages,
    message=messages.message_or_text,
    options=options,
    format=messages.read_format,
    tools=messages.read_tools,
)
