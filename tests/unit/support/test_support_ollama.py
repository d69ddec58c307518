"""The scripted Ollama, as a plain socket client sees it."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.support.client import StreamClient, call, get, post
from tests.support.ollama import (
    DEFAULT_MODEL,
    ScriptedOllama,
    Step,
    batch,
    chunk,
    done,
    drop,
    end,
    error_line,
    every,
    frame,
    hang,
    headers,
    keep,
    line,
    notify,
    raw,
    reset,
    status,
    text,
    texts,
    thinking,
    tool_calls,
    wait,
)
from tests.support.tools import DEADLINE_S, wait_for

ASK = {"model": DEFAULT_MODEL, "messages": [{"role": "user", "content": "Hi."}]}
SEEN_WITHIN_S = 0.05


def ask(ollama: ScriptedOllama, *steps: Step) -> StreamClient:
    """Send a chat that is answered by these steps."""
    ollama.script(*steps)
    return StreamClient(ollama.base_url, ASK)


@pytest.mark.parametrize("ending", [done(), end(), error_line("boom"), done(is_terminated=False)])
def test_chunks_are_frames_when_each_is_its_own(ollama: ScriptedOllama, ending: Step) -> None:
    with ask(ollama, texts("春", "光"), ending, drop()) as client:
        client.read_body()
        assert client.status == 200
        assert client.headers["Content-Type"] == "application/x-ndjson"
        assert client.chunks[:2] == [line(text("春")), line(text("光"))]
        assert client.complete == (ending != done(is_terminated=False))


def test_batch_is_one_chunk_when_it_ends_the_answer_too(ollama: ScriptedOllama) -> None:
    with ask(ollama, batch(text("a"), thinking("b"), tool_calls([{"function": {"name": "f"}}]), done())) as client:
        body = client.read_body()
        assert len(client.chunks) == 1
        assert body.count(b"\n") == 4
        assert client.complete
        assert ollama.next_request().thinking_sent == "b"


def test_frame_leaves_as_given_when_it_is_none_of_ollamas(ollama: ScriptedOllama) -> None:
    with ask(ollama, frame({"a": "<&>"}), end()) as client:
        assert client.read_body() == b'{"a":"\\u003c\\u0026\\u003e"}\n'


def test_frame_is_cut_anywhere_when_chunks_are_bytes(ollama: ScriptedOllama) -> None:
    whole = line(text("春光"))
    for cut in range(1, len(whole)):
        with ask(ollama, chunk(whole[:cut]), chunk(whole[cut:]), done()) as client:
            assert client.read_body().startswith(whole)
            assert client.chunks[:2] == [whole[:cut], whole[cut:]]
        assert ollama.next_request().text_sent == "春光"


def test_body_has_no_terminating_chunk_when_dropped(ollama: ScriptedOllama) -> None:
    with ask(ollama, text("a"), drop()) as client:
        assert client.read_body() == line(text("a"))
        assert not client.complete
        assert client.was_closed
        assert not client.was_reset


def test_connection_closes_without_a_byte_when_dropped_at_once(ollama: ScriptedOllama) -> None:
    with ask(ollama, drop()) as client, pytest.raises(ConnectionError):
        client.read_headers()


def test_client_sees_a_reset_when_reset(ollama: ScriptedOllama) -> None:
    sent = threading.Event()
    gate = threading.Event()
    with ask(ollama, text("a"), notify(sent), wait(gate), reset()) as client:
        assert client.read_line() == line(text("a"))
        assert sent.wait(DEADLINE_S)
        gate.set()
        assert client.read_line() == b""
        assert client.was_reset
        assert not client.complete


def test_body_is_whole_when_its_length_is_reached(ollama: ScriptedOllama) -> None:
    whole = line(text("a"))
    with ask(ollama, headers(content_length=len(whole)), text("a")) as client:
        assert client.read_body() == whole
        assert client.complete
        assert client.chunks == []


def test_body_is_short_when_dropped_before_its_length(ollama: ScriptedOllama) -> None:
    with ask(ollama, headers(content_length=1000), text("a"), drop()) as client:
        client.read_body()
        assert not client.complete


def test_body_lasts_until_close_when_told_so(ollama: ScriptedOllama) -> None:
    with ask(ollama, headers(until_close=True, extra={"X-A": "1"}), text("a"), end()) as client:
        assert client.read_body() == line(text("a"))
        assert client.headers["X-A"] == "1"
        assert client.was_closed


def test_bytes_are_unchanged_when_raw(ollama: ScriptedOllama) -> None:
    with ask(ollama, raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), keep()) as client:
        assert client.read_body() == b"ok"
    with ask(ollama, headers(), raw(b"ff\r\nshort"), drop()) as client:
        assert client.read_body() == b""
        assert not client.complete


@pytest.mark.parametrize(("code", "body"), [(500, {"error": "boom"}), (503, {"error": "busy"}), (403, b"")])
def test_response_is_an_error_when_status(ollama: ScriptedOllama, code: int, body: dict[str, str] | bytes) -> None:
    ollama.script(status(code, body))
    reply = post(ollama.base_url, "/api/chat", ASK)
    assert (reply.status, reply.json) == (code, body or None)


def test_no_byte_comes_when_the_script_waits_first(ollama: ScriptedOllama) -> None:
    gate = threading.Event()
    with ask(ollama, wait(gate), text("a"), done()) as client:
        ollama.next_request()
        with pytest.raises(TimeoutError):
            client.read_headers(timeout=0.05)
        gate.set()
        assert client.read_line() == line(text("a"))


@pytest.mark.parametrize(
    "steps",
    [(wait(threading.Event()),), (hang(),), (text("a"), hang()), (headers(), every(30, 2, lambda _: text("a")))],
)
@pytest.mark.parametrize("way", ["close", "reset", "shutdown_write"])
def test_close_is_seen_at_once_when_the_script_is_silent(
    ollama: ScriptedOllama, steps: tuple[Step, ...], way: str
) -> None:
    with ask(ollama, *steps) as client:
        request = ollama.next_request()
        assert not request.closed.is_set()
        assert ollama.open_connections == 1
        left_at = time.monotonic()
        getattr(client, way)()
        assert request.closed.wait(DEADLINE_S)
        assert request.closed_at is not None
        assert request.closed_at - left_at < SEEN_WITHIN_S
        assert ollama.open_connections == 0
        assert request.finished.wait(DEADLINE_S)


def test_close_is_seen_when_the_client_reads_nothing(ollama: ScriptedOllama) -> None:
    ollama.script(texts(*["x" * 65536] * 400), done())
    with StreamClient(ollama.base_url, ASK, receive_buffer_bytes=4096) as client:
        request = ollama.next_request()
        client.read_headers()
        client.reset()
        assert request.closed.wait(DEADLINE_S)
        assert request.finished.wait(DEADLINE_S)
        assert len(request.text_sent) < 400 * 65536


def test_connection_is_kept_when_the_answer_is_whole(ollama: ScriptedOllama) -> None:
    ollama.script(text("a"), done())
    with socket.create_connection(("127.0.0.1", ollama.port), DEADLINE_S) as sock:
        for _ in range(2):
            sock.sendall(b"GET /api/version HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 OK")
        assert [request.connection for request in ollama.requests] == [1, 1]
    wait_for(lambda: ollama.open_connections == 0, "the idle connection's close is seen")


def test_request_is_read_when_chunked_and_in_pieces(ollama: ScriptedOllama) -> None:
    whole = (
        b"POST /api/chat?x=1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'11\r\n{"model": "none",\r\n12\r\n"messages": [{}]} \r\n0\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", ollama.port), DEADLINE_S) as sock:
        for index in range(len(whole)):
            sock.sendall(whole[index : index + 1])
        request = ollama.next_request()
        assert request.json == {"model": "none", "messages": [{}]}
        assert request.query == "x=1"
        assert sock.recv(4096).startswith(b"HTTP/1.1 404")


def test_ollama_refuses_and_comes_back_when_stopped_and_started() -> None:
    with ScriptedOllama() as ollama:
        for is_reset in (False, True):
            with ask(ollama, text("a"), hang()) as client:
                request = ollama.next_request()
                client.read_line()
                ollama.stop(reset=is_reset)
                assert client.read_line() == b""
                assert client.was_reset == is_reset
                assert not client.complete
                assert not request.closed.is_set()
            with pytest.raises(ConnectionRefusedError):
                get(ollama.base_url, "/")
            ollama.start()
            assert get(ollama.base_url, "/").json == "Ollama is running"
            wait_for(lambda: ollama.open_connections == 0, "the question's connection to be closed")
        assert ollama.max_open_connections == 1
        assert not ollama.problems


def test_port_is_known_and_refuses_when_never_started() -> None:
    ollama = ScriptedOllama()
    with pytest.raises(ConnectionRefusedError):
        get(ollama.base_url, "/")
    with ollama:
        port = ollama.port
        assert get(ollama.base_url, "/").status == 200
    with ScriptedOllama(port) as again:
        assert get(again.base_url, "/").status == 200


def test_unscripted_paths_answer_as_ollama_does(ollama: ScriptedOllama) -> None:
    url = ollama.base_url
    assert get(url, "/").json == "Ollama is running"
    assert call("HEAD", url, "/")[0::2] == (200, None)
    assert "version" in get(url, "/api/version").json
    assert [model["name"] for model in get(url, "/api/tags").json["models"]] == ["qwen3:32b"]
    assert get(url, "/api/ps").json == {"models": []}
    assert post(url, "/api/show", {"model": "qwen3:32b"}).status == 200
    assert get(url, "/nothing").status == 404
    assert get(url, "/", headers={"Host": "evil.example"})[0::2] == (403, None)
    assert get(url, "/", headers={"Origin": "http://localhost"}).status == 403


def test_chat_loads_and_unloads_when_it_has_no_messages(ollama: ScriptedOllama) -> None:
    ollama.script(status(500))
    assert post(ollama.base_url, "/api/chat", {"model": DEFAULT_MODEL}).json["done_reason"] == "load"
    ollama.loaded = [DEFAULT_MODEL]
    assert post(ollama.base_url, "/api/generate", {"model": DEFAULT_MODEL, "keep_alive": 0}).status == 200
    assert ollama.loaded == []
    assert post(ollama.base_url, "/api/chat", ASK).status == 500


def test_unknown_model_is_404_unless_unchecked(ollama: ScriptedOllama) -> None:
    other = {**ASK, "model": "x"}
    reply = post(ollama.base_url, "/api/chat", other)
    assert (reply.status, reply.json) == (404, {"error": "model 'x' not found"})
    ollama.checks_model = False
    assert post(ollama.base_url, "/api/chat", other).status == 200


def test_any_path_can_be_scripted(ollama: ScriptedOllama) -> None:
    ollama.script(status(500, {"error": "boom"}), path="/api/version")
    assert get(ollama.base_url, "/api/version").status == 500
    assert get(ollama.base_url, "/api/version").status == 200
    assert len([request for request in ollama.requests if request.path == "/api/version"]) == 2
    assert ollama.chats == []


def test_frames_are_paced_when_every(ollama: ScriptedOllama) -> None:
    with ask(ollama, every(0.02, 5, lambda index: text(str(index))), done()) as client:
        client.read_line()
        started_at = time.monotonic()
        client.read_body()
        assert 0.05 < time.monotonic() - started_at < 1
        assert ollama.next_request().text_sent == "01234"


def test_problem_is_noted_when_a_script_has_no_end() -> None:
    with ScriptedOllama() as ollama:
        with ask(ollama, text("a")) as client:
            client.read_body()
            assert not client.complete
        assert "no end" in ollama.problems[0]


def test_max_open_connections_counts_what_is_open_together(ollama: ScriptedOllama) -> None:
    ollama.default(hang())
    clients = [StreamClient(ollama.base_url, ASK) for _ in range(20)]
    requests = [ollama.next_request() for _ in clients]
    assert ollama.max_open_connections == 20
    for client in clients:
        client.close()
    assert all(request.closed.wait(DEADLINE_S) for request in requests)
    assert ollama.open_connections == 0
