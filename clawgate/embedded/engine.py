"""The model itself: one answer at a time, in the order of the requests. routes.py calls it.

An answer whose client leaves stops within a token, and within one stretch of 32 tokens while the model still reads the
prompt. A request with another `num_ctx` than the one before has the model loaded anew, as in Ollama.

Temperature 0 is repeatable, and an answer that is cut anywhere goes on as if it had not been (measured, to the last bit
of the probabilities, with one and two threads). That takes one slot, flash attention, and the same path through
llama.cpp for every token. Its attention has three, whose sums round differently: one from 64 tokens at a time on, hence
32; one for a single token after 512 where K and V are of one type, hence Q8_0 for V; and the plain one, which is left.
Its products of matrices have two for most kinds of weights, for one token and for several: SmolLM2's (Q4_1) have one,
and it reads its prompt in stretches; Qwen's (Q5_0, Q8_0, Q4_K, Q6_K) have two, and it reads token by token, which takes
twice the time. A file of `--weights` is read in stretches, and exact where its kinds of weights are. Exactness also
takes AnswerStream's care for whitespace. The prompt cache changes nothing and stays on: an answer that goes on is not
read again. Two cases remain. After a word that the model spelt in other tokens than the tokenizer would (`not` `able`),
an answer that is cut may go on differently; and so may one that has filled its context, because its beginning is
forgotten.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from clawgate.embedded.job import (
    CONTEXT_TOKENS,
    EngineFailed,
    Job,
    Message,
    Outcome,
    context_of,
    keep_of,
    limit_of,
    lookback_of,
)
from clawgate.embedded.runtime import Runtime
from clawgate.embedded.stream import AnswerStream, split_partial
from clawgate.embedded.turns import Turns
from clawgate.embedded.window import fitted, is_surely_too_long

_NS_PER_MS = 1_000_000
_CLOSE_S = 1.0
_TOO_LONG = "exceed_context_size_error"


class ClientGone(Exception):
    """The client has left while its prompt was cut."""


class Engine:
    """The weights in memory, or not yet.

    Shape: own_context is the model's own, the longest that a request gets; reads_singly is Packaged's.
    Threads: any; whatever touches the model waits for its turn. `close` makes a running answer end.
    """

    def __init__(
        self,
        path: Path,
        threads: int,
        own_context: int = CONTEXT_TOKENS,
        *,
        reads_singly: bool = False,
        is_verbose: bool = False,
    ) -> None:
        self._path = path
        self._threads = threads
        self._own_context = own_context
        self._reads_singly = reads_singly
        self._is_verbose = is_verbose
        self._turns = Turns()
        self._runtime: Runtime | None = None
        self._is_closing = threading.Event()

    @property
    def context(self) -> int | None:
        """The size of the context in tokens while the weights are in memory, else None."""
        runtime = self._runtime
        return runtime.context if runtime is not None else None

    def load(self, context: int | None = None) -> None:
        """Load the weights with a context of that size, unless they are in memory with it. Errors: EngineFailed."""
        with self._turns:
            self._loaded(context)

    def unload(self) -> None:
        """Free the weights, after the answers that are ahead."""
        with self._turns:
            self._runtime = None

    def close(self, within_s: float = _CLOSE_S) -> None:
        """End the running answer and refuse further ones; for the end of the process, with which the weights go.

        It waits so long for what llama.cpp lets nobody interrupt: a large `format`, a megabyte to count.
        """
        self._is_closing.set()
        last = threading.Thread(target=self._take_a_turn, daemon=True)
        last.start()
        last.join(within_s)

    def _take_a_turn(self) -> None:
        with self._turns:
            pass

    def answer(self, job: Job, emit: Callable[[str], None], is_gone: Callable[[], bool]) -> Outcome:
        """Answer, handing every piece of text to `emit` on this thread.

        Errors: EngineFailed; whatever `emit` raises ends the answer and comes out here.
        """
        asked_at = time.monotonic_ns()

        def must_stop() -> bool:
            return self._is_closing.is_set() or is_gone()

        with self._turns:
            if must_stop():
                return Outcome("gone")
            runtime = self._loaded(job.context)
            load_ns = time.monotonic_ns() - asked_at
            try:
                stream = _Answer(runtime, job, emit, must_stop).run()
            except ClientGone:
                return Outcome("gone", load_ns)
        return _outcome(stream, load_ns)

    def _loaded(self, asked: int | None) -> Runtime:
        if self._is_closing.is_set():
            raise EngineFailed("the server is shutting down", 503)
        context = context_of(asked, self._own_context)
        if self._runtime is None or self._runtime.context != context:
            self._runtime = None  # first: both in memory would be too much
            self._runtime = self._load(context)
        return self._runtime

    def _load(self, context: int) -> Runtime:
        return Runtime(self._path, context, self._threads, reads_singly=self._reads_singly, is_verbose=self._is_verbose)


class _Answer:
    """One answer by a loaded model."""

    def __init__(self, runtime: Runtime, job: Job, emit: Callable[[str], None], is_gone: Callable[[], bool]) -> None:
        self._runtime = runtime
        self._job = job
        self._emit = emit
        self._is_gone = is_gone
        self._limit = limit_of(job.limit, runtime.context)
        self._keep = keep_of(job.keep, runtime.context)
        self._window = None if job.shifts else runtime.context

    def run(self) -> AnswerStream:
        """Answer, and cut the conversation first where it is too long. Errors: EngineFailed, ClientGone."""
        messages = self._job.messages
        if not is_surely_too_long(messages, self._runtime.context):
            stream = self._stream(messages)
            if (stream.error or {}).get("type") != _TOO_LONG:
                return stream
        if not self._job.truncates:
            words = "the prompt is longer than the context of"
            raise EngineFailed(f"{words} {self._runtime.context} tokens, and truncate is false", 400)
        fit = fitted(messages, self._runtime.context, self._keep, self._count, self._runtime.without_head)
        return self._stream(fit)

    def _count(self, messages: list[Message]) -> int:
        if self._is_gone():
            raise ClientGone
        return self._runtime.count(_asked(messages))

    def _stream(self, messages: list[Message]) -> AnswerStream:
        if messages[-1]["role"] == "assistant" and self._job.response is None:
            given, held = split_partial(messages[-1]["content"])
            if held:
                stream = AnswerStream(self._emit, self._is_gone, self._limit, held, self._window)
                self._ask([*messages[:-1], {"role": "assistant", "content": given}], stream, len(held))
                if not stream.is_astray:
                    return stream
        stream = AnswerStream(self._emit, self._is_gone, self._limit, window=self._window)
        self._ask(messages, stream)
        return stream

    def _ask(self, messages: list[Message], stream: AnswerStream, beyond: int = 0) -> None:
        request: dict[str, object] = {
            **self._job.settings,
            "messages": _asked(messages),
            "max_tokens": self._limit + beyond,
            "n_keep": self._keep,
            "repeat_last_n": lookback_of(self._job.lookback, self._runtime.context),
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,
            "timings_per_token": True,
        }
        if self._job.response is not None:
            request["response_format"] = self._job.response
        self._runtime.chat(request, stream)
        if stream.failure is not None:
            raise stream.failure


def _asked(messages: list[Message]) -> list[Message]:
    """Leave out an answer that has not begun: llama.cpp would write the turn's head a second time."""
    return messages[:-1] if messages[-1] == {"role": "assistant", "content": ""} else messages


def _outcome(stream: AnswerStream, load_ns: int) -> Outcome:
    if stream.error is not None:
        raise EngineFailed(str(stream.error.get("message")), int(stream.error.get("code", 500)))
    timings = stream.timings
    return Outcome(
        stream.reason or "stop",
        load_ns=load_ns,
        prompt_count=int(timings.get("prompt_n", 0)) + int(timings.get("cache_n", 0)),
        prompt_ns=int(timings.get("prompt_ms", 0) * _NS_PER_MS),
        eval_count=stream.eval_count,
        eval_ns=int(timings.get("predicted_ms", 0) * _NS_PER_MS),
    )
