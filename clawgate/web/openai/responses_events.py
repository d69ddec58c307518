"""The events of a response; each one's type is its name.

The order of the fields is the order on the wire.
Source: OpenAI API reference, "Streaming events" of responses.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw

from clawgate.web.door.responses import Payload
from clawgate.web.openai.responses_answers import Count, Item, Nothing, Response, ResponseSummary, ResponseText


class OfResponse(Payload, frozen=True):
    """An event of the whole response."""

    sequence_number: Count
    response: Response


class OfText(Payload, frozen=True):
    """An event of a message's text."""

    sequence_number: Count
    item_id: str
    output_index: Count
    content_index: Literal[0]


class OfSummary(Payload, frozen=True):
    """An event of an item of thinking."""

    sequence_number: Count
    item_id: str
    output_index: Count
    summary_index: Literal[0]


class OfCall(Payload, frozen=True):
    """An event of a call."""

    sequence_number: Count
    item_id: str
    output_index: Count


class ResponseCreated(OfResponse, frozen=True, tag_field="type", tag="response.created"):
    """The first event."""


class ResponseInProgress(OfResponse, frozen=True, tag_field="type", tag="response.in_progress"):
    """The second event."""


class ResponseItemAdded(Payload, frozen=True, tag_field="type", tag="response.output_item.added"):
    """An item begins, empty."""

    sequence_number: Count
    output_index: Count
    item: Item


class ResponseItemDone(Payload, frozen=True, tag_field="type", tag="response.output_item.done"):
    """An item is over."""

    sequence_number: Count
    output_index: Count
    item: Item | Raw


class ResponsePartAdded(OfText, frozen=True, tag_field="type", tag="response.content_part.added"):
    """The text of a message begins, empty."""

    part: ResponseText


class ResponseTextDelta(OfText, frozen=True, tag_field="type", tag="response.output_text.delta"):
    """A piece of the text."""

    delta: str
    logprobs: Nothing


class ResponseTextDone(OfText, frozen=True, tag_field="type", tag="response.output_text.done"):
    """The text, all of it."""

    text: str
    logprobs: Nothing


class ResponsePartDone(OfText, frozen=True, tag_field="type", tag="response.content_part.done"):
    """The text of a message is over."""

    part: ResponseText


class ResponseSummaryAdded(OfSummary, frozen=True, tag_field="type", tag="response.reasoning_summary_part.added"):
    """The thinking of an item begins, empty."""

    part: ResponseSummary


class ResponseSummaryDelta(OfSummary, frozen=True, tag_field="type", tag="response.reasoning_summary_text.delta"):
    """A piece of the thinking."""

    delta: str


class ResponseSummaryTextDone(OfSummary, frozen=True, tag_field="type", tag="response.reasoning_summary_text.done"):
    """The thinking, all of it."""

    text: str


class ResponseSummaryDone(OfSummary, frozen=True, tag_field="type", tag="response.reasoning_summary_part.done"):
    """The thinking of an item is over."""

    part: ResponseSummary


class ResponseArgumentsDelta(OfCall, frozen=True, tag_field="type", tag="response.function_call_arguments.delta"):
    """The arguments of a call, which come whole."""

    delta: str


class ResponseArgumentsDone(OfCall, frozen=True, tag_field="type", tag="response.function_call_arguments.done"):
    """The arguments of a call, all of them."""

    name: str
    arguments: str


class ResponseCompleted(OfResponse, frozen=True, tag_field="type", tag="response.completed"):
    """The end of an answer that is whole."""


class ResponseIsIncomplete(OfResponse, frozen=True, tag_field="type", tag="response.incomplete"):
    """The end of an answer that is not."""


class ResponseFailed(OfResponse, frozen=True, tag_field="type", tag="response.failed"):
    """The end of an answer that failed."""


EVENTS = (
    ResponseCreated,
    ResponseInProgress,
    ResponseItemAdded,
    ResponsePartAdded,
    ResponseTextDelta,
    ResponseTextDone,
    ResponsePartDone,
    ResponseSummaryAdded,
    ResponseSummaryDelta,
    ResponseSummaryTextDone,
    ResponseSummaryDone,
    ResponseArgumentsDelta,
    ResponseArgumentsDone,
    ResponseItemDone,
    ResponseCompleted,
    ResponseIsIncomplete,
    ResponseFailed,
)
