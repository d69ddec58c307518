"""Failures between us and Ollama: whose they are, whether waiting may help, and the words for them.

a refusal        the request is at fault, for good: the client's     400, 413, 422 …, and some of Ollama's 500
a dead runner    the process that ran the model: the next request has Ollama start another
away             Ollama, or a proxy in front of it: 502, 503, no connection
anything else    is passed on: 401, 403, 404, 405, 407 are the operator's, 408, 425, 429 pass, 5xx are Ollama's
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from clawgate import errors
from clawgate.errors import ClawgateError, ModelNotFound, UpstreamError, UpstreamRefused
from clawgate.ollama.recognition import recognise
from clawgate.ollama.words import words_of

CONNECT_TIMEOUT_S = 5.0
AWAY = (502, 503)
NOT_OF_THE_REQUEST = (401, 402, 403, 404, 405, 407, 408, 421, 425, 426, 429, 499)
"""4xx that a better message does not change: the way to Ollama, its settings or an account is at fault, or the moment
is (408, 425, 429, and 499, Ollama's word for a client that left)."""
MAX_READ = 1 << 11
"""Characters of an error's words that are looked at and passed on: to search takes the square of their number at the
worst, and the line of an error may have 8 MiB."""

_RUNNER_IS_DEAD = re.compile(
    r"(?:llama runner|llama-server) process no longer running"
    r"|(?:llama runner|llama-server) process has terminated(?:$|: signal|: exit status| with exit code)"
    r"|model runner has unexpectedly stopped"
    r"|an error was encountered while running the model"
    r"|model failed to load, this may be due to resource limitations"
    r"|mlx runner (?:exited unexpectedly|failed)"
    r"|(?:health resp|error reading (?:llm|llama-server) response): .*(?:EOF|connection re|broken pipe|forcibly closed)"
    r"|^connection refused$",
    re.DOTALL,
)
_CANNOT_LOAD = re.compile(r"error loading model|unable to load model|unknown model architecture|incompatible with your")
_REFUSED_WITH_500 = re.compile(
    r'^option ".*" must be of type'
    r"|^invalid format: "
    r"|^invalid JSON schema in format"
    r"|failed to process inputs: "
    r"|^this model only supports one image"
)


class OpenFailure(Exception):
    """Ollama did not begin to answer, or its answer ended with an error. A client gets `error`.

    is_retryable: waiting may help.
    is_runner_dead: so it may, but a prompt that kills every runner must not be asked for ever.
    """

    def __init__(self, error: ClawgateError, is_retryable: bool, is_runner_dead: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.is_retryable = is_retryable
        self.is_runner_dead = is_runner_dead


class CannotContinue(OpenFailure):
    """The model's template closes the assistant's last turn, so that a partial answer cannot be gone on with."""

    def __init__(self) -> None:
        super().__init__(errors.CannotContinue(), is_retryable=False)


def refusal_of(endpoint: str, status: int, fields: Mapping[str, str], body: bytes) -> OpenFailure:
    """Say what answers in Ollama's place, else what Ollama says of a request that it does not answer."""
    finding = recognise(endpoint, status, fields, body)
    if finding is None or not finding.is_lasting:
        return failure_of(status, body)
    return OpenFailure(UpstreamError(finding.message), is_retryable=False)


def failure_of(status: int, body: bytes) -> OpenFailure:
    """Read what Ollama says of a request that it does not answer."""
    words = words_of(body)[:MAX_READ]
    if status == 404 and "not found" in words and "model" in words:
        return OpenFailure(ModelNotFound(words).said_by_ollama(words, status), is_retryable=False)
    if is_refusal(status, words):
        refused = UpstreamRefused(words or f"status {status}").said_by_ollama(words, status)
        return OpenFailure(refused, is_retryable=False)
    message = f"Ollama answered with status {status}" + (f": {words}" if words else "")
    is_dead = status == 500 and says_runner_is_dead(words)
    error = UpstreamError(message).said_by_ollama(words, status)
    return OpenFailure(error, is_retryable=status in AWAY or is_dead, is_runner_dead=is_dead)


def failure_in(words: str) -> OpenFailure:
    """Read the error with which Ollama ends an answer that has begun: it is none of the request's any more."""
    words = words[:MAX_READ]
    is_dead = says_runner_is_dead(words)
    return OpenFailure(UpstreamError(words).said_by_ollama(words), is_retryable=is_dead, is_runner_dead=is_dead)


def is_refusal(status: int, words: str) -> bool:
    """Tell whether Ollama refuses the request itself, for good.

    It does so with 4xx, but for options, a format and images that it looks at late, which it answers with 500.
    Source: Ollama 0.24 server/routes.go, handleScheduleError; api/types.go, FromMap; llm/server.go, Completion;
    server/prompt.go; runner/ollamarunner/runner.go, NewSequence.
    """
    if 400 <= status < 500:
        return status not in NOT_OF_THE_REQUEST
    return status == 500 and _REFUSED_WITH_500.search(words) is not None


def says_runner_is_dead(words: str) -> bool:
    """Tell whether Ollama says that the process that runs the model has ended; the next request starts another.

    A runner that ends with an error of its own while it loads (CUDA, a format that it does not know) is none of these:
    the next one would meet the same. In the middle of an answer nothing but the end of the runner is meant.
    Source: Ollama 0.24 llm/server.go, getServerStatus, WaitUntilRunning, Completion; its successor
    llm/llama_server.go; x/mlxrunner/client.go.
    """
    words = words[:MAX_READ]
    return _RUNNER_IS_DEAD.search(words) is not None and _CANNOT_LOAD.search(words) is None
