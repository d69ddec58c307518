"""A deterministic model for the scripted Ollama: it always says the same, and goes on where it was cut.

`ScriptedOllama.answer` makes one; the tests of recovery and of `continue` need it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.answer import Answer
from tests.support.script import Frames, done, status, text, thinking


@dataclass
class ContinuingModel:
    """Answer every chat with one text, token by token; continue a trailing assistant message that is its beginning.

    The rule, simpler than a real model's:
    - the last message is the assistant's: only what follows its content is said. Content that is no beginning of the
      text was altered on its way: the answer is 400 and the test fails.
    - thinking comes first, whole, unless the request says `"think": false` or that last message carries thinking.
    - `drops` are used up in order: each request that finds one is dropped after that many frames (0: before any byte).

    Units: tokens of `token_size` characters.
    """

    words: str
    thoughts: str = ""
    token_size: int = 4
    interval_s: float = 0.0
    drops: Sequence[int] = ()
    is_reset: bool = False
    problems: list[str] = field(default_factory=list)
    _served: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, answer: Answer) -> None:
        """Answer one request."""
        body: dict[str, Any] = answer.request.json
        prefill = _prefill(body["messages"])
        said = prefill.get("content", "")
        if not self.words.startswith(said):
            self.problems.append(f"the partial text was altered: {said!r} is no beginning of {self.words!r}")
            status(400, {"error": "no beginning of the answer"}).play(answer)
            return
        thinks = bool(self.thoughts) and body.get("think") is not False and not prefill.get("thinking")
        self._stream(answer, list(self._frames(said, thinks)), self._next_drop())

    def _frames(self, said: str, thinks: bool) -> Iterator[Frames]:
        if thinks:
            yield from (thinking(token) for token in _tokens(self.thoughts, self.token_size))
        yield from (text(token) for token in _tokens(self.words[len(said) :], self.token_size))

    def _stream(self, answer: Answer, frames: list[Frames], drop_after: int | None) -> None:
        starts_at = time.monotonic()
        for index, step in enumerate(frames):
            if index == drop_after:
                break
            if self.interval_s:
                answer.pause_until(starts_at + index * self.interval_s)
            step.play(answer)
        if drop_after is None:
            done(eval_count=len(frames)).play(answer)
        elif self.is_reset:
            answer.reset()
        else:
            answer.drop()

    def _next_drop(self) -> int | None:
        with self._lock:
            self._served += 1
            return self.drops[self._served - 1] if self._served <= len(self.drops) else None


def _prefill(messages: list[dict[str, Any]]) -> dict[str, Any]:
    return messages[-1] if messages[-1].get("role") == "assistant" else {}


def _tokens(words: str, size: int) -> Iterator[str]:
    return (words[start : start + size] for start in range(0, len(words), size))
