"""llama.cpp in this process: the only user of xllamacpp, which is imported when the first model is loaded.

engine.py builds one for each context size and drops it again. Calls come one at a time; the engine's turns see to it.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from clawgate.embedded.job import EngineFailed, Message
from clawgate.embedded.weights import ENGINE_MODULE

_STRETCH_TOKENS = 32
_SINGLE_STRETCH_TOKENS = 8
_TIMEOUT_S = 60.0
"""The time for counting tokens: a megabyte takes 2 s."""


class Runtime:
    """A model in memory, with a context of one size. It leaves memory with its last reference."""

    def __init__(self, path: Path, context: int, threads: int, *, reads_singly: bool, is_verbose: bool) -> None:
        """Load. Errors: EngineFailed where the file cannot be loaded, or memory does not take the context."""
        # Threads that wait for each other must not spin: on two busy cores two made 1.3 tokens/s so, and 31 now.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        self.context = context
        self._key = secrets.token_urlsafe(32)
        library = importlib.import_module(ENGINE_MODULE)
        params = library.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context
        params.n_parallel = 1
        params.ctx_shift = True
        params.n_batch = _SINGLE_STRETCH_TOKENS if reads_singly else _STRETCH_TOKENS
        params.n_ubatch = 1 if reads_singly else _STRETCH_TOKENS
        params.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
        params.cache_type_v = library.ggml_type.GGML_TYPE_Q8_0
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.reasoning_format = library.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
        params.warmup = params.fit_params = False  # half of the loading time, for nothing on a CPU
        params.cache_ram_mib = 0
        params.verbosity = 3 if is_verbose else -1
        # xllamacpp always opens llama.cpp's own HTTP server on a free loopback port: it gets one thread, no page, and a
        # secret key. It counts tokens, which xllamacpp has no other way to.
        params.api_keys = [self._key]
        params.n_threads_http = 1
        params.ui = params.endpoint_slots = False
        try:
            self._server = library.Server(params)
            # A server that has done nothing yet hangs for ever when it is dropped: its loop may not have begun.
            self._server.handle_completions({"prompt": [1], "n_predict": 0, "stream": False}, lambda _: False)
        except RuntimeError as error:
            raise EngineFailed(f"{path}: llama.cpp cannot load this file ({error})") from error

    def chat(self, request: Mapping[str, object], take: Callable[[Mapping[str, Any]], bool]) -> None:
        """Answer, handing each chunk to `take`, which stops it by returning true. Errors: EngineFailed (400)."""
        try:
            self._server.handle_chat_completions(request, take)
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:  # a schema, a number, a role it refuses
            raise EngineFailed(str(error), 400) from error

    def count(self, messages: list[Message]) -> int:
        """Count the tokens of a conversation's prompt, the template's included."""
        prompt = self._ask("/apply-template", {"messages": messages})["prompt"]
        return len(self._ask("/tokenize", {"content": prompt, "add_special": True})["tokens"])

    def without_head(self, text: str, tokens: int) -> str:
        """Return a text without its first so many tokens, and without what is left of a character that they cut."""
        kept = self._ask("/tokenize", {"content": text})["tokens"][tokens:]
        return str(self._ask("/detokenize", {"tokens": kept})["content"]).lstrip("\ufffd")

    def _ask(self, path: str, body: Mapping[str, object]) -> Any:
        address = urlsplit(self._server.listening_address)
        connection = HTTPConnection(str(address.hostname), address.port, timeout=_TIMEOUT_S)
        header = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", path, json.dumps(body), header)
            response = connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            raise EngineFailed(f"llama.cpp does not count the prompt's tokens ({error})") from error
        finally:
            connection.close()
        if response.status != 200:
            raise EngineFailed(str(answer.get("error", {}).get("message", answer)), 400)
        return answer
