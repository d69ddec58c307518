"""A whole answer as a response of OpenAI's API, and what a stream says in the same words: ids, items, ends, figures.

Source: OpenAI API reference, "The response object"; Ollama openai/responses.go, ToResponse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, cast

import msgspec
from msgspec import UNSET, Raw
from msgspec.structs import replace

from clawgate.errors import ClawgateError, RequestError
from clawgate.relay import events
from clawgate.relay.stats import Stats
from clawgate.web.door.ends import EARLY, Early, how_of
from clawgate.web.door.gathering import Part
from clawgate.web.door.tools import call_of
from clawgate.web.openai.responses_answers import (
    Item,
    ItemStatus,
    Response,
    ResponseCall,
    ResponseEffort,
    ResponseFailure,
    ResponseFormat,
    ResponseIncomplete,
    ResponseInputDetails,
    ResponseMessage,
    ResponseOutputDetails,
    ResponseReasoning,
    ResponseSummary,
    ResponseText,
    ResponseTextConfig,
    ResponseUsage,
)
from clawgate.web.openai.responses_tools import Qualified


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a response says of its request, and the namespaces of functions by the names that the model knows."""

    model: str
    tool_choice: Literal["auto", "none"] = "auto"
    format: Literal["text", "json_object", "json_schema"] = "text"
    effort: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    qualified: Mapping[str, Qualified] = {}


def begun(run_id: str, given: Settings, created_at: int) -> Response:
    """Return a response that has begun."""
    return Response(
        id=id_of("resp", run_id),
        created_at=created_at,
        status="in_progress",
        model=given.model,
        tool_choice=given.tool_choice,
        text=ResponseTextConfig(ResponseFormat(given.format)),
        reasoning=ResponseEffort(given.effort),
        temperature=given.temperature,
        top_p=given.top_p,
        max_output_tokens=given.max_output_tokens,
    )


def over(response: Response, ended: events.Ended, output: Iterable[Item | Raw], clock: Callable[[], float]) -> Response:
    """Return the response as it is at its end."""
    items = tuple(output)
    if ended.error is not None:
        return replace(response, status="failed", output=items, error=failure_of(ended.error))
    usage = usage_of(ended.stats)
    if status_of_last(ended.done_reason) == "completed":
        return replace(response, status="completed", output=items, usage=usage, completed_at=int(clock()))
    reason = "max_output_tokens" if ended.done_reason == "length" else cast("Early", ended.done_reason)
    return replace(
        response,
        status="incomplete",
        output=items,
        usage=usage,
        incomplete_details=ResponseIncomplete(reason),
        clawgate=how_of(ended.done_reason),
    )


def status_of_last(done_reason: str) -> ItemStatus:
    """Return whether the last item of an answer is whole."""
    return "incomplete" if done_reason in ("length", "error", *EARLY) else "completed"


def failure_of(error: ClawgateError) -> ResponseFailure:
    """Describe an error in a stream: clients ask again by themselves unless it says that the request was at fault."""
    code: Literal["invalid_prompt", "server_error"] = "server_error"
    if isinstance(error, RequestError):
        code = "invalid_prompt"
    return ResponseFailure(code, error.message, error.code)


def usage_of(stats: Stats) -> ResponseUsage:
    """Return the tokens of a prompt and of its answer."""
    prompt, answer = stats.prompt_eval_count or 0, stats.eval_count or 0
    return ResponseUsage(prompt, ResponseInputDetails(), answer, ResponseOutputDetails(), prompt + answer)


def id_of(prefix: str, run_id: str, *places: int) -> str:
    """Return the id of a part of a run's answer."""
    return "_".join((prefix, run_id.removeprefix("run_"), *map(str, places)))


def message_id(run_id: str, index: int) -> str:
    """Return the id of the item of text that has this place in the output."""
    return id_of("msg", run_id, index)


def reasoning_id(run_id: str, index: int) -> str:
    """Return the id of the item of thinking that has this place in the output."""
    return id_of("rs", run_id, index)


def calls_of(
    run_id: str, event: events.ToolCalls, index: int, called: int, qualified: Mapping[str, Qualified]
) -> Iterator[ResponseCall]:
    """Yield calls as items, the first at this place; one without an id gets one by its number in the answer."""
    for offset, each in enumerate(event.calls):
        call = call_of(each, id_of("call", run_id, called + offset))
        item_id = id_of("fc", run_id, index + offset)
        namespace, name = qualified.get(call.name, (UNSET, call.name))
        yield ResponseCall(item_id, "completed", call.id, name, call.arguments.decode(), namespace)


def items_of(run_id: str, parts: tuple[Part, ...], done_reason: str, qualified: Mapping[str, Qualified]) -> list[Item]:
    """Return the items of a whole answer; only the last one may not be whole."""
    items: list[Item] = []
    called = 0
    for number, part in enumerate(parts, 1):
        status = status_of_last(done_reason) if number == len(parts) else "completed"
        match part:
            case events.Text(text):
                item_id = message_id(run_id, len(items))
                items.append(ResponseMessage(item_id, status, "assistant", (ResponseText(text),)))
            case events.Thinking(text):
                item_id = reasoning_id(run_id, len(items))
                items.append(ResponseReasoning(item_id, (ResponseSummary(text),), status))
            case events.ToolCalls(calls):
                items += calls_of(run_id, part, len(items), called, qualified)
                called += len(calls)
    return items
