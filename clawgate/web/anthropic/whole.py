"""A whole answer as one message of Anthropic's API, and what a stream says in the same words: ids, ends, figures.

Source: Anthropic API reference, "Messages"; Ollama anthropic/anthropic.go, ToMessagesResponse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Raw

from clawgate.relay import events
from clawgate.relay.stats import Stats
from clawgate.web.anthropic.answers import (
    AnthropicMessage,
    AnthropicText,
    AnthropicThinking,
    AnthropicToolUse,
    AnthropicUsage,
    Block,
    StopReason,
)
from clawgate.web.door.ends import how_of
from clawgate.web.door.gathering import Part, gather
from clawgate.web.door.responses import encode
from clawgate.web.door.tools import Call, call_of


def id_of(run_id: str, prefix: str = "msg", suffix: str = "") -> str:
    """Return the id of the message that a run makes, or of a part of it."""
    return f"{prefix}_{run_id.removeprefix('run_')}{suffix}"


def calls_of(run_id: str, event: events.ToolCalls, first: int) -> list[Call]:
    """Return calls of tools; one without an id gets one by its number in the answer, counted from `first`."""
    return [call_of(call, id_of(run_id, "toolu", f"_{number}")) for number, call in enumerate(event.calls, first)]


def usage_of(stats: Stats) -> AnthropicUsage:
    """Return Ollama's counts."""
    return AnthropicUsage(stats.prompt_eval_count or 0, stats.eval_count or 0)


def stop_reason_of(done_reason: str, has_calls: bool) -> StopReason:
    """Return Anthropic's word for an end.

    A truncated answer lacks its end as one does that has no tokens left, and clients go on with that. Nothing of an
    answer that somebody has ended is to be gone on with, so its tools are not to be run.
    """
    if done_reason in ("interrupted", "superseded"):
        return "end_turn"
    if has_calls:
        return "tool_use"
    return "max_tokens" if done_reason in ("length", "truncated") else "end_turn"


def whole(run_id: str, model: str, source: Iterable[events.Event]) -> bytes:
    """Take all events of a run and encode the answer as one message.

    Errors: the one that ended the run.
    """
    answer = gather(source)
    content = tuple(_blocks(run_id, answer.parts))
    has_calls = any(isinstance(block, AnthropicToolUse) for block in content)
    return encode(
        AnthropicMessage(
            id=id_of(run_id),
            type="message",
            role="assistant",
            model=model,
            content=content,
            stop_reason=stop_reason_of(answer.ended.done_reason, has_calls),
            stop_sequence=None,
            usage=usage_of(answer.ended.stats),
            clawgate=how_of(answer.ended.done_reason),
        )
    )


def _blocks(run_id: str, parts: Iterable[Part]) -> Iterator[Block]:
    called = 0
    for part in parts:
        match part:
            case events.Text(text):
                yield AnthropicText(text)
            case events.Thinking(text):
                yield AnthropicThinking(text)
            case events.ToolCalls(calls):
                for call in calls_of(run_id, part, called):
                    yield AnthropicToolUse(call.id, call.name, Raw(call.arguments))
                called += len(calls)
