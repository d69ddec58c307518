"""A stream of Anthropic's events: the encoder, apart from any server.

Each event is written in one piece: an `event:` line with its type, one `data: {json}` line, a blank line. The blocks
are counted from 0, and each is closed before another is opened. A failed answer ends with the event `error`.

    message_start ─ (content_block_start ─ content_block_delta … ─ content_block_stop) … ─ message_delta ─ message_stop

Thinking that was void when the model began anew stays, in a block of its own: this format takes nothing back.
Source: Anthropic API reference, "Streaming messages"; Ollama anthropic/anthropic.go, StreamConverter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clawgate.relay import events
from clawgate.web.anthropic.answers import (
    AnthropicBlockDelta,
    AnthropicBlockStart,
    AnthropicBlockStop,
    AnthropicDelta,
    AnthropicEnding,
    AnthropicInputDelta,
    AnthropicMessage,
    AnthropicPing,
    AnthropicStart,
    AnthropicStop,
    AnthropicText,
    AnthropicThinking,
    AnthropicToolUse,
    AnthropicUsage,
    Block,
)
from clawgate.web.anthropic.errors import failed_of
from clawgate.web.anthropic.whole import calls_of, id_of, stop_reason_of, usage_of
from clawgate.web.door.ends import how_of
from clawgate.web.door.gathering import without_resets
from clawgate.web.door.responses import Payload, one_line

_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":'
_SAID: dict[type[events.Event], tuple[Block, bytes]] = {
    events.Text: (AnthropicText(""), _DELTA + b'{"type":"text_delta","text":%b}}\n\n'),
    events.Thinking: (AnthropicThinking(""), _DELTA + b'{"type":"thinking_delta","thinking":%b}}\n\n'),
}
"""The block that a piece belongs to, as it begins, and the bytes of the piece: nine of ten events."""


def stream(run_id: str, model: str, source: Iterable[events.Event]) -> Iterator[bytes]:
    """Yield the bytes of each event as it comes; for what only our own clients are told there are none."""
    encoder = Encoder(run_id)
    yield encode(AnthropicStart(_begun(run_id, model)))
    for event in without_resets(source):
        data = encoder.encode(event)
        if data:
            yield data


def encode(event: Payload) -> bytes:
    """Encode an event."""
    return b"event: %b\ndata: %b\n\n" % (str(event.__struct_config__.tag).encode(), one_line(event))


def _begun(run_id: str, model: str) -> AnthropicMessage:
    return AnthropicMessage(
        id=id_of(run_id),
        type="message",
        role="assistant",
        model=model,
        content=(),
        stop_reason=None,
        stop_sequence=None,
        usage=AnthropicUsage(),
    )


class Encoder:
    """Encodes the events of one stream behind its start: it knows which block is open, and which place that has."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._open: Block | None = None
        self._index = -1  # of the open block, else of the last one
        self._called = 0

    def encode(self, event: events.Event) -> bytes:
        """Encode an event; b"" for one that Anthropic's clients are not told."""
        match event:
            case events.Text(text) | events.Thinking(text):
                block, delta = _SAID[type(event)]
                return self._begin(block) + delta % (self._index, one_line(text))
            case events.ToolCalls():
                return self._calls(event)
            case events.Restarted():
                return self._close()
            case events.Ping():
                return encode(AnthropicPing())
            case events.Ended():
                return self._end(event)
        return b""

    def _begin(self, block: Block) -> bytes:
        """Open a block, unless it is the one that is open."""
        if block is self._open:
            return b""
        closed = self._close()
        self._open = block
        self._index += 1
        return closed + encode(AnthropicBlockStart(self._index, block))

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return encode(AnthropicBlockStop(self._index))

    def _calls(self, event: events.ToolCalls) -> bytes:
        data = []
        for call in calls_of(self._run_id, event, self._called):
            begun = self._begin(AnthropicToolUse(call.id, call.name, {}))
            delta = AnthropicBlockDelta(self._index, AnthropicInputDelta(call.arguments.decode()))
            data.append(begun + encode(delta) + self._close())
        self._called += len(event.calls)
        return b"".join(data)

    def _end(self, event: events.Ended) -> bytes:
        if event.error is not None:
            return encode(failed_of(event.error))
        ending = AnthropicEnding(stop_reason_of(event.done_reason, self._called > 0))
        delta = AnthropicDelta(ending, usage_of(event.stats), how_of(event.done_reason))
        return self._close() + encode(delta) + encode(AnthropicStop())
