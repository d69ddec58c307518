"""One body takes at most 2 × its length of memory where it is refused, and 4 × where it is accepted.

Measured on the real process, whose peak the kernel keeps. Its Ollama reads and forgets: a scripted one would take more
of the machine than the gateway does.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.client import StreamClient
from tests.support.connection import Connection
from tests.support.gateway import Gateway
from tests.support.proc import forget_peak, peak_bytes_of, resources_of
from tests.support.server import SocketServer
from tests.support.tools import require_procfs, wait_for

MB = 1 << 20
SLACK_BYTES = 4 * MB
"""The memory that any request may take besides, for its elements and the pieces that are looked at."""
FRAME = b'{"message":{"role":"assistant","content":"a"},"done":false}\n'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
EMOJI = "🙂".encode()
QUESTION = b'{"messages":[{"role":"user","content":"'
END = b'"}]}'
PNG = b"iVBORw0KGgoA"
DATA = b"data:image/png;base64,"
PICTURE = b'{"messages":[{"role":"user","images":["' + PNG
END_OF_PICTURE = b'"]}]}'


def filled(size: int, before: bytes, unit: bytes, after: bytes) -> bytes:
    """Return a body of about that size: one unit repeated between a beginning and an end."""
    return before + unit * ((size - len(before) - len(after)) // len(unit)) + after


def listed(count: int, before: bytes, unit: bytes, after: bytes, size: int) -> bytes:
    """Return a body of that size: a list of so many equal units, and spaces behind it."""
    body = before + b",".join([unit] * count) + after
    return body + b" " * (size - len(body))


TAKEN: dict[str, Callable[[], bytes]] = {
    "a text": lambda: filled(4 * MB, QUESTION, b"a", END),
    "a text with one emoji": lambda: filled(16 * MB, QUESTION + EMOJI, b"a", END),
    "escapes": lambda: filled(4 * MB, QUESTION, b'\\"', END),
    "an increment with one emoji": lambda: filled(4 * MB, b'{"message":"' + EMOJI, b"a", b'"}'),
    "a format": lambda: filled(4 * MB, b'{"message":"x","format":{"title":"' + EMOJI, b"a", b'"}}'),
    "tools": lambda: filled(4 * MB, b'{"message":"x","tools":[{"title":"' + EMOJI, b"a", b'"}]}'),
    "an unknown field": lambda: filled(4 * MB, b'{"message":"x","other":"' + EMOJI, b"a", b'"}'),
    "tiny messages": lambda: listed(32_000, b'{"messages":[', b'{"role":"user"}', b"]}", MB),
    "short messages": lambda: listed(21_000, b'{"messages":[', b'{"role":"user","content":"a"}', b"]}", MB),
    "objects": lambda: listed(32_000, b'{"message":"x","other":[', b'{"a":0}', b"]}", MB),
    "a picture": lambda: filled(16 * MB, PICTURE, b"AAAA", END_OF_PICTURE),
    "a picture behind data:": lambda: filled(4 * MB, PICTURE.replace(PNG, DATA + PNG), b"AAAA", END_OF_PICTURE),
    "a picture in lines": lambda: filled(4 * MB, PICTURE, b"A" * 76 + b"\\n", END_OF_PICTURE),
    "a picture in escapes": lambda: filled(4 * MB, PICTURE, b"\\u0041" * 4, END_OF_PICTURE),
    "tiny pictures": lambda: listed(16_000, b'{"messages":[', b'{"role":"user","images":["R0lGODlh"]}', b"]}", MB),
}
REFUSED: dict[str, Callable[[], bytes]] = {
    "a million members": lambda: filled(16 * MB, b'{"message":"x","options":{', b'"a":0,', b'"b":0}}'),
    "a million options": lambda: filled(4 * MB, b'{"message":"x","options":{"stop":[0', b",0", b"]}}"),
    "texts": lambda: filled(4 * MB, b'{"message":"x","other":[""', b',"ab"', b"]}"),
    "lists": lambda: filled(4 * MB, b'{"message":"x","other":[[]', b",[]", b"]}"),
    "nothing but quotes": lambda: b'"' * (4 * MB),
    "nothing but backslashes": lambda: b'{"a":"' + b"\\" * (4 * MB),
    "a long model": lambda: filled(4 * MB, b'{"message":"x","model":"' + EMOJI, b"a", b'"}'),
    "a long role": lambda: filled(4 * MB, b'{"messages":[{"role":"' + EMOJI, b"a", END),
    "a long name": lambda: filled(4 * MB, b'{"message":"x","' + EMOJI, b"a", b'":0}'),
    "a long number": lambda: filled(4 * MB, b'{"message":"x","keep_alive":', b"1", b"}"),
    "a mistake at the end": lambda: filled(16 * MB, QUESTION + EMOJI, b"a", b'"},{"role":"x"}]}'),
    "empty images": lambda: listed(65_000, b'{"messages":[{"role":"user","images":[', b'""', b"]}]}", MB),
    "a picture with one emoji": lambda: filled(16 * MB, PICTURE + b"\\/" + EMOJI, b"A", END_OF_PICTURE),
    "nothing but padding": lambda: filled(4 * MB, PICTURE, b"=", END_OF_PICTURE),
    "no UTF-8 at the end": lambda: filled(4 * MB, QUESTION, b"a", b"\xff" + END),
}

PARTS = b'{"stream":true,"messages":[{"role":"user","content":['
END_OF_PARTS = b"]}]}"
PART, END_OF_PART = b'{"type":"text","text":"', b'"}'
URL = b'{"type":"image_url","image_url":{"url":"' + DATA + PNG
CALLS = b'{"stream":true,"messages":[{"role":"assistant","tool_calls":['
ARGUMENTS, END_OF_ARGUMENTS = b'{"id":"x","function":{"name":"f","arguments":"{\\"a\\":\\"', b'\\"}"}}'
TAKEN_BY_OPENAI: dict[str, Callable[[], bytes]] = {
    "a part with one emoji": lambda: filled(4 * MB, PARTS + PART + EMOJI, b"a", END_OF_PART + END_OF_PARTS),
    "two parts": lambda: filled(
        8 * MB, PARTS + PART + b"a" * (4 * MB) + END_OF_PART + b"," + PART + EMOJI, b"a", END_OF_PART + END_OF_PARTS
    ),
    "tiny parts": lambda: listed(16_000, PARTS, PART + b"a" + END_OF_PART, END_OF_PARTS, MB),
    "a picture by its address": lambda: filled(4 * MB, PARTS + URL, b"AAAA", b'"}}' + END_OF_PARTS),
    "arguments with one emoji": lambda: filled(
        4 * MB, CALLS + ARGUMENTS + EMOJI, b"a", END_OF_ARGUMENTS + END_OF_PARTS
    ),
    "arguments in escapes": lambda: filled(4 * MB, CALLS + ARGUMENTS, b"\\\\n", END_OF_ARGUMENTS + END_OF_PARTS),
    "tiny calls": lambda: listed(13_000, CALLS, b'{"function":{"name":"f"}}', END_OF_PARTS, MB),
    "tiny messages": lambda: listed(32_000, b'{"stream":true,"messages":[', b'{"role":"user"}', b"]}", MB),
    "thinking": lambda: filled(
        4 * MB, b'{"stream":true,"messages":[{"role":"assistant","reasoning":"' + EMOJI, b"a", END
    ),
}
REFUSED_BY_OPENAI: dict[str, Callable[[], bytes]] = {
    "no picture": lambda: filled(4 * MB, PARTS + URL + EMOJI, b"AAAA", b'"}}' + END_OF_PARTS),
    "a long kind": lambda: filled(4 * MB, PARTS + b'{"type":"' + EMOJI, b"a", END_OF_PART + END_OF_PARTS),
    "a long id": lambda: filled(4 * MB, CALLS + b'{"id":"' + EMOJI, b"a", b'","function":{"name":"f"}}' + END_OF_PARTS),
    "a mistake at the end": lambda: filled(4 * MB, PARTS + PART, b"a", END_OF_PART + b',{"type":"x"}' + END_OF_PARTS),
}

TURN = b'{"max_tokens":9,"stream":true,"messages":[{"role":"user","content":['
INPUT = b'{"stream":true,"input":['
RESULT = b'{"type":"tool_result","tool_use_id":"x"}'
USE = b'{"type":"tool_use","id":"x","name":"f","input":{"a":"'
ITEM = b'{"type":"function_call","call_id":"x","name":"f","arguments":"'
LONG_NAME = ITEM.replace(b'"f"', b'"%b"' % (b"f" * 128)) + b'{}"},'
OUTPUT = b'{"type":"function_call_output","call_id":"x","output":"a"}'
TAKEN_BY_OTHERS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "tiny blocks": ("messages", lambda: listed(16_000, TURN, PART + b"a" + END_OF_PART, END_OF_PARTS, MB)),
    "tiny results": ("messages", lambda: listed(20_000, TURN, RESULT, END_OF_PARTS, MB)),
    "a tool's input": ("messages", lambda: filled(4 * MB, TURN + USE + EMOJI, b"a", b'"}}' + END_OF_PARTS)),
    "an input with one emoji": ("responses", lambda: filled(4 * MB, b'{"stream":true,"input":"' + EMOJI, b"a", b'"}')),
    "arguments in escapes": (
        "responses",
        lambda: filled(4 * MB, INPUT + ITEM + b'{\\"a\\":\\"', b"\\\\n", b'\\"}"}]}'),
    ),
    "outputs of a tool with a long name": ("responses", lambda: listed(16_000, INPUT + LONG_NAME, OUTPUT, b"]}", MB)),
    "tiny outputs": ("responses", lambda: listed(16_000, INPUT, OUTPUT, b"]}", MB)),
}


def swallow(connection: Connection) -> None:
    """Answer any chat with one frame, and keep the answer open until the gateway leaves."""
    taken = b""
    while b"\r\n\r\n" not in taken and (piece := connection.receive()):
        taken += piece
    head, _, rest = taken.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    left = length - len(rest)
    while left > 0 and (piece := connection.receive()):
        left -= len(piece)
    connection.send(HEAD + b"%x\r\n%b\r\n" % (len(FRAME), FRAME))
    connection.receive()


@pytest.fixture(scope="module")
def swallowing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that keeps one session, before an Ollama that reads and forgets."""
    require_procfs()
    server = SocketServer(swallow, host="127.0.0.1", port=0)
    server.start()
    config: dict[str, dict[str, Any]] = {
        "model": {"endpoint": f"http://127.0.0.1:{server.port}"},
        "stream": {"stall_seconds": 600},
        "logging": {"level": "error"},
    }
    with Gateway(config, tmp_path_factory.mktemp("swallowing")) as gateway:
        gateway.baseline()
        for _ in range(10):  # every thread needs some memory once
            assert gateway.post("/api/chat", {"message": 5}).status == 400
        with StreamClient(gateway.base_url, {"message": "hi"}) as stream:  # and so does the first answer
            stream.read_text("a")
        yield gateway
    server.close()


@contextmanager
def measured(gateway: Gateway) -> Iterator[Callable[[], tuple[int, int]]]:
    """Yield a function that returns the growth of the worker's memory: at its peak, and now."""
    pid = gateway.worker_pid
    before = resources_of(pid)["rss_bytes"]
    forget_peak(pid)
    yield lambda: (peak_bytes_of(pid) - before, resources_of(pid)["rss_bytes"] - before)


@pytest.mark.parametrize("name", TAKEN)
def test_a_body_that_is_taken_costs_at_most_four_times_its_length(swallowing: Gateway, name: str) -> None:
    body = TAKEN[name]()
    with measured(swallowing) as memory:
        with StreamClient(swallowing.base_url, body) as stream:
            stream.read_text("a")
            peak, held = memory()
            session_id = stream.events[0].data["session_id"]
        assert peak <= 4 * len(body) + SLACK_BYTES
        assert held <= 2 * len(body) + SLACK_BYTES, "it keeps more than the prompt while its answer streams"
        assert swallowing.delete(f"/api/sessions/{session_id}").status == 204
        wait_for(lambda: memory()[1] <= SLACK_BYTES, "the memory is given back")


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_is_refused_costs_at_most_twice_its_length(swallowing: Gateway, name: str) -> None:
    body = REFUSED[name]()
    with measured(swallowing) as memory:
        assert swallowing.post("/api/chat", body).status == 400
        assert memory()[0] <= 2 * len(body) + SLACK_BYTES
        wait_for(lambda: memory()[1] <= SLACK_BYTES, "the memory is given back")


@pytest.mark.parametrize("name", TAKEN_BY_OPENAI)
def test_a_body_in_openais_form_costs_no_more(swallowing: Gateway, name: str) -> None:
    body = TAKEN_BY_OPENAI[name]()
    with measured(swallowing) as memory:
        with StreamClient(swallowing.base_url, body, path="/v1/chat/completions") as stream:
            while b'"content":"a"' not in stream.received:
                assert stream.read_line(), stream.received
            peak, held = memory()
        assert peak <= 4 * len(body) + SLACK_BYTES
        assert held <= 2 * len(body) + SLACK_BYTES, "it keeps more than the prompt while its answer streams"
        wait_for(lambda: memory()[1] <= SLACK_BYTES, "the memory is given back")


@pytest.mark.parametrize("name", REFUSED_BY_OPENAI)
def test_a_body_in_openais_form_that_is_refused_costs_no_more(swallowing: Gateway, name: str) -> None:
    body = REFUSED_BY_OPENAI[name]()
    with measured(swallowing) as memory:
        assert swallowing.post("/v1/chat/completions", body).status == 400
        assert memory()[0] <= 2 * len(body) + SLACK_BYTES
        wait_for(lambda: memory()[1] <= SLACK_BYTES, "the memory is given back")


@pytest.mark.parametrize("name", TAKEN_BY_OTHERS)
def test_a_body_in_another_form_costs_no_more(swallowing: Gateway, name: str) -> None:
    path, make = TAKEN_BY_OTHERS[name]
    body = make()
    with measured(swallowing) as memory:
        with StreamClient(swallowing.base_url, body, path=f"/v1/{path}") as stream:
            while b"delta" not in stream.received:
                assert stream.read_line(), stream.received
            peak, held = memory()
        assert peak <= 4 * len(body) + SLACK_BYTES
        assert held <= 2 * len(body) + SLACK_BYTES, "it keeps more than the prompt while its answer streams"
        wait_for(lambda: memory()[1] <= SLACK_BYTES, "the memory is given back")


def test_many_readers_of_one_long_session_hold_no_copies_of_it(swallowing: Gateway) -> None:
    body = TAKEN["a text with one emoji"]()
    with StreamClient(swallowing.base_url, body) as stream, ExitStack() as stack:
        stream.read_text("a")
        path = f"/api/sessions/{stream.events[0].data['session_id']}"
        assert len(swallowing.get(path).json["messages"][0]["content"]) > 15 * MB
        with measured(swallowing) as memory:
            for _ in range(20):
                reader = stack.enter_context(socket.create_connection(("127.0.0.1", swallowing.port)))
                reader.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
                assert reader.recv(1) == b"H"
            assert memory()[0] <= 2 * len(body)


def test_of_many_who_read_a_long_session_at_once_some_are_refused_as_busy(swallowing: Gateway) -> None:
    """The digest decodes each escape: 0.1 s of CPU for a request of 60 bytes would hold up every other request."""
    body = filled(16 * MB, b'{"message":"\\u0041' + EMOJI, b"a", b'"}')
    with StreamClient(swallowing.base_url, body) as stream:
        stream.read_text("a")
        path = f"/api/sessions/{stream.events[0].data['session_id']}"
        with ThreadPoolExecutor(24) as pool:
            replies = list(pool.map(lambda _: swallowing.get(path), range(24)))
        assert {reply.status for reply in replies} == {200, 503}
        busy = next(reply for reply in replies if reply.status == 503)
        assert (busy.json["error"]["code"], busy.headers["Retry-After"]) == ("busy", "1")
        assert swallowing.get(path).status == 200
