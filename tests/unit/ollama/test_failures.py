"""The words of an Ollama that does not answer tell whose fault it is, and whether waiting may help."""

from __future__ import annotations

import time

import pytest

from clawgate.errors import ModelNotFound, UpstreamError, UpstreamRefused
from clawgate.ollama.failures import MAX_READ, failure_in, failure_of, is_refusal, says_runner_is_dead

KILLED = (
    "an error was encountered while running the model: unexpected EOF",
    "an error was encountered while running the model: CUDA error: an illegal memory access was encountered",
    "an error was encountered while running the model: read tcp 127.0.0.1:1->127.0.0.1:2: wsarecv: forcibly closed",
    "llama runner process no longer running: -1 ",
    "llama runner process no longer running: 2 error: GGML_ASSERT failed",
    "llama runner process has terminated",
    "llama runner process has terminated: signal: killed",
    "llama runner process has terminated: exit status 2",
    "llama runner process has terminated with exit code 137",
    "llama-server process no longer running: unknown ",
    "llama-server process has terminated: exit status 0xc0000409: The exception",
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details",
    "model failed to load, this may be due to resource limitations or an internal error, check ollama server logs for "
    "details",
    "mlx runner exited unexpectedly: signal: killed",
    'health resp: Get "http://127.0.0.1:34567/health": EOF',
    "error reading llm response: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer",
    "connection refused",
)
NOT_KILLED = (
    "",
    "out of memory",
    "CUDA error: out of memory",
    'llama runner process has terminated: "CUDA error"',
    "llama runner process has terminated: error loading model: unknown model architecture: 'mllama'",
    "llama runner process has terminated: exit status 1: error loading model: unknown model architecture: 'mllama'",
    "model requires more system memory (9.1 GiB) than is available (4.0 GiB)",
    "error reading llm response: bufio.Scanner: token too long",
    "dial tcp 10.0.0.1:443: connect: connection refused by the registry",
)
LATE_REFUSALS = (
    'option "temperature" must be of type float32',
    'invalid format: "\\"bogus\\""; expected "json" or a valid JSON Schema object',
    "invalid JSON schema in format",
    "Failed to create new sequence: failed to process inputs: this model is missing data required for image input",
    "Failed to create new sequence: failed to process inputs: image: unknown format",
    "this model only supports one image while more than one image requested",
)


@pytest.mark.parametrize("words", KILLED)
def test_a_dead_runner_is_waited_for_before_the_answer_and_in_the_middle_of_it(words: str) -> None:
    assert says_runner_is_dead(words)
    for failure in (failure_of(500, b'{"error":%b}' % _json(words)), failure_in(words)):
        assert (failure.is_retryable, failure.is_runner_dead) == (True, True)
        assert isinstance(failure.error, UpstreamError)
        assert words in failure.error.message
    assert not failure_of(400, b'{"error":%b}' % _json(words)).is_retryable


@pytest.mark.parametrize(
    "words", ["health resp: ", "error reading llm response: ", 'option "', "EOF", "connection re", "x"]
)
def test_no_error_takes_long_to_read(words: str) -> None:
    long = words * ((1 << 20) // len(words))
    before = time.thread_time()
    failure = failure_in(long)
    says_runner_is_dead(long)
    is_refusal(500, long)
    assert time.thread_time() - before < 1
    assert len(failure.error.message) <= MAX_READ


@pytest.mark.parametrize("words", [*NOT_KILLED, *LATE_REFUSALS])
def test_other_errors_of_a_model_are_not_waited_for(words: str) -> None:
    assert not says_runner_is_dead(words)
    assert not failure_in(words).is_retryable


@pytest.mark.parametrize("words", ["health resp: ", "error reading llm response: "])
def test_the_words_of_a_long_error_are_soon_read(words: str) -> None:
    """A line of Ollama's may have 8 MiB, and no other thread gets the interpreter meanwhile."""
    began = time.process_time()
    assert not says_runner_is_dead(words * 10_000)
    assert time.process_time() - began < 1
    assert says_runner_is_dead(f"{words}EOF" + words * 10_000)


@pytest.mark.parametrize("status", [400, 406, 409, 410, 413, 414, 415, 422, 431, 451])
def test_a_refusal_for_good_is_the_clients(status: int) -> None:
    failure = failure_of(status, b'{"error":"the input length exceeds the context length"}')
    assert isinstance(failure.error, UpstreamRefused)
    assert (failure.error.status, failure.error.code, failure.is_retryable) == (400, "upstream_refused", False)
    assert failure.error.words == "the input length exceeds the context length"


@pytest.mark.parametrize("words", LATE_REFUSALS)
def test_what_ollama_looks_at_late_is_refused_with_500(words: str) -> None:
    assert is_refusal(500, words)
    assert not is_refusal(502, words)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407, 408, 421, 425, 426, 429, 499])
def test_what_no_better_message_cures_is_not_the_clients(status: int) -> None:
    failure = failure_of(status, b'{"error":"no"}')
    assert type(failure.error) is UpstreamError
    assert (failure.error.status, failure.is_retryable) == (502, False)
    assert failure.error.message == f"Ollama answered with status {status}: no"


@pytest.mark.parametrize(
    ("status", "is_retryable", "is_dead"), [(500, True, True), (503, True, False), (504, False, False)]
)
def test_only_ollamas_own_500_tells_of_a_dead_runner(status: int, is_retryable: bool, is_dead: bool) -> None:
    failure = failure_of(status, b'{"error":"llama runner process no longer running: -1"}')
    assert (failure.is_retryable, failure.is_runner_dead) == (is_retryable, is_dead)


def test_a_model_that_is_missing_stays_one() -> None:
    assert type(failure_of(404, b'{"error":"model \'x\' not found"}').error) is ModelNotFound
    assert type(failure_of(404, b'{"error":{"message":"model \'x\' not found"}}').error) is ModelNotFound
    assert failure_of(400, b"").error.message.endswith("status 400")


def _json(text: str) -> bytes:
    return b'"%b"' % text.replace("\\", "\\\\").replace('"', '\\"').encode()
