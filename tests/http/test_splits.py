"""An answer has the same text wherever it is cut, in every framing.

Each request says where its answer is cut, so that they can run side by side in any order.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.http.asking import ask, configured, reason
from tests.support.answer import Answer
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, call, done, line, text
from tests.support.sse import text_of, thinking_of

pytestmark = configured(stream={"smoothing_ms": 0})

THOUGHT = "嗯"
# U+2028 and U+0085 raw: Go escapes the first, other servers may not
WORDS = "春光 \u2028x\u0085é👩‍👧 \r\n"
BODY = (
    "".join(
        json.dumps({"message": message}, ensure_ascii=False) + "\n"
        for message in ({"thinking": THOUGHT}, {"content": WORDS[:3]}, {"content": WORDS[3:]})
    ).encode()
    + b'{"done":true}\n'
)
APART_S = 0.003
"""A pause after which the gateway likely reads the two parts apart; the outcome never depends on it."""


def cut_of(answer: Answer) -> int:
    return int(answer.request.messages[-1]["content"])


def pause(answer: Answer) -> None:
    answer.pause_until(time.monotonic() + APART_S)


def chunked(answer: Answer) -> None:
    """Send two chunks, with the border anywhere."""
    cut = cut_of(answer)
    answer.write(BODY[:cut])
    pause(answer)
    answer.write(BODY[cut:])
    answer.end()


def sized(answer: Answer) -> None:
    """Send a body with a length in two packets."""
    cut = cut_of(answer)
    answer.start(content_length=len(BODY))
    answer.write(BODY[:cut])
    pause(answer)
    answer.write(BODY[cut:])


def until_close(answer: Answer) -> None:
    """Send a body that lasts until the close in two packets."""
    cut = cut_of(answer)
    answer.start(until_close=True)
    answer.write(BODY[:cut])
    pause(answer)
    answer.write(BODY[cut:])
    answer.end()


def wire() -> bytes:
    """Return a whole response as bytes: odd chunk borders, an extension, a trailer."""
    chunks = b""
    position, size = 0, 1
    while position < len(BODY):
        piece = BODY[position : position + size]
        chunks += b"%X;x=1\r\n%b\r\n" % (len(piece), piece)
        position += len(piece)
        size = size * 3 % 97 + 1
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"


WIRE = wire()


def on_the_wire(answer: Answer) -> None:
    """Send the response cut anywhere, in its head and framing too."""
    cut = cut_of(answer)
    answer.write_raw(WIRE[:cut])
    pause(answer)
    answer.write_raw(WIRE[cut:])
    answer.keep()


@pytest.mark.parametrize(
    ("serve", "length"),
    [(chunked, len(BODY)), (sized, len(BODY)), (until_close, len(BODY)), (on_the_wire, len(WIRE))],
)
def test_text_is_the_same_at_every_cut(
    gate: Gateway, upstream: ScriptedOllama, serve: Callable[[Answer], None], length: int
) -> None:
    upstream.default(call(serve))

    def outcome(cut: int) -> tuple[str, str, str]:
        events = ask(gate, str(cut))
        return thinking_of(events), text_of(events), reason(events)

    with ThreadPoolExecutor(8) as pool:
        outcomes = dict(zip(range(1, length), pool.map(outcome, range(1, length)), strict=True))
    expected = (THOUGHT, WORDS, "stop")
    assert {cut: got for cut, got in outcomes.items() if got != expected} == {}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_text_is_the_same_in_small_chunks(gate: Gateway, upstream: ScriptedOllama, size: int) -> None:
    def serve(answer: Answer) -> None:
        for start in range(0, len(BODY), size):
            answer.write(BODY[start : start + size])
        answer.end()

    upstream.script(call(serve))
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == (WORDS, "stop")


def test_many_frames_in_one_chunk_are_all_passed_on(gate: Gateway, upstream: ScriptedOllama) -> None:
    words = [f"字{index} " for index in range(20_000)]
    payload = b"".join(line(text(word)) for word in words) + line(done())
    assert len(payload) > 2 << 20, "more than one read takes"

    def serve(answer: Answer) -> None:
        answer.write(payload)
        answer.end()

    upstream.script(call(serve))
    assert text_of(ask(gate, "hi")) == "".join(words)


def test_a_frame_of_a_megabyte_is_passed_on(gate: Gateway, upstream: ScriptedOllama) -> None:
    words = "长" * 400_000
    upstream.script(text(words), done())
    assert text_of(ask(gate, "hi")) == words


def test_bytes_behind_the_done_frame_are_nothing(gate: Gateway, upstream: ScriptedOllama) -> None:
    def serve(answer: Answer) -> None:
        answer.write(line(text("a")) + line(done()) + line(text("b")) + b"junk\n" * 5 + line(done()))
        answer.end()

    upstream.script(call(serve))
    events = ask(gate, "hi")
    assert (text_of(events), reason(events)) == ("a", "stop")
