"""The gauge knows the size of the context, or has it asked for, and tells no size that may be another by now."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET

from clawgate.ollama.ndjson import Frame
from clawgate.relay.gauge import KEPT_S, LOAD_S, ContextGauge
from clawgate.relay.prompt import Prompt
from clawgate.relay.stats import Context, Stats

CLIENT: Any = object()
SECOND = 1_000_000_000


class NotedSizes:
    """Sizes of 4096 that were asked for at a moment, and the questions that they get."""

    def __init__(self, asked_at: float) -> None:
        self.asked_at = asked_at
        self.questions: list[tuple[float, float]] = []

    def ask(self, client: object, newer_than: float, now: float) -> None:
        """Note it."""
        assert client is CLIENT
        self.questions.append((newer_than, now))

    def size(self, client: object, model: str, newer_than: float) -> int | None:
        """Return it where it is new enough."""
        assert (client, model) == (CLIENT, "m")
        return 4096 if self.asked_at >= newer_than else None


def gauge(sizes: NotedSizes | None, **options: Any) -> ContextGauge:
    """The gauge of a run with these options."""
    return ContextGauge(Prompt(model="m", messages=(), extras={"options": options}), sizes)  # type: ignore[arg-type]


def stats(of: ContextGauge, load_s: float = 0.03) -> Stats:
    """The figures of its end."""
    return of.stats(Frame(done=True, prompt_eval_count=9, eval_count=1, load_duration=int(load_s * SECOND)), CLIENT)


@pytest.mark.parametrize("load_s", [0.03, 9])
def test_the_size_of_the_request_is_the_size(load_s: float) -> None:
    sizes = NotedSizes(asked_at=1008)  # while the model was loaded for this request
    fixed = gauge(sizes, num_ctx=2048)
    assert stats(fixed, load_s).context == Context(10, 2048)
    fixed.note_first_frame(CLIENT, asked_at=1000, now=1009)
    assert stats(fixed, load_s).context == Context(10, 2048)
    assert stats(gauge(None, num_ctx=2048), load_s).context == Context(10, 2048)
    assert sizes.questions == [(1009, 1009)]


def test_a_size_that_is_told_since_counts_more_than_the_one_of_the_request() -> None:
    sizes = NotedSizes(asked_at=1000.2)
    beyond = gauge(sizes, num_ctx=100_000)
    beyond.note_first_frame(CLIENT, asked_at=1000, now=1000.1)
    assert stats(beyond).context == Context(10, 4096)
    assert sizes.questions == [(1000.1, 1000.1)]


def test_a_size_of_the_request_that_is_known_is_asked_for_once_a_minute() -> None:
    sizes = NotedSizes(asked_at=900)
    known = gauge(sizes, num_ctx=4096)
    known.note_first_frame(CLIENT, asked_at=1000, now=1000.1)
    assert sizes.questions == [(1000.1 - KEPT_S, 1000.1)]
    assert stats(known).context == Context(10, 4096)


@pytest.mark.parametrize("num_ctx", [None, 0, -1, "4096"])
def test_any_other_num_ctx_sets_none(num_ctx: object) -> None:
    assert stats(gauge(None, num_ctx=num_ctx)).context is UNSET


def test_what_is_known_is_told_and_renewed_after_a_minute() -> None:
    sizes = NotedSizes(asked_at=900)
    quick = gauge(sizes)
    quick.note_first_frame(CLIENT, asked_at=1000, now=1000 + LOAD_S - 0.01)
    assert sizes.questions == [(1000 + LOAD_S - 0.01 - KEPT_S, 1000 + LOAD_S - 0.01)]
    assert stats(quick).context == Context(10, 4096)


def test_a_first_frame_that_was_long_in_coming_may_tell_of_a_load() -> None:
    sizes = NotedSizes(asked_at=1003)
    slow = gauge(sizes)
    slow.note_first_frame(CLIENT, asked_at=1000, now=1003)
    assert sizes.questions == [(1000, 1003)]
    assert stats(slow, load_s=2).context == Context(10, 4096)


def test_a_size_from_before_the_load_is_not_told() -> None:
    loaded = gauge(NotedSizes(asked_at=999))
    loaded.note_first_frame(CLIENT, asked_at=1000, now=1003)
    assert stats(loaded, load_s=2).context is UNSET
    assert stats(loaded, load_s=0.1).context == Context(10, 4096)


def test_without_a_first_frame_a_load_tells_nothing() -> None:
    assert stats(gauge(NotedSizes(asked_at=1e9)), load_s=2).context is UNSET
