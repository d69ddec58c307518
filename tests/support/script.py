"""The steps that a scripted answer is made of.

Tests queue them with `ScriptedOllama.script(text("a"), wait(event), done())`. A step plays on an `Answer` on the
connection's own thread. Steps are ordered by events; only `every` and `silence` are about time. The head of the
response leaves with the first body bytes, as Ollama's does, unless `headers()` comes first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.answer import CREATED_AT, Answer, encode_frame

DEFAULT_MODEL = "qwen3:32b"


class Step(Protocol):
    """One thing that the scripted Ollama does while it answers."""

    def play(self, answer: Answer) -> None:
        """Do it."""


@dataclass(frozen=True)
class Act:
    """A step that is anything but frames."""

    name: str
    act: Callable[[Answer], None]

    def __repr__(self) -> str:
        return self.name

    def play(self, answer: Answer) -> None:
        """Do it."""
        self.act(answer)


@dataclass(frozen=True)
class Frames:
    """Frames of Ollama's, each in a chunk of its own or all in one, and perhaps the proper end after them."""

    bodies: tuple[Mapping[str, Any], ...]
    together: bool = False
    ends: bool = False

    def play(self, answer: Answer) -> None:
        """Send them."""
        model = model_of(answer)
        lines = [encode_frame(body, model) for body in self.bodies]
        answer.frame_count += len(lines)
        for payload in [b"".join(lines)] if self.together else lines:
            answer.write(payload)
        if self.ends:
            answer.end()


def text(content: str) -> Frames:
    """One frame of text, as a chunk of its own."""
    return Frames((_message({"content": content}),))


def texts(*contents: str) -> Frames:
    """One frame of text for each string, each as a chunk of its own."""
    return Frames(tuple(_message({"content": content}) for content in contents))


def thinking(*contents: str) -> Frames:
    """One frame of thinking for each string; the content is empty then."""
    return Frames(tuple(_message({"content": "", "thinking": content}) for content in contents))


def tool_calls(calls: list[dict[str, Any]]) -> Frames:
    """One frame with tool calls, `[{"function": {"name": …, "arguments": {…}}}]`."""
    return Frames((_message({"content": "", "tool_calls": calls}),))


def frame(body: Mapping[str, Any]) -> Frames:
    """One frame exactly as given (only a `model` of "" is filled in)."""
    return Frames((body,))


def batch(*parts: Frames) -> Frames:
    """The frames of all parts in one chunk, and the proper end if one of them is `done()` or `error_line()`."""
    bodies = tuple(body for part in parts for body in part.bodies)
    return Frames(bodies, together=True, ends=any(part.ends for part in parts))


def done(reason: str = "stop", *, is_terminated: bool = True, **stats: int) -> Frames:
    """The final frame with Ollama's counts and durations, then the proper end; the connection is kept.

    Shape: stats replace single ones of the defaults. `is_terminated=False` leaves the end of the body to other steps.
    Units: durations are nanoseconds.
    """
    body = {**_message({"content": ""}), "done_reason": reason, "done": True, **DEFAULT_STATS, **stats}
    return Frames((body,), ends=is_terminated)


def error_line(message: str) -> Frames:
    """A line `{"error": …}` in the running answer and the proper end, which is how Ollama fails midway."""
    return Frames(({"error": message},), ends=True)


def headers(
    status: int = 200,
    *,
    content_length: int | None = None,
    until_close: bool = False,
    extra: Mapping[str, str] | None = None,
) -> Act:
    """Send the head now: chunked, or with a length (the answer is whole after that many bytes), or until the close."""
    return Act(
        f"headers({status})",
        lambda answer: answer.start(status, content_length=content_length, until_close=until_close, extra=extra),
    )


def chunk(payload: bytes) -> Act:
    """One chunk of any bytes, so that a frame can be cut anywhere; see `line`."""
    return Act(f"chunk({payload!r})", lambda answer: answer.write(payload))


def raw(data: bytes) -> Act:
    """Bytes on the wire as they are: no head, no chunk framing. At the start of a script they are the head."""
    return Act(f"raw({data!r})", lambda answer: answer.write_raw(data))


def end() -> Act:
    """The proper end of the body (terminating chunk) without a final frame; does nothing after another end."""
    return Act("end()", Answer.end)


def keep() -> Act:
    """Take the bytes that `raw` sent as a whole response, and keep the connection."""
    return Act("keep()", Answer.keep)


def drop() -> Act:
    """Close without a terminating chunk (FIN)."""
    return Act("drop()", Answer.drop)


def reset() -> Act:
    """Close with a reset (RST); what the client has not read yet may be lost."""
    return Act("reset()", Answer.reset)


def status(code: int, body: Mapping[str, Any] | bytes = b"") -> Act:
    """A whole response of another status: JSON for a mapping, else the bytes; the connection is kept."""
    if isinstance(body, bytes):
        payload, content_type = body, "text/plain; charset=utf-8"
    else:
        payload, content_type = encode_frame(body, "").rstrip(b"\n"), "application/json; charset=utf-8"
    return Act(f"status({code})", lambda answer: answer.whole(code, payload, content_type))


def wait(event: threading.Event) -> Act:
    """Send nothing until the test sets the event, the client closes or the deadline fails the test."""
    return Act("wait(event)", lambda answer: answer.wait(event))


def notify(event: threading.Event) -> Act:
    """Set the test's event: everything before this step has been handed to the kernel."""
    return Act("notify(event)", lambda _: event.set())


def call(act: Callable[[Answer], None]) -> Act:
    """Run the test's own function on the answer."""
    return Act("call(…)", act)


def hang() -> Act:
    """Send nothing more until the client closes; the deadline fails the test."""
    return Act("hang()", Answer.hang)


def silence(seconds: float) -> Act:
    """Send nothing for a while: for what happens to a reader meanwhile, such as a heartbeat."""
    return Act(f"silence({seconds})", lambda answer: answer.pause_until(time.monotonic() + seconds))


def every(interval_s: float, count: int, make_step: Callable[[int], Step]) -> Act:
    """Play `make_step(0)`, `make_step(1)`, … at a steady pace, the first one at once; ends when the client closes."""

    def play(answer: Answer) -> None:
        starts_at = time.monotonic()
        for index in range(count):
            answer.pause_until(starts_at + index * interval_s)
            make_step(index).play(answer)

    return Act(f"every({interval_s}, {count})", play)


def line(step: Frames, model: str = DEFAULT_MODEL) -> bytes:
    """The bytes of a step's frames, for `chunk` to cut: `chunk(line(text("春"))[:7])`."""
    return b"".join(encode_frame(body, model) for body in step.bodies)


def model_of(answer: Answer) -> str:
    """The model that the request named."""
    body = answer.request.json
    return str(body.get("model", DEFAULT_MODEL)) if isinstance(body, dict) else DEFAULT_MODEL


DEFAULT_STATS: Mapping[str, int] = {
    "total_duration": 5_043_500_667,
    "load_duration": 25_025_959,
    "prompt_eval_count": 26,
    "prompt_eval_duration": 325_953_000,
    "eval_count": 290,
    "eval_duration": 4_709_213_000,
}


def _message(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": "", "created_at": CREATED_AT, "message": {"role": "assistant", **fields}, "done": False}
