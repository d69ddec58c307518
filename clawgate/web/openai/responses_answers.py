"""The response of `POST /v1/responses` and its items.

The order of the fields is the order on the wire. `clawgate` is ours, where OpenAI has no word for an end. What may be
long in a request is not sent back three times a stream: its instructions, its tools, its schema.
Source: OpenAI API reference, "The response object"; Ollama openai/responses.go, ResponsesResponse.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from clawgate.web.door.ends import How
from clawgate.web.door.responses import Payload

Count = Annotated[int, Meta(ge=0)]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
Nothing = tuple[()]


class ResponseInputDetails(Payload, frozen=True):
    """Ollama does not say how many tokens its cache had."""

    cached_tokens: Count = 0
    cache_write_tokens: Count = 0


class ResponseOutputDetails(Payload, frozen=True):
    """Ollama does not say how many tokens were thinking."""

    reasoning_tokens: Count = 0


class ResponseUsage(Payload, frozen=True):
    """Ollama's counts of tokens; 0 where it did not say."""

    input_tokens: Count
    input_tokens_details: ResponseInputDetails
    output_tokens: Count
    output_tokens_details: ResponseOutputDetails
    total_tokens: Count


class ResponseSummary(Payload, frozen=True, tag_field="type", tag="summary_text"):
    """The model's thinking, all of it."""

    text: str


class ResponseReasoning(Payload, frozen=True, tag_field="type", tag="reasoning"):
    """An item of thinking; it is sent in the clear, as its summary."""

    id: str
    summary: tuple[ResponseSummary, ...]
    status: ItemStatus


class ResponseText(Payload, frozen=True, tag_field="type", tag="output_text"):
    """The text of a message."""

    text: str
    annotations: Nothing = ()
    logprobs: Nothing = ()


class ResponseMessage(Payload, frozen=True, tag_field="type", tag="message"):
    """An item of text."""

    id: str
    status: ItemStatus
    role: Literal["assistant"]
    content: tuple[ResponseText, ...]


class ResponseCall(Payload, frozen=True, tag_field="type", tag="function_call"):
    """A call of a tool that the client runs; `arguments` is the JSON of an object.

    namespace: the one in which the request has declared the function.
    """

    id: str
    status: ItemStatus
    call_id: str
    name: str
    arguments: str
    namespace: str | UnsetType = UNSET


Item = ResponseReasoning | ResponseMessage | ResponseCall


class ResponseIncomplete(Payload, frozen=True):
    """The reason why an answer is not complete: OpenAI's word, or ours for an end that it does not know."""

    reason: Literal["max_output_tokens", "interrupted", "superseded", "truncated"]


class ResponseFailure(Payload, frozen=True):
    """The error that ended a stream; `type` is our code of it."""

    code: Literal["server_error", "invalid_prompt"]
    message: str
    type: str


class ResponseFormat(Payload, frozen=True):
    """The form of the text that was asked for."""

    type: Literal["text", "json_object", "json_schema"]


class ResponseTextConfig(Payload, frozen=True):
    """The text that was asked for."""

    format: ResponseFormat


class ResponseEffort(Payload, frozen=True):
    """The thinking that was asked for."""

    effort: str | None


class Response(Payload, frozen=True, kw_only=True):
    """An answer; Ollama's own layer has these fields too.

    Units: moments are in seconds since 1970.
    """

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    incomplete_details: ResponseIncomplete | None = None
    model: str
    previous_response_id: None = None
    instructions: None = None
    output: tuple[Item | Raw, ...] = ()
    error: ResponseFailure | None = None
    tools: Nothing = ()
    tool_choice: Literal["auto", "none"]
    truncation: Literal["disabled"] = "disabled"
    parallel_tool_calls: Literal[True] = True
    text: ResponseTextConfig
    top_p: float | None
    temperature: float | None
    reasoning: ResponseEffort
    usage: ResponseUsage | None = None
    max_output_tokens: int | None
    store: Literal[False] = False
    background: Literal[False] = False
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    clawgate: How | UnsetType = UNSET
