"""The types of everything that `POST /v1/messages` sends: events.py and whole.py build them, OpenAPI describes them.

The order of the fields is the order on the wire. `clawgate` is ours, where Anthropic has no word for an end.
Source: Anthropic API reference, "Messages" and "Streaming messages".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, UnsetType

from clawgate.web.anthropic.errors import AnthropicFailed
from clawgate.web.door.ends import How
from clawgate.web.door.responses import Payload

Count = Annotated[int, Meta(ge=0)]
StopReason = Literal["end_turn", "max_tokens", "tool_use"]


class AnthropicUsage(Payload, frozen=True):
    """Ollama's counts of tokens; 0 where they are not known (yet)."""

    input_tokens: Count = 0
    output_tokens: Count = 0


class AnthropicThinking(Payload, frozen=True, tag_field="type", tag="thinking"):
    """A block of thinking; nothing signs it."""

    thinking: str
    signature: Literal[""] = ""


class AnthropicText(Payload, frozen=True, tag_field="type", tag="text"):
    """A block of text."""

    text: str


class AnthropicToolUse(Payload, frozen=True, tag_field="type", tag="tool_use"):
    """A call of a tool that the client runs."""

    id: str
    name: str
    input: dict[str, Any] | Raw


Block = AnthropicThinking | AnthropicText | AnthropicToolUse


class AnthropicMessage(Payload, frozen=True, kw_only=True):
    """An answer; at the start of a stream still empty."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: tuple[Block, ...]
    stop_reason: StopReason | None
    stop_sequence: None
    usage: AnthropicUsage
    clawgate: How | UnsetType = UNSET


class AnthropicStart(Payload, frozen=True, tag_field="type", tag="message_start"):
    """The first event."""

    message: AnthropicMessage


class AnthropicBlockStart(Payload, frozen=True, tag_field="type", tag="content_block_start"):
    """A block begins, empty."""

    index: Count
    content_block: Block


class AnthropicTextDelta(Payload, frozen=True, tag_field="type", tag="text_delta"):
    """A piece of the text."""

    text: str


class AnthropicThinkingDelta(Payload, frozen=True, tag_field="type", tag="thinking_delta"):
    """A piece of the thinking."""

    thinking: str


class AnthropicInputDelta(Payload, frozen=True, tag_field="type", tag="input_json_delta"):
    """The input of a tool, as JSON; it comes whole."""

    partial_json: str


class AnthropicBlockDelta(Payload, frozen=True, tag_field="type", tag="content_block_delta"):
    """A piece of a block."""

    index: Count
    delta: AnthropicTextDelta | AnthropicThinkingDelta | AnthropicInputDelta


class AnthropicBlockStop(Payload, frozen=True, tag_field="type", tag="content_block_stop"):
    """A block is complete."""

    index: Count


class AnthropicEnding(Payload, frozen=True):
    """The reason for which an answer has ended."""

    stop_reason: StopReason
    stop_sequence: None = None


class AnthropicDelta(Payload, frozen=True, tag_field="type", tag="message_delta"):
    """The end of an answer."""

    delta: AnthropicEnding
    usage: AnthropicUsage
    clawgate: How | UnsetType = UNSET


class AnthropicStop(Payload, frozen=True, tag_field="type", tag="message_stop"):
    """The last event of an answer that did not fail."""


class AnthropicPing(Payload, frozen=True, tag_field="type", tag="ping"):
    """A heartbeat."""


EVENTS = (
    AnthropicStart,
    AnthropicBlockStart,
    AnthropicBlockDelta,
    AnthropicBlockStop,
    AnthropicDelta,
    AnthropicStop,
    AnthropicPing,
    AnthropicFailed,
)
