"""The model itself, on llama.cpp: the only user of xllamacpp, which is imported when the model is first loaded.

routes.py calls it. It gives one answer at a time, in the order of the requests. An answer whose client leaves stops
within a token, and within one stretch of 32 tokens while the model still reads the prompt.

Temperature 0 is repeatable, and an answer that is cut anywhere goes on as if it had not been (measured, to the last bit
of the probabilities, with one and two threads). That takes one slot, flash attention, and the same path through it for
every token. llama.cpp has three paths, whose sums round differently: one from 64 tokens at a time on, hence 32; one for
a single token after 512 where K and V are of one type, hence Q8_0 for V; and the plain one, which is left. It also
takes AnswerStream's care for whitespace. The prompt cache changes nothing and stays on: an answer that goes on is not
read again. One case remains: after a word that the model spelt in other tokens than the tokenizer would (`not` `able`),
an answer that is cut may go on differently.
"""

from __future__ import annotations

import importlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clawgate.embedded.stream import AnswerStream, split_partial
from clawgate.embedded.turns import Turns
from clawgate.embedded.weights import ENGINE_MODULE

CONTEXT_TOKENS = 4096
"""Ollama's default; older messages are left out when a conversation grows longer."""
_STRETCH_TOKENS = 32
_TOKENS_AROUND = 16
"""The most that a template is expected to put around a message; chatml puts 5."""
_NS_PER_MS = 1_000_000

Message = dict[str, str]


class EngineFailed(Exception):
    """The engine could not do what was asked; `status` is the HTTP status that says so."""

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Job:
    """One request to the model.

    Shape: a trailing assistant message is gone on with. `settings` are llama.cpp's sampling parameters, `response`
    its `response_format`. Units: `limit` in tokens, None without one.
    """

    messages: list[Message]
    settings: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    response: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Outcome:
    """The end of an answer: `stop`, `length` or `gone`. Units: tokens and nanoseconds."""

    reason: str
    load_ns: int = 0
    prompt_count: int = 0
    prompt_ns: int = 0
    eval_count: int = 0
    eval_ns: int = 0


class Engine:
    """The weights in memory, or not yet.

    Threads: any; whatever touches the model waits for its turn. `close` makes a running answer end.
    """

    def __init__(self, path: Path, threads: int, *, is_verbose: bool = False) -> None:
        self._path = path
        self._threads = threads
        self._is_verbose = is_verbose
        self._turns = Turns()
        self._model: Any = None
        self._is_closing = threading.Event()

    @property
    def is_loaded(self) -> bool:
        """True while the weights are in memory."""
        return self._model is not None

    def load(self) -> None:
        """Load the weights unless they are in memory. Errors: EngineFailed."""
        with self._turns:
            self._ensure_loaded()

    def unload(self) -> None:
        """Free the weights, after the answers that are ahead."""
        with self._turns:
            self._model = None

    def close(self) -> None:
        """End the running answer and refuse further ones; for the end of the process, with which the weights go."""
        self._is_closing.set()
        with self._turns:
            pass

    def answer(self, job: Job, emit: Callable[[str], None], is_gone: Callable[[], bool]) -> Outcome:
        """Answer, handing every piece of text to `emit` on this thread.

        Errors: EngineFailed; whatever `emit` raises ends the answer and comes out here.
        """
        asked_at = time.monotonic_ns()
        with self._turns:
            if self._must_stop(is_gone):
                return Outcome("gone")
            self._ensure_loaded()
            load_ns = time.monotonic_ns() - asked_at
            stream = self._stream_that_fits(job, emit, lambda: self._must_stop(is_gone))
        return _outcome(stream, load_ns)

    def _must_stop(self, is_gone: Callable[[], bool]) -> bool:
        return self._is_closing.is_set() or is_gone()

    def _ensure_loaded(self) -> None:
        if self._is_closing.is_set():
            raise EngineFailed("the server is shutting down", 503)
        if self._model is None:
            self._model = _load(self._path, self._threads, self._is_verbose)

    def _stream_that_fits(self, job: Job, emit: Callable[[str], None], is_gone: Callable[[], bool]) -> AnswerStream:
        messages = job.messages
        while True:
            stream = self._stream(job, messages, emit, is_gone)
            error = stream.error or {}
            if error.get("type") != "exceed_context_size_error":
                return stream
            if is_gone():
                stream.error, stream.reason = None, "gone"
                return stream
            messages = without_oldest(messages, int(error.get("n_prompt_tokens", 0)) - int(error.get("n_ctx", 0)))

    def _stream(
        self, job: Job, messages: list[Message], emit: Callable[[str], None], is_gone: Callable[[], bool]
    ) -> AnswerStream:
        if messages[-1]["role"] == "assistant" and job.response is None:
            given, held = split_partial(messages[-1]["content"])
            if held:
                stream = AnswerStream(emit, is_gone, held, job.limit)
                limit = None if job.limit is None else job.limit + len(held)
                self._run(job, [*messages[:-1], {"role": "assistant", "content": given}], limit, stream)
                if not stream.is_astray:
                    return stream
        stream = AnswerStream(emit, is_gone)
        self._run(job, messages, job.limit, stream)
        return stream

    def _run(self, job: Job, messages: list[Message], limit: int | None, stream: AnswerStream) -> None:
        if messages[-1] == {"role": "assistant", "content": ""}:
            messages = messages[:-1]  # llama.cpp would write the turn's head a second time
        request: dict[str, object] = {
            **job.settings,
            "messages": messages,
            "max_tokens": -1 if limit is None else limit,
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,
            "timings_per_token": True,
        }
        if job.response is not None:
            request["response_format"] = job.response
        try:
            self._model.handle_chat_completions(request, stream)
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:  # a schema, a number, a role it refuses
            raise EngineFailed(str(error), 400) from error
        if stream.failure is not None:
            raise stream.failure


def without_oldest(messages: list[Message], excess: int = 0) -> list[Message]:
    """Leave out the oldest message that is neither a system message nor the last one, as Ollama does.

    Further ones go with it as long as too much is left for certain: a message has at most a token for each byte. Each
    try reads the whole conversation, so that one message at a time takes minutes for a long one.

    Units: excess is in tokens.
    Errors: EngineFailed where none is left.
    """
    kept: list[Message] = []
    left_out = 0
    for message in messages[:-1]:
        if message["role"] == "system" or (left_out and left_out >= excess):
            kept.append(message)
        else:
            left_out += len(message["content"].encode()) + _TOKENS_AROUND
    if not left_out:
        raise EngineFailed(f"the prompt is longer than the context of {CONTEXT_TOKENS} tokens", 400)
    return [*kept, messages[-1]]


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


def _load(path: Path, threads: int, is_verbose: bool) -> Any:
    # Threads that wait for each other must not spin: on two busy cores two threads made 1.3 tokens/s so, and 31 now.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    library = importlib.import_module(ENGINE_MODULE)
    params = library.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _STRETCH_TOKENS
    params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_type_v = library.ggml_type.GGML_TYPE_Q8_0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.reasoning_format = library.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    params.warmup = params.fit_params = False  # half of the loading time, for nothing on a CPU
    params.cache_ram_mib = 0
    params.verbosity = 3 if is_verbose else -1
    # xllamacpp always opens llama.cpp's own HTTP server on a free loopback port: it gets one thread, no page, and a
    # secret key.
    params.api_keys = [secrets.token_urlsafe(32)]
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    try:
        return library.Server(params)
    except RuntimeError as error:
        raise EngineFailed(f"{path}: llama.cpp cannot load this file ({error})") from error
