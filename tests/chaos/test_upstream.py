"""Ollama stops, dies, comes back changed, or is cut at any byte: the reader gets one answer and one true end."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.chaos.scale import long_only, scaled
from tests.http.asking import ask, finish, opening, reason, said, session
from tests.support.answer import Answer, encode_frame
from tests.support.client import StreamClient
from tests.support.embedded import Embedded
from tests.support.gateway import Gateway
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama, Step, call, done, drop, hang, status, text, texts
from tests.support.sse import end_of, text_of
from tests.support.tools import DEADLINE_S, wait_for

PATIENT = {"smoothing_ms": 0, "retry_seconds": 60}
WORDS = "故宫、天坛 \n\n颐和园 👩‍👧 é end. "
SIZE = 4


def recorded() -> bytes:
    """A whole answer as Ollama writes it: head, a chunk a frame, the terminating chunk."""
    frames = [*texts(*(WORDS[start : start + SIZE] for start in range(0, len(WORDS), SIZE))).bodies, *done().bodies]
    lines = [encode_frame(frame, DEFAULT_MODEL) for frame in frames]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nDate: Wed, 01 Jan 2025 00:00:00 GMT\r\n"
    chunks = [b"%x\r\n%b\r\n" % (len(line), line) for line in lines]
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n"


RECORDED = recorded()
LAST_FRAME_AT = RECORDED.index(b'"done":true')
CUTS = range(0, len(RECORDED), scaled(17, 1))


class Cut:
    """Sends the recorded answer up to the byte that the question names, and goes on when it is asked again.

    Threads: one a request.
    """

    def __init__(self, end: Callable[[Answer], None]) -> None:
        self._end = end
        self._lock = threading.Lock()
        self._asked: set[str] = set()

    def __call__(self, answer: Answer) -> None:
        """Play on one request."""
        messages = answer.request.messages
        cut = messages[0]["content"]
        with self._lock:
            is_first = cut not in self._asked
            self._asked.add(cut)
        if is_first:
            answer.write_raw(RECORDED[: int(cut)])
            self._end(answer)
            return
        told = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        assert WORDS.startswith(told), f"cut at {cut}, the partial text came back as {told!r}"
        text(WORDS[len(told) :]).play(answer)
        done().play(answer)


@pytest.mark.deadline(300)
@pytest.mark.parametrize("end", [Answer.drop, Answer.reset], ids=["fin", "rst"])
def test_a_recorded_answer_is_whole_wherever_it_is_cut(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, end: Callable[[Answer], None]
) -> None:
    ollama.default(call(Cut(end)))
    started = gateway(stream=PATIENT, logging={"level": "error"})

    def outcome(cut: int) -> tuple[str, str]:
        events = ask(started, {"message": str(cut)})
        return text_of(events), reason(events)

    with ThreadPoolExecutor(16) as pool:
        outcomes = dict(zip(CUTS, pool.map(outcome, CUTS), strict=True))
    assert {cut: got for cut, got in outcomes.items() if got != (WORDS, "stop")} == {}
    print(f"{len(CUTS)} cuts of {len(RECORDED)} bytes")


@pytest.mark.parametrize("frames", [0, 1, 50])
def test_an_answer_is_whole_when_ollama_dies_and_comes_back(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, frames: int
) -> None:
    """The whole process: the port refuses until it is back."""
    words = "".join(f"{index:03d} " for index in range(60))
    is_there = threading.Event()
    ollama.script(
        texts(*(words[start : start + SIZE] for start in range(0, frames * SIZE, SIZE))), call(_tell(is_there))
    )
    ollama.answer(words, token_size=SIZE)
    started = gateway(stream=PATIENT)
    with started.stream("hi") as stream:
        assert is_there.wait(DEADLINE_S)
        stream.read_until(lambda _: text_of(stream.events) == words[: frames * SIZE])
        ollama.stop(reset=True)
        stream.read_until(lambda event: event.data.get("attempt") == 3)
        ollama.start()
        events = finish(stream)
    assert (text_of(events), reason(events)) == (words, "stop")


def _tell(is_there: threading.Event) -> Callable[[Answer], None]:
    def play(answer: Answer) -> None:
        is_there.set()
        answer.hang()

    return play


def test_an_ollama_that_lacks_the_model_when_it_is_back_is_told_at_once(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    ollama.script(text("half "), drop())
    started = gateway(stream=PATIENT)
    with started.stream(opening("s-other")) as stream:
        stream.read_text("half ")
        ollama.stop()
        stream.read_until(lambda event: event.data.get("status") == "waiting")
        ollama.models[:] = ["another:1b"]
        ollama.start()
        events = finish(stream)
    assert (text_of(events), reason(events)) == ("half ", "model_not_found")
    assert DEFAULT_MODEL in end_of(events)["error"]["message"]
    assert session(started, "s-other")["messages"][-1]["content"] == "half ", "it can be gone on with"


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (status(500, {"error": "no memory"}), "upstream_error"),
        (status(404, {"error": f"model '{DEFAULT_MODEL}' not found"}), "model_not_found"),
        (status(400, {"error": "does not support chat"}), "upstream_refused"),
    ],
    ids=repr,
)
def test_an_error_at_the_second_attempt_ends_what_had_not_begun(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, second: Step, expected: str
) -> None:
    ollama.script(status(503, {"error": "server busy, please try again.  maximum pending requests exceeded"}))
    ollama.script(second)
    events = ask(gateway(stream=PATIENT), "hi")
    assert reason(events) == expected
    assert [data["attempt"] for data in said(events)] == [2]


STALL_S = scaled(2.5, 5.0)
"""The default, which an Ollama that is stopped for 4 s does not reach. The short form halves both."""


@contextmanager
def stopped(pid: int, seconds: float) -> Iterator[None]:
    """Stop a process, and let it go on after some seconds, or when the test is done with it."""
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        os.kill(pid, signal.SIGCONT)


@pytest.mark.deadline(120)
def test_an_ollama_that_stops_for_four_fifths_of_the_stall_is_waited_for_and_for_six_is_not(
    gateway: Callable[..., Gateway],
) -> None:
    with Embedded() as model:
        endpoint = {"endpoint": model.base_url, "model_name": model.model}
        started = gateway(model=endpoint, stream={"stall_seconds": STALL_S, "smoothing_ms": 0})
        question = {"message": "Name the sights of Beijing.", "options": {"temperature": 0, "num_predict": 300}}
        started.post("/api/chat", {"message": "Hi", "stream": False, "options": {"num_predict": 1}})  # it is loaded
        with started.stream(question) as stream:
            stream.read_until(lambda event: event.is_text)
            with stopped(model.pid, STALL_S * 0.8):
                _read_through_silence(stream)
            stream.read_all(4 * DEADLINE_S)  # 300 tokens, on a machine that may be busy
            events = finish(stream)
        assert reason(events) in ("stop", "length")
        assert not any("status" in event.data for event in events), "it was not asked again"
        with started.stream(question) as stream:
            stream.read_until(lambda event: event.is_text)
            with stopped(model.pid, 60):
                events = finish(stream)
        assert reason(events) == "upstream_stalled"
        assert reason(ask(started, {**question, "options": {"num_predict": 3}})) == "length", "and then it serves again"


def _read_through_silence(stream: StreamClient) -> None:
    """Read until the model speaks again: earlier text is still on its way when it stops."""
    last_at = time.monotonic()
    while True:
        event = stream.read_until(lambda event: event.is_text or event.is_end)[-1]
        assert not event.is_end, f"the answer ended before the model was stopped long enough: {event}"
        if event.at - last_at > STALL_S / 2:
            return
        last_at = event.at


@long_only
@pytest.mark.deadline(120)
@pytest.mark.parametrize("tokens", [1, "done"])
def test_the_real_model_killed_at_its_first_token_and_at_its_last(
    gateway: Callable[..., Gateway], tokens: int | str
) -> None:
    options = {"temperature": 0, "seed": 1, "num_predict": 40}
    messages = [{"role": "user", "content": "Name three sights in Beijing."}]
    model = Embedded()
    try:
        whole = "".join(model.answer(messages, options))
        endpoint = {"endpoint": model.base_url, "model_name": model.model}
        started = gateway(model=endpoint, stream={"retry_seconds": 120, "stall_seconds": 60, "smoothing_ms": 0})
        with started.stream({"messages": messages, "options": options}) as stream:
            stream.read_until(lambda event: event.is_text if tokens == 1 else event.is_end)
            model.signal(signal.SIGKILL)
            model.wait()
            if tokens == 1:
                stream.read_until(lambda event: event.data.get("status") == "waiting")
                model.stop()
                model = Embedded(model.port)
            stream.read_all(4 * DEADLINE_S)
            assert text_of(stream.events) == whole
            assert end_of(stream.events)["done_reason"] in ("stop", "length")
    finally:
        model.stop()


def test_a_connection_that_is_accepted_and_never_answered_is_found_out(gateway: Callable[..., Gateway]) -> None:
    """A stopped process: its kernel goes on accepting."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        endpoint = {"endpoint": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        started = gateway(model=endpoint, stream={"first_frame_seconds": 0.3, "heartbeat_seconds": 0.2})
        began_at = time.monotonic()
        events = ask(started, "hi")
    ended = end_of(events)["error"]
    assert ended["code"] == "upstream_timeout"
    assert "Ollama as a whole does not answer" in ended["message"]
    assert sum(event.is_ping for event in events) >= (time.monotonic() - began_at) / 0.2 / 3, "pings went on"
    wait_for(lambda: started.get("/api/status").json["streams"] == 0, "its slot is free")


def test_hanging_answers_do_not_hold_up_an_interrupt_of_another(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    ollama.default(hang())
    started = gateway(stream={**PATIENT, "first_frame_seconds": 600}, server={"max_streams": 30})
    streams = [started.stream(opening(f"s-hang-{number}")) for number in range(30)]
    for _ in streams:
        ollama.next_request()
    for number, stream in enumerate(streams):
        reply = started.post("/api/interrupt", {"session_id": f"s-hang-{number}"})
        assert reply.json["interrupted"] is True
        assert reason(finish(stream)) == "interrupted"
        stream.close()
