"""One answer as the engine produces it: pure, so that its decisions can be tested on chunks without a model.

engine.py hands an AnswerStream to the engine as its callback. The engine calls it for every stretch of the prompt and
for every token, and stops where it returns true: for a client that has left, a limit or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

CHECKED = " \t\r\n"
"""Whitespace at the end of a partial answer is not fed to the model but must come out of it again: see AnswerStream."""

_MOST_REPEATS = 30
"""So often a model may say a piece again. Source: Ollama v0.24 llm/server.go, where the answer just breaks off."""


class AnswerStream:
    """Collects what one call of the engine reports, hands text on, and says when to stop.

    `held` is the whitespace at the end of the partial answer. A tokenizer splits `\\n\\n` at the end of a text in
    another way than before a word: a partial answer that was cut there would become other tokens than the model had
    chosen, and the answer another one (measured: the only cuts that went wrong). So the prompt ends before it, the
    model writes it once more, and it is swallowed here; a model that writes anything else makes `is_astray` true.

    Units: tokens. `limit` is the most that the answer gets; `window` is the context that prompt and answer share, where
    the answer is to end with it. An answer that says the same piece over and over ends as if it had come to its limit.

    Threads: the engine calls from the thread that asked it. Errors: what `emit` or `is_gone` raise is kept in
    `failure`, because the engine drops exceptions of its callback.
    """

    def __init__(
        self,
        emit: Callable[[str], None],
        is_gone: Callable[[], bool],
        limit: int | None = None,
        held: str = "",
        window: int | None = None,
    ) -> None:
        self._emit = emit
        self._is_gone = is_gone
        self._held = held
        self._limit = limit
        self._window = window
        self._swallowed = 0
        self._last = ""
        self._repeats = 0
        self.timings: Mapping[str, Any] = {}
        self.reason: str | None = None
        self.error: Mapping[str, Any] | None = None
        self.failure: BaseException | None = None
        self.is_astray = False

    def __call__(self, chunk: Mapping[str, Any]) -> bool:
        """Take a chunk of the engine's; true stops it."""
        try:
            return self._take(chunk)
        except BaseException as failure:  # noqa: BLE001 - the engine would drop it; engine.py raises it again
            self.failure = failure
            return True

    @property
    def eval_count(self) -> int:
        """Tokens of the answer, without those that were only written once more."""
        return max(int(self.timings.get("predicted_n", 0)) - self._swallowed, 0)

    def _take(self, chunk: Mapping[str, Any]) -> bool:
        if "error" in chunk:
            self.error = chunk["error"]
            return True
        if self._is_gone():
            self.reason = "gone"
            return True
        self.timings = chunk.get("timings") or self.timings
        choice = chunk["choices"][0]
        if text := choice["delta"].get("content"):
            return self._take_text(text)
        if reason := choice.get("finish_reason"):
            self.reason = reason
            self.is_astray = bool(self._held)
        return False

    def _take_text(self, text: str) -> bool:
        rest = self._beyond_held(text)
        if self.is_astray:
            return True
        if rest:
            self._emit(rest)
        if self._is_at_an_end(text):
            self.reason = "length"
            return True
        return False

    def _is_at_an_end(self, text: str) -> bool:
        self._repeats = self._repeats + 1 if text.strip() == self._last else 0
        self._last = text.strip()
        used = sum(int(self.timings.get(name, 0)) for name in ("cache_n", "prompt_n", "predicted_n"))
        return (
            (self._limit is not None and not self._held and self.eval_count >= self._limit)
            or (self._window is not None and used + 1 >= self._window)
            or self._repeats > _MOST_REPEATS
        )

    def _beyond_held(self, text: str) -> str:
        if not self._held:
            return text
        if self._held.startswith(text):
            self._held = self._held[len(text) :]
            self._swallowed += 1
            return ""
        if text.startswith(self._held):
            text, self._held = text[len(self._held) :], ""
            return text
        self.is_astray = True
        return ""


def split_partial(partial: str) -> tuple[str, str]:
    """Split a partial answer into what the model is given and the whitespace that it must write once more."""
    given = partial.rstrip(CHECKED)
    return given, partial[len(given) :]
