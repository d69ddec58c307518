"""An answer as OpenAI's chat completions have it: a stream of chunks, or one object.

A stream's events are one `data:` line each, with no `id:`, `event:` or `retry:` line, at which OpenAI's clients fail.
A heartbeat is a comment. The last line is `data: [DONE]`, after an error too. Thinking that was void when the model
began anew stays in a stream: this format takes nothing back.
Source: OpenAI API reference, "Create chat completion"; Ollama openai/openai.go, ToStreamChunks; WHATWG HTML, 9.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from clawgate.relay import events
from clawgate.relay.stats import Stats
from clawgate.web.door.ends import how_of
from clawgate.web.door.gathering import gather, without_resets
from clawgate.web.door.responses import Payload, encode, one_line
from clawgate.web.door.tools import call_of
from clawgate.web.openai.answers import (
    END,
    FINGERPRINT,
    AnswerMessage,
    CallDelta,
    Called,
    ChatCompletion,
    Choice,
    ChunkChoice,
    CompletionChunk,
    Delta,
    FinishReason,
    MessageCall,
    Usage,
)
from clawgate.web.openai.errors import failed_of

PING = b": keepalive\n\n"
DONE = b"data: %b\n\n" % END.encode()
CALL_ID_DIGITS = 24


class CompletionFormat(NamedTuple):
    """How one request's answer is encoded.

    Units: created is in seconds since 1970.
    """

    model: str
    """As the request has it."""
    created: int
    includes_usage: bool = False

    def stream(self, run_id: str, source: Iterable[events.Event], _place: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of each event as it comes."""
        says, thinks = self._template(run_id, Delta(content="")), self._template(run_id, Delta(reasoning=""))
        calls = 0
        for event in without_resets(source):
            if type(event) is events.Text:  # nine of ten events
                yield says[0] + one_line(event.text) + says[1]
            elif type(event) is events.Thinking:
                yield thinks[0] + one_line(event.text) + thinks[1]
            elif type(event) is events.Ping:
                yield PING
            elif type(event) is events.Started:
                yield data_line(self._chunk(run_id, Delta(role="assistant", content="")))
            elif type(event) is events.ToolCalls:
                deltas = tuple(
                    CallDelta(index, call.id, call.type, call.function)
                    for index, call in enumerate(calls_of(run_id, event, calls), calls)
                )
                calls += len(deltas)
                yield data_line(self._chunk(run_id, Delta(tool_calls=deltas)))
            elif type(event) is events.Ended:
                yield b"".join((*self._end(run_id, event, bool(calls)), DONE))

    def whole(self, run_id: str, source: Iterable[events.Event]) -> bytes:
        """Take all events of a run and encode the answer as one object.

        Errors: the one that ended the run.
        """
        answer = gather(source)
        calls: list[MessageCall] = []
        for part in answer.parts:
            if isinstance(part, events.ToolCalls):
                calls += calls_of(run_id, part, len(calls))
        message = AnswerMessage(
            role="assistant",
            content=None if calls and not answer.text else answer.text,
            reasoning=answer.thinking or UNSET,
            tool_calls=tuple(calls) or UNSET,
        )
        return encode(
            ChatCompletion(
                id=id_of(run_id),
                object="chat.completion",
                created=self.created,
                model=self.model,
                system_fingerprint=FINGERPRINT,
                choices=(Choice(0, message, finish_reason(answer.ended.done_reason, bool(calls))),),
                usage=usage_of(answer.ended.stats),
                clawgate=how_of(answer.ended.done_reason),
            )
        )

    def _template(self, run_id: str, delta: Delta) -> tuple[bytes, bytes]:
        """Encode a chunk once; return what comes before and behind its text. In a name, JSON escapes each quote."""
        before, _, after = data_line(self._chunk(run_id, delta)).partition(b'""}')
        return before, b"}" + after

    def _chunk(self, run_id: str, delta: Delta, reason: FinishReason | None = None, done: str = "") -> CompletionChunk:
        return self._with(run_id, (ChunkChoice(0, delta, reason),), None if self.includes_usage else UNSET, done)

    def _with(
        self, run_id: str, choices: tuple[ChunkChoice, ...], usage: Usage | UnsetType | None, done: str = ""
    ) -> CompletionChunk:
        return CompletionChunk(
            id=id_of(run_id),
            object="chat.completion.chunk",
            created=self.created,
            model=self.model,
            system_fingerprint=FINGERPRINT,
            choices=choices,
            usage=usage,
            clawgate=how_of(done),
        )

    def _end(self, run_id: str, ended: events.Ended, has_calls: bool) -> Iterator[bytes]:
        if ended.error is not None:
            yield data_line(failed_of(ended.error))
            return
        reason = finish_reason(ended.done_reason, has_calls)
        yield data_line(self._chunk(run_id, Delta(), reason, ended.done_reason))
        if self.includes_usage:
            yield data_line(self._with(run_id, (), usage_of(ended.stats)))


def data_line(payload: Payload) -> bytes:
    """Encode an event."""
    return b"data: %b\n\n" % one_line(payload)


def id_of(run_id: str) -> str:
    """Return the id of an answer: `chatcmpl-` in place of the `run_` of its run."""
    return f"chatcmpl-{run_id.removeprefix('run_')}"


def calls_of(run_id: str, event: events.ToolCalls, first: int) -> list[MessageCall]:
    """Return the calls; one that has no id gets its own, of the run and of its place in the answer.

    first: the number of the calls before these.
    """
    unnamed = run_id[-CALL_ID_DIGITS:]  # what comes first may be that of its process, which its runs share
    calls = [call_of(call, f"call_{unnamed}_{index}") for index, call in enumerate(event.calls, first)]
    return [MessageCall(call.id, "function", Called(call.name, call.arguments.decode())) for call in calls]


def finish_reason(done_reason: str, has_calls: bool) -> FinishReason:
    """Return OpenAI's word for an end."""
    if done_reason in ("length", "truncated"):
        return "length"
    return "tool_calls" if has_calls and done_reason == "stop" else "stop"


def usage_of(stats: Stats) -> Usage:
    """Return the tokens of a prompt and of its answer."""
    prompt, answer = stats.prompt_eval_count or 0, stats.eval_count or 0
    return Usage(prompt, answer, prompt + answer)
