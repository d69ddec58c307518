"""The shipped nginx files, each run by a real nginx as it is but for ports, paths and the times that tests shorten."""

from __future__ import annotations

import gzip
import http.client
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import ACCESS_LOG, FOLDER, FRONTEND, SEVERAL, SNIPPET, TLS, VARIANTS, Nginx, write_config
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.tools import DEADLINE_S, free_port, require, wait_for

UNHURRIED = {"heartbeat_seconds": 3600, "stall_seconds": 600, "first_frame_seconds": 600}


@pytest.mark.parametrize("shipped", VARIANTS, ids=lambda path: path.name)
def test_file_passes_nginx_t_without_a_word(shipped: Path, certificate: dict[str, str], tmp_path: Path) -> None:
    binary = require("nginx", "the test checks the shipped configuration")
    changes = {ACCESS_LOG: str(tmp_path / "access.log"), **(certificate if shipped == TLS else {})}
    main = write_config(tmp_path, shipped, changes)
    command = [binary, "-t", "-q", "-p", str(tmp_path), "-e", "stderr", "-c", str(main)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    # without root: the place of its own log
    warnings = [line for line in ended.stderr.splitlines() if "[alert] could not open error log" not in line]
    assert (ended.returncode, warnings) == (0, [])


def test_every_file_is_one_of_these() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in (*VARIANTS, SNIPPET)}
    assert {FRONTEND, TLS, SEVERAL, FOLDER / "clawgate.conf"} == set(VARIANTS)


@pytest.mark.parametrize("has_heartbeat", [True, False])
def test_heartbeats_keep_a_long_silence_alive(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama, has_heartbeat: bool
) -> None:
    """A silence of 90 s with a heartbeat every 5 s and a proxy that waits 60 s, all of it twenty times as fast."""
    released = threading.Event()
    ollama.script(text("Well"), wait(released), text(" then"), done())
    started = gateway(stream={**UNHURRIED, "heartbeat_seconds": 0.25 if has_heartbeat else 3600})
    front = nginx(started, replace={"proxy_read_timeout 3600s": "proxy_read_timeout 3s"})
    with StreamClient(front.base_url, {"message": "Hi"}) as stream:
        stream.read_text("Well")
        silent_from = time.monotonic()
        if not has_heartbeat:
            assert not any(event.is_end for event in stream.read_all()), "without heartbeats nginx must give up"
            assert not stream.complete
            return
        while time.monotonic() < silent_from + 4.5:
            stream.read_event()
        released.set()
        stream.read_all()
        sse.check(stream.events)
        assert sse.text_of(stream.events) == "Well then"


def test_two_hundred_streams_at_once(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama
) -> None:
    released = threading.Event()
    ollama.default(text("Half"), wait(released), text(" and whole"), done())
    started = gateway(server={"max_streams": 200}, stream=UNHURRIED)
    limits = {"limit_conn clawgate_chats 100": "limit_conn clawgate_chats 200", "burst=100": "burst=200"}
    front = nginx(started, replace=limits)
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(front.base_url, {"message": f"{n}"})) for n in range(200)]
        for stream in streams:
            stream.read_text("Half")
        assert started.get("/api/status").json["streams"] == 200
        released.set()
        for stream in streams:
            stream.read_all()
            sse.check(stream.events)
            assert stream.complete
            assert sse.text_of(stream.events) == "Half and whole"


def test_chats_of_one_address_are_limited_and_nothing_else_is(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama
) -> None:
    ollama.default(text("Well"), hang())
    started = gateway(stream=UNHURRIED)
    front = nginx(started, replace={"limit_conn clawgate_chats 100": "limit_conn clawgate_chats 2"}).base_url
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(front, {"message": "Hi"})) for _ in range(2)]
        for stream in streams:
            stream.read_text("Well")
        refused = client.post(front, "/api/chat", {"message": "Me too"})
        assert (refused.status, refused.json["error"]["code"]) == (503, "busy")
        assert (refused.headers["Retry-After"], refused.headers["Content-Type"]) == ("1", "application/json")
        for path in ("/healthz", "/readyz", "/api/status", "/", "/static/page/chat.js"):
            assert client.get(front, path).status == 200, path
        run_id = streams[0].events[0].data["run_id"]
        assert client.post(front, "/api/interrupt", {"run_id": run_id}).json["interrupted"]
        streams[0].read_all()
        sse.check(streams[0].events)
    assert started.get("/api/status").json["max_streams"] <= 100, "the shipped limit must not be below the gateway's"


def test_a_flood_of_beginnings_is_slowed_down(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> None:
    front = nginx(gateway(), replace={"burst=100": "burst=3", "rate=20r/s": "rate=1r/m"}).base_url
    answers = [client.post(front, "/api/chat", {"message": "Hi", "stream": False}) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 4 + [503] * 2
    assert answers[-1].json["error"]["code"] == "busy"
    assert client.get(front, "/api/status").status == 200


def test_what_a_client_says_of_its_address_does_not_count(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    started = gateway()
    front = nginx(started)
    headers = {"X-Forwarded-For": "6.6.6.6", "X-Request-Id": "forged"}
    answer = client.post(front.base_url, "/api/chat", {"message": "Hi", "stream": False}, headers)
    request_id = answer.headers["X-Request-Id"]
    assert request_id != "forged"
    assert "6.6.6.6" not in started.log
    started.wait_for_line(rf"request: client=127\.0\.0\.1 .*request={request_id}")
    wait_for(lambda: f"request={request_id}" in front.access_log, "nginx logs the same id")


def test_the_log_holds_no_id_and_no_query(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> None:
    front = nginx(gateway())
    answer = client.post(front.base_url, "/api/chat", {"message": "Hi", "stream": False}).json
    session_id = answer["session_id"]
    sessions = (f"/api/sessions/{session_id}", f"/api/%73essions/{session_id}?a", f"/api/sessions%2F{session_id}")
    elsewhere = (f"/nowhere/{session_id}", f"/nowhere?session_id={session_id}")
    for path in (*sessions, *elsewhere, "/healthz", "/readyz", "/api/tags?last"):
        client.get(front.base_url, path)
    wait_for(lambda: "GET /api/tags " in front.access_log, "nginx logs the last request")
    asked = [line.split('"')[1] for line in front.access_log.splitlines()]
    assert asked == [
        "POST /api/chat HTTP/1.1",
        *["GET /api/sessions/* HTTP/1.1"] * 3,
        "GET /* HTTP/1.1",
        "GET /nowhere HTTP/1.1",
        "GET /api/tags HTTP/1.1",
    ], "health checks, which come every few seconds, are left out"
    assert session_id not in front.access_log
    assert answer["run_id"] not in front.access_log


def test_every_file_logs_alike() -> None:
    logged = [re.search(r"^# The log holds .*?request_id';$", path.read_text(), re.M | re.S) for path in VARIANTS]
    assert len({found[0] for found in logged if found}) == 1
    assert all(logged)


def test_a_body_that_is_too_large_gets_the_gateways_words(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    front = nginx(gateway(), replace={"client_max_body_size 16m": "client_max_body_size 1k"}).base_url
    refused = client.post(front, "/api/chat", {"message": "x" * 2000})
    assert (refused.status, refused.json["error"]["code"]) == (413, "too_large")


def test_page_is_compressed_and_checked_by_its_etag_and_a_stream_is_neither(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    front = nginx(gateway()).base_url
    accepting = {"Accept-Encoding": "gzip"}
    plain, packed = get(front, "/static/page/chat.js"), get(front, "/static/page/chat.js", accepting)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["Cache-Control"] == "no-cache"
    again = get(front, "/static/page/chat.js", {**accepting, "If-None-Match": packed.headers["ETag"] or ""})
    assert (again.status, again.body) == (304, b"")
    assert get(front, "/", accepting).headers["Content-Encoding"] == "gzip"
    assert "/" not in (plain.headers["Server"] or ""), "a version is told"
    with StreamClient(front, {"message": "Hi"}, headers=accepting) as stream:
        sse.check(stream.read_all())
        assert stream.headers["Content-Encoding"] is None


class Raw(NamedTuple):
    """A response as it came, compressed or not."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(base_url: str, path: str, headers: dict[str, str] | None = None) -> Raw:
    """GET a path."""
    connection = http.client.HTTPConnection(base_url.removeprefix("http://"), timeout=DEADLINE_S)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        return Raw(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_counts_are_for_the_operator_alone(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> None:
    started = gateway(server={"path_prefix": "/chat"})
    front = nginx(started).base_url
    for path in ("/metrics", "/chat/metrics"):
        assert "clawgate_streams 0.0" in client.get(front, path).json
    assert client.get(front, "/api/sessions/metrics").json["error"]["code"] == "unknown_session"
    assert client.get(front, "/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).status == 403
    for address in ("127.0.0.1", "::1"):
        closed = nginx(started, replace={"allow 127.0.0.1": f"deny {address}"}).base_url
        for path in (
            "/metrics",
            "/chat/metrics",
            "//metrics",
            "/%6detrics",
            "/x/../metrics",
            "/metrics?a",
            "/metrics#a",
            "/metrics/.",
        ):
            refused = client.get(closed, path)
            assert "clawgate_" not in str(refused.json), path
            assert refused.status in (403, 404), path


def test_own_front_end_is_served_beside_the_api(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], tmp_path: Path
) -> None:
    root = tmp_path / "www"
    (root / "assets").mkdir(parents=True)
    (root / "index.html").write_text("<h1>mine</h1>")
    (root / "assets" / "app-1a2b.js").write_text("let mine;" * 200)
    front = nginx(gateway(), shipped=FRONTEND, replace={"/var/www/chat": str(root)}).base_url
    for path in ("/", "/deep/link"):
        page = get(front, path)
        assert (page.status, page.body, page.headers["Cache-Control"]) == (200, b"<h1>mine</h1>", "no-cache")
    asset = get(front, "/assets/app-1a2b.js", {"Accept-Encoding": "gzip"})
    assert asset.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert gzip.decompress(asset.body) == b"let mine;" * 200
    assert get(front, "/assets/gone.js").status == 404
    assert client.get(front, "/healthz").json == {"status": "ok"}
    assert client.get(front, "/api/chat").json["endpoint"] == "/api/chat"
    with StreamClient(front, {"message": "Hi"}) as stream:
        sse.check(stream.read_all())
        assert sse.text_of(stream.events) == "Hello."


def test_tls_streams_one_by_one_over_http2(
    gateway: Callable[..., Gateway],
    nginx: Callable[..., Nginx],
    ollama: ScriptedOllama,
    certificate: dict[str, str],
) -> None:
    curl = require("curl", "the test speaks HTTP/2")
    if "HTTP2" not in subprocess.run([curl, "--version"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("this curl has no HTTP/2")
    fragments = ["春", "光", "满", "园"]
    seen = [threading.Event() for _ in fragments]
    steps = [step for fragment, event in zip(fragments, seen, strict=True) for step in (text(fragment), wait(event))]
    ollama.script(*steps, done())
    plain, secure = free_port(), free_port()
    listens = {"listen 80": f"listen 127.0.0.1:{plain}", "listen 443": f"listen 127.0.0.1:{secure}"}
    started = nginx(gateway(stream=UNHURRIED), shipped=TLS, replace={**listens, **certificate}, port=secure)

    redirected = client.post(f"http://127.0.0.1:{plain}", "/api/chat", {"message": "Hi"})
    assert (redirected.status, redirected.headers["Location"]) == (308, "https://127.0.0.1/api/chat")
    command = [curl, "--no-progress-meter", "--insecure", "--http2", "--no-buffer", "--include", "--max-time", "30"]
    command += ["--json", '{"message": "Hi"}', f"https://127.0.0.1:{started.port}/api/chat"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        head = b"".join(iter(process.stdout.readline, b"\r\n")).decode().lower()
        assert head.startswith("http/2 200")
        assert "strict-transport-security: max-age=31536000" in head
        for fragment, event in zip(fragments, seen, strict=True):
            assert any(fragment.encode() in line for line in lines_until(process.stdout, fragment))
            event.set()  # only now may the model say the next one
        assert b'"done_reason":"stop"' in process.stdout.read()
    assert process.returncode == 0


def lines_until(pipe: object, fragment: str) -> Iterator[bytes]:
    """Yield a process's lines up to the one with this fragment."""
    for line in pipe:  # type: ignore[attr-defined]
        yield line
        if fragment.encode() in line:
            return


class Two:
    """Two gateways behind one nginx."""

    def __init__(self, gateways: list[Gateway], front: Nginx) -> None:
        self.gateways = gateways
        self.front = front.base_url

    def ask(self, **body: object) -> client.Reply:
        """Ask for an answer in one piece."""
        return client.post(self.front, "/api/chat", {"message": "Hi", "stream": False, **body})

    def holder(self, session_id: str) -> Gateway:
        """Return the gateway that has a session."""
        return next(each for each in self.gateways if each.get(f"/api/sessions/{session_id}").status == 200)


@pytest.fixture
def two(gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> Two:
    """Two gateways before the same Ollama, each with sessions of its own, and nginx as it is for those."""
    gateways = [gateway(), gateway()]
    changes = {
        "server 127.0.0.1:18790": f"server 127.0.0.1:{gateways[1].port}",
        "127.0.0.1:18789 clawgate_not_first": f"127.0.0.1:{gateways[0].port} clawgate_not_first",
        "least_conn;": "",
        "#hash $remote_addr": "hash $remote_addr",
    }
    return Two(gateways, nginx(gateways[0], shipped=SEVERAL, replace=changes))


def test_a_client_comes_back_to_its_gateway(two: Two) -> None:
    session_id = two.ask().json["session_id"]
    assert all(two.ask(session_id=session_id).status == 200 for _ in range(5))
    assert len(two.holder(session_id).get(f"/api/sessions/{session_id}").json["messages"]) == 12


def test_the_share_of_a_gateway_that_is_gone_goes_to_the_other(two: Two) -> None:
    session_id = two.ask().json["session_id"]
    holder = two.holder(session_id)
    holder.terminate()
    refused = two.ask(session_id=session_id)
    assert (refused.status, refused.json["error"]["code"]) == (404, "unknown_session")
    assert two.ask().status == 200


def test_a_chat_that_was_sent_is_not_sent_again(two: Two, ollama: ScriptedOllama) -> None:
    session_id = two.ask().json["session_id"]
    holder = two.holder(session_id)
    ollama.default(hang())
    asked = threading.Thread(target=lambda: client.post(two.front, "/api/chat", {"message": "Hi", "stream": False}))
    asked.start()
    request = ollama.next_request()
    assert request
    wait_for(lambda: len(ollama.chats) == 2, "the second chat is under way")
    holder.kill_worker()
    asked.join(DEADLINE_S)
    assert not asked.is_alive()
    assert len(ollama.chats) == 2, "the chat was begun a second time"
