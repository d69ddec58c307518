"""The shipped nginx before a real gateway: it buffers nothing, and every end reaches the other side."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, Step, done, hang, text, thinking, wait
from tests.support.tools import DEADLINE_S, wait_for

UNHURRIED = {"heartbeat_seconds": 3600, "stall_seconds": 600, "first_frame_seconds": 600}
"""Only the client's hang-up can end an answer: no heartbeat is written, no time-out passes."""
GONE_S = 5.0
"""The promise is 0.3 s. A loaded machine stays well below this limit, and the writing of a heartbeat well above."""


class Chain:
    """A gateway, and the nginx before it."""

    def __init__(self, gateway: Gateway, nginx: Nginx) -> None:
        self.gateway = gateway
        self.front = nginx.base_url

    def base_url(self, way: str) -> str:
        """The address for a client that goes this way."""
        return self.front if way == "nginx" else self.gateway.base_url


@pytest.fixture
def chain(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> Callable[..., Chain]:
    """Start a gateway with these sections, and nginx before it."""

    def start(**sections: object) -> Chain:
        started = gateway(**sections)
        return Chain(started, nginx(started))

    return start


def test_fragments_arrive_one_by_one(chain: Callable[..., Chain], ollama: ScriptedOllama) -> None:
    fragments = ["春", "光", "满", "园"]
    seen = [threading.Event() for _ in fragments]
    steps = [step for fragment, event in zip(fragments, seen, strict=True) for step in (text(fragment), wait(event))]
    ollama.script(*steps, done())
    headers = {"Accept-Encoding": "gzip, br", "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}
    with StreamClient(chain(stream=UNHURRIED).front, {"message": "诗"}, headers=headers) as stream:
        for fragment, event in zip(fragments, seen, strict=True):
            assert stream.read_until(lambda event: event.is_text)[-1].text == fragment
            event.set()  # only now may the model say the next one
        stream.read_all()
        sse.check(stream.events)
        assert stream.complete
        assert stream.headers["Content-Encoding"] is None
        assert stream.headers["Content-Type"] == "text/event-stream; charset=utf-8"


def test_heartbeats_pass_while_the_model_is_silent(chain: Callable[..., Chain], ollama: ScriptedOllama) -> None:
    heard = threading.Event()
    ollama.script(wait(heard), text("at last"), done())
    with StreamClient(chain(stream={"heartbeat_seconds": 0.1}).front, {"message": "Hi"}) as stream:
        for _ in range(3):
            stream.read_until(lambda event: event.is_ping)
        assert not any(event.is_text for event in stream.events)
        heard.set()
        stream.read_all()
        sse.check(stream.events)
        assert sse.text_of(stream.events) == "at last"


WAYS = [("direct", "close"), ("direct", "reset"), ("direct", "shutdown_write"), ("nginx", "close"), ("nginx", "reset")]
"""The ways in which a client leaves; whether nginx counts a half-close among them depends on its version."""
PHASES: dict[str, tuple[Step, ...]] = {"opening": (), "thinking": (thinking("hm"),), "text": (text("Well"),)}

IS_SILENT_AFTER: dict[str, Callable[[sse.Event], bool]] = {
    "opening": lambda event: "run_id" in event.data,
    "thinking": lambda event: "thinking" in event.data,
    "text": lambda event: event.is_text,
}


def test_model_stops_when_the_client_leaves_while_it_is_silent(
    chain: Callable[..., Chain], ollama: ScriptedOllama
) -> None:
    started = chain(stream=UNHURRIED)
    for phase, said in PHASES.items():
        for way, leave in WAYS:
            case = f"{phase}, {way}, {leave}"
            ollama.script(*said, hang())
            with StreamClient(started.base_url(way), {"message": "Hi"}) as stream:
                stream.read_until(IS_SILENT_AFTER[phase])
                request = ollama.next_request()
                left_at = time.monotonic()
                getattr(stream, leave)()
                assert request.closed.wait(DEADLINE_S), f"the model goes on for nobody: {case}"
            assert request.closed_at is not None
            assert request.closed_at - left_at < GONE_S, case


def test_client_that_left_is_counted_no_more(chain: Callable[..., Chain], ollama: ScriptedOllama) -> None:
    ollama.script(text("Well"), hang())
    started = chain(stream=UNHURRIED, server={"max_streams": 1})
    with StreamClient(started.front, {"message": "Hi"}) as stream:
        stream.read_text("Well")
        assert client.post(started.front, "/api/chat", {"message": "Me too"}).json["error"]["code"] == "busy"
    wait_for(lambda: started.gateway.get("/api/status").json["streams"] == 0, "the slot is free")
    with StreamClient(started.front, {"message": "Now me"}) as stream:
        sse.check(stream.read_all())


def test_killed_worker_shows_as_an_incomplete_answer(chain: Callable[..., Chain], ollama: ScriptedOllama) -> None:
    ollama.script(text("Half an"), hang())
    started = chain(stream=UNHURRIED)
    with StreamClient(started.front, {"message": "Hi"}) as stream:
        stream.read_text("Half an")
        started.gateway.kill_worker()
        assert not any(event.is_end for event in stream.read_all())
        assert stream.was_closed
        assert not stream.complete, "a cut answer looks like a whole one"
    with StreamClient(started.front, {"message": "Again"}) as stream:
        sse.check(stream.read_all())
        assert stream.complete


def test_head_of_the_chat_answers_200(chain: Callable[..., Chain]) -> None:
    front = chain().front
    for method in ("HEAD", "GET"):
        reply = client.call(method, front, "/api/chat")
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
        assert (reply.json is None) == (method == "HEAD")


def test_page_and_its_files_are_served(chain: Callable[..., Chain]) -> None:
    front = chain().front
    page = client.get(front, "/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    for name, kind in (("page/chat.css", "text/css"), ("page/chat.js", "text/javascript")):
        (path,) = set(re.findall(rf'"(/static/v-[^"]+/{name})"', page.json))
        file = client.get(front, path)
        assert (file.status, file.headers.get_content_type()) == (200, kind)


def test_large_history_passes(chain: Callable[..., Chain], ollama: ScriptedOllama) -> None:
    words = "故宫" * 500_000
    with StreamClient(chain().front, {"messages": [{"role": "user", "content": words}]}) as stream:
        sse.check(stream.read_all())
    assert ollama.next_request().messages[0]["content"] == words


def test_gateway_that_is_down_is_a_502_until_it_is_back(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    first = gateway()
    front = nginx(first).base_url
    assert client.get(front, "/healthz").status == 200
    first.terminate()
    assert client.get(front, "/healthz").status == 502
    gateway(server={"port": first.port})
    wait_for(lambda: client.get(front, "/healthz").status == 200, "nginx finds the gateway again")
