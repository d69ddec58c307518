"""The moments of an answer's life in which it is interrupted, and how each is brought about."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from bench.answers import Answer
from bench.script import Script, now_us
from bench.targets import Bed

FOREVER_MS = 3_600_000
ENDLESS = 900_000


@dataclass(frozen=True)
class Phase:
    """One phase: the upstream that brings it about, and when an answer has reached it.

    `is_fresh`: each interrupted answer is a new one beside the others in flight, cut within 40 ms of its start event.
    """

    name: str
    script: Script
    is_reached: Callable[[Answer], bool]
    endpoint: Callable[[Bed], AbstractContextManager[str]]
    is_fresh: bool = False


@contextmanager
def _scripted(bed: Bed) -> Iterator[str]:
    """Give the scripted upstream."""
    yield bed.upstream_url


@contextmanager
def _unaccepting(_bed: Bed) -> Iterator[str]:
    """Give a place whose queue of connections is full, so that connecting to it hangs."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _refusing(_bed: Bed) -> Iterator[str]:
    """Give a port that is taken but refuses connections."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def _aged(seconds: float) -> Callable[[Answer], bool]:
    return lambda answer: answer.reader.events > 0 and now_us() - answer.asked_us > seconds * 1e6


def _has_tokens(answer: Answer) -> bool:
    return answer.reader.tokens >= 2


def _is_stalled(answer: Answer) -> bool:
    return answer.reader.tokens >= answer.script.stall_after and now_us() - answer.reader.last_us > 300_000


_SILENT = Script(first_ms=FOREVER_MS)
PHASES = {
    phase.name: phase
    for phase in (
        Phase("just sent", _SILENT, _aged(0), _scripted, is_fresh=True),
        Phase("connecting", _SILENT, _aged(0.3), _unaccepting),
        Phase("silent", _SILENT, _aged(0.3), _scripted),
        Phase("thinking", Script(rate=50, thinking=ENDLESS), _has_tokens, _scripted),
        Phase("text", Script(rate=50, tokens=ENDLESS), _has_tokens, _scripted),
        Phase("stalled", Script(rate=50, tokens=ENDLESS, stall_after=3), _is_stalled, _scripted),
        Phase("waiting", _SILENT, _aged(0.5), _refusing),
    )
}
