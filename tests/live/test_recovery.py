"""The real model killed and started again while it answers: the reader sees one answer, equal to the uninterrupted one.

Kills are ordered by what the model has logged or the reader has read, and the new process is there only after the
reader was told that Ollama is waited for.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support import sse
from tests.support.client import StreamClient
from tests.support.embedded import Embedded
from tests.support.gateway import Gateway
from tests.support.tools import DEADLINE_S

QUESTION = [{"role": "user", "content": "Name three sights in Beijing, and say of each how old it is. " * 4}]
OPTIONS = {"temperature": 0, "seed": 1, "num_predict": 80}
PATIENCE_S = 4 * DEADLINE_S

pytestmark = pytest.mark.deadline(200)


class Restarted:
    """The model at one port, in one process after the other."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.process = self._stack.enter_context(Embedded())

    def kill(self) -> None:
        """Kill the process."""
        self.process.signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL

    def start(self) -> None:
        """Start a new one on the same port."""
        self.process = self._stack.enter_context(Embedded(self.process.port))

    def close(self) -> None:
        """End them all."""
        self._stack.close()


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    """The uninterrupted answer, asked without a gateway."""
    with Embedded() as embedded:
        answer = embedded.answer(QUESTION, OPTIONS)
    assert len(answer) > 70, "the answer is too short to be cut in its middle"
    return answer


@pytest.fixture
def model() -> Iterator[Restarted]:
    """A model to kill."""
    restarted = Restarted()
    yield restarted
    restarted.close()


def ask(model: Restarted, gateway: Callable[..., Gateway]) -> StreamClient:
    """Ask through a gateway that waits for Ollama as long as a loaded machine takes."""
    endpoint = {"endpoint": model.process.base_url, "model_name": model.process.model}
    started = gateway(model=endpoint, stream={"retry_seconds": 120, "stall_seconds": 60})
    return started.stream({"messages": QUESTION, "options": OPTIONS})


def kill_and_start(model: Restarted, stream: StreamClient) -> None:
    """Kill the model, and start it again once the reader knows."""
    model.kill()
    stream.read_until(lambda event: event.data.get("status") == "waiting")
    model.start()
    stream.read_until(lambda event: event.data.get("status") == "resumed", PATIENCE_S)


def assert_is_whole(stream: StreamClient, tokens: list[str]) -> None:
    """Read the rest, and assert that the reader has the one uninterrupted answer."""
    stream.read_all(PATIENCE_S)
    sse.check(stream.events)
    assert stream.complete
    assert sse.text_of(stream.events) == "".join(tokens)
    assert sse.end_of(stream.events)["done_reason"] in ("stop", "length")


def test_answer_is_whole_when_the_model_dies_before_its_first_text(
    model: Restarted, gateway: Callable[..., Gateway], tokens: list[str]
) -> None:
    with ask(model, gateway) as stream:
        model.process.wait_for_line("POST /api/chat")  # now it reads the prompt, for a second or more
        kill_and_start(model, stream)
        assert sse.text_of(stream.events) == "", "the model had begun before it was killed"
        assert_is_whole(stream, tokens)


def test_answer_is_whole_when_the_model_dies_after_fifty_tokens(
    model: Restarted, gateway: Callable[..., Gateway], tokens: list[str]
) -> None:
    with ask(model, gateway) as stream:
        while len(sse.text_of(stream.events)) < len("".join(tokens[:50])):
            assert stream.read_event(PATIENCE_S), f"the answer ended before it was cut: {stream.events[-1]}"
        kill_and_start(model, stream)
        assert_is_whole(stream, tokens)
    statuses = [event.data["status"] for event in stream.events if "status" in event.data]
    assert statuses == ["waiting"] * (len(statuses) - 1) + ["resumed"]
