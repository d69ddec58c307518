"""nginx before two gateways that share their sessions: what one refuses the other gets, and no chat is begun twice."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support import sse
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import SEVERAL, SNIPPET, Nginx
from tests.support.ollama import ScriptedOllama, done, text, wait
from tests.support.tools import DEADLINE_S, free_port

CHATS = ("/api/chat", "/v1/messages", "/ollama/api/generate", "/v1/embeddings")
LARGE = b'{"message": "%s"}' % (b"x" * (2 << 20))
REFUSAL = {"error": {"code": "busy", "message": "all 100 answers are taken"}}


class Upstream(ThreadingHTTPServer):
    """A gateway that answers each request as it is told to, and counts the bodies that it was sent.

    status: of each answer; 0 reads the request and cuts the connection.
    """

    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.bodies: list[bytes] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        """End it; its port refuses from now on."""
        self.shutdown()
        self.server_close()
        self._thread.join(DEADLINE_S)


class _Handler(BaseHTTPRequestHandler):
    """One connection for each request: what is kept alive would outlast the test."""

    server: Upstream

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 0:
            self.close_connection = True
            return
        body = json.dumps({"by": self.server.address} if self.server.status == 200 else REFUSAL).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        if self.server.status == 503:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def upstreams() -> Iterator[list[Upstream]]:
    """Two gateways."""
    both = [Upstream(), Upstream()]
    yield both
    for each in both:
        each.stop()


@pytest.fixture
def front(upstreams: list[Upstream], nginx: Callable[..., Nginx]) -> Nginx:
    """The shipped nginx before them."""
    return before(nginx, *(each.address for each in upstreams))


def before(nginx: Callable[..., Nginx], first: str, second: str, **more: str) -> Nginx:
    """Start the shipped nginx before two addresses."""
    changes = {
        "server 127.0.0.1:18790": f"server {second}",
        "127.0.0.1:18789 clawgate_not_first": f"{first} clawgate_not_first",
    }
    return nginx(first, shipped=SEVERAL, replace={**changes, **more})


def post(front: Nginx, path: str, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
    """POST a body; return the status, the headers and the body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=DEADLINE_S)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("full", [0, 1])
def test_a_chat_that_one_gateway_refuses_is_answered_by_the_other(
    upstreams: list[Upstream], front: Nginx, full: int
) -> None:
    upstreams[full].status = 503
    for path in CHATS * 2:
        status, _, body = post(front, path)
        assert (status, json.loads(body)) == (200, {"by": upstreams[1 - full].address}), path
    assert post(front, "/api/chat", LARGE)[0] == 200
    assert upstreams[1 - full].bodies == [*[b"{}"] * len(CHATS * 2), LARGE]
    assert upstreams[full].bodies, "it was asked first, at least once"


def test_a_chat_that_both_refuse_gets_a_gateways_own_words(upstreams: list[Upstream], front: Nginx) -> None:
    for each in upstreams:
        each.status = 503
    for _ in range(4):
        status, headers, body = post(front, "/api/chat")
        assert (status, headers["Retry-After"], json.loads(body)) == (503, "7", REFUSAL)
    assert [len(each.bodies) for each in upstreams] == [4, 4]
    upstreams[0].status = 200
    assert post(front, "/api/chat")[0] == 200, "a gateway that was full is left out for no time"


def test_a_chat_whose_connection_breaks_is_not_sent_again(upstreams: list[Upstream], front: Nginx) -> None:
    for each in upstreams:
        each.status = 0
    assert post(front, "/api/chat")[0] == 502
    assert sum(len(each.bodies) for each in upstreams) == 1


def test_a_chat_that_is_refused_and_then_breaks_is_sent_no_third_time(upstreams: list[Upstream], front: Nginx) -> None:
    upstreams[0].status, upstreams[1].status = 503, 0
    for _ in range(3):
        assert post(front, "/api/chat")[0] == 502
    assert len(upstreams[1].bodies) == 3
    assert len(upstreams[0].bodies) <= 3


def test_a_gateway_that_is_gone_is_passed_over(upstreams: list[Upstream], nginx: Callable[..., Nginx]) -> None:
    front = before(nginx, f"127.0.0.1:{free_port()}", upstreams[1].address)
    for path in (*CHATS, "/api/interrupt", "/render"):
        assert post(front, path)[0] == 200, path
    assert len(upstreams[1].bodies) == len(CHATS) + 2


@pytest.mark.parametrize("status", [400, 409, 413, 500])
def test_any_other_refusal_is_the_answer(upstreams: list[Upstream], front: Nginx, status: int) -> None:
    for each in upstreams:
        each.status = status
    for path in ("/api/chat", "/v1/messages"):
        found, _, body = post(front, path)
        assert (found, json.loads(body)) == (status, REFUSAL)
    assert sum(len(each.bodies) for each in upstreams) == 2


def test_what_is_no_chat_is_asked_once(upstreams: list[Upstream], front: Nginx) -> None:
    for each in upstreams:
        each.status = 503
    assert post(front, "/api/interrupt")[0] == 503
    assert sum(len(each.bodies) for each in upstreams) == 1


def test_nginxs_own_limit_is_no_reason_to_ask_another(upstreams: list[Upstream], nginx: Callable[..., Nginx]) -> None:
    first, second = (each.address for each in upstreams)
    front = before(nginx, first, second, **{"burst=100 nodelay": "burst=1 nodelay", "rate=20r/s": "rate=1r/m"})
    assert [post(front, "/api/chat")[0] for _ in range(4)] == [200, 200, 503, 503]
    _, headers, body = post(front, "/api/chat")
    assert (headers["Retry-After"], "too many chats from this address" in body.decode()) == ("1", True)
    assert sum(len(each.bodies) for each in upstreams) == 2
    assert post(front, "/api/chat", b"x" * (17 << 20))[0] == 413


def test_gateways_get_about_as_many_chats_each(upstreams: list[Upstream], front: Nginx) -> None:
    for _ in range(20):
        assert post(front, "/api/chat")[0] == 200
    assert [len(each.bodies) for each in upstreams] == [10, 10]


def test_an_answer_streams_through_fragment_by_fragment(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama
) -> None:
    seen = [threading.Event(), threading.Event()]
    ollama.script(text("春"), wait(seen[0]), text("光"), wait(seen[1]), done())
    address = f"127.0.0.1:{gateway().port}"
    with StreamClient(before(nginx, address, address).base_url, {"message": "Hi"}) as stream:
        for so_far, event in zip(("春", "春光"), seen, strict=True):
            stream.read_text(so_far)
            event.set()  # only now may the model go on
        sse.check(stream.read_all())


def test_the_rule_for_chats_is_that_of_the_snippet() -> None:
    rules = [
        re.search(r"^ *(location ~ \S*\(chat\|generate\S* \{.*?) *\}", path.read_text(encoding="utf-8"), re.M | re.S)
        for path in (SNIPPET, SEVERAL)
    ]
    lines = [[line.strip() for line in rule[1].splitlines()] for rule in rules if rule]
    assert len(lines) == 2
    assert lines[0][:-1] == lines[1][:-1], "nginx/clawgate-several.conf: the same addresses and limits"
    assert [rule[-1] for rule in lines] == ["proxy_pass http://clawgate;", "try_files /dev/null/none @chat;"]
