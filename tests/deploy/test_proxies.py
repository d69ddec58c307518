"""The recipes of docs/proxies.md, run: each passes fragments on one by one and tells the gateway who has left."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.proxies import Caddy, Proxy, Vite, install_vite, recipe_of
from tests.support.tools import DEADLINE_S, ROOT, on_a_free_port, require

pytestmark = pytest.mark.deadline(180)

UNHURRIED = {"heartbeat_seconds": 3600, "stall_seconds": 600, "first_frame_seconds": 600}
"""Nothing but the client's hang-up can end an answer."""
GONE_S = 5.0
"""Far below the heartbeat, by which a proxy that tells nothing would be found out."""


@pytest.fixture(scope="module")
def vite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Vite in it."""
    folder = tmp_path_factory.mktemp("vite")
    install_vite(folder)
    return folder


@pytest.fixture(params=["caddy", "vite"])
def proxy(
    request: pytest.FixtureRequest, gateway: Callable[..., Gateway], tmp_path: Path
) -> Iterator[tuple[Gateway, Proxy]]:
    """A gateway, and the proxy before it."""
    started = gateway(stream=UNHURRIED)
    if request.param == "caddy":
        made: Proxy = on_a_free_port(lambda: Caddy(started.port, tmp_path))
    else:
        folder = request.getfixturevalue("vite_folder")
        made = on_a_free_port(lambda: Vite(started.port, folder))
    with made:
        yield started, made


def test_fragments_pass_one_by_one(proxy: tuple[Gateway, Proxy], ollama: ScriptedOllama) -> None:
    fragments = ["春", "光", "满"]
    seen = [threading.Event() for _ in fragments]
    steps = [step for fragment, event in zip(fragments, seen, strict=True) for step in (text(fragment), wait(event))]
    ollama.script(*steps, done())
    headers = {"Accept-Encoding": "gzip, br"}
    with StreamClient(proxy[1].base_url, {"message": "诗"}, headers=headers) as stream:
        for fragment, event in zip(fragments, seen, strict=True):
            assert stream.read_until(lambda event: event.is_text)[-1].text == fragment
            event.set()  # only now may the model say the next one
        stream.read_all()
        sse.check(stream.events)
        assert stream.complete
        assert stream.headers["Content-Encoding"] is None


@pytest.mark.parametrize("said", [(), (text("Well"),)], ids=["opening", "text"])
def test_model_stops_when_the_browser_leaves(
    proxy: tuple[Gateway, Proxy], ollama: ScriptedOllama, said: tuple[object, ...]
) -> None:
    ollama.script(*said, hang())  # type: ignore[arg-type]
    with StreamClient(proxy[1].base_url, {"message": "Hi"}) as stream:
        stream.read_until(lambda event: event.is_text if said else "run_id" in event.data)
        request = ollama.next_request()
        left_at = time.monotonic()
        stream.close()
        assert request.closed.wait(DEADLINE_S), "the model goes on for nobody"
    assert request.closed_at is not None
    assert request.closed_at - left_at < GONE_S


def test_killed_worker_ends_the_answer_without_an_end_event(
    proxy: tuple[Gateway, Proxy], ollama: ScriptedOllama
) -> None:
    ollama.script(text("Half an"), hang())
    started, front = proxy
    with StreamClient(front.base_url, {"message": "Hi"}) as stream:
        stream.read_text("Half an")
        started.kill_worker()
        assert not any(event.is_end for event in stream.read_all())
        assert isinstance(front, Caddy) or not stream.complete, "a cut answer looks like a whole one"


def test_a_name_that_points_here_opens_nothing(proxy: tuple[Gateway, Proxy], ollama: ScriptedOllama) -> None:
    """Caddy leaves the decision to the gateway, Vite makes one of its own."""
    front = proxy[1].base_url
    for host in ("evil.example", f"evil.example:{proxy[1].port}", "localhost.evil.example", "2130706433"):
        headers = {"Host": host, "X-Forwarded-Host": "localhost"}
        assert client.post(front, "/api/chat", {"message": "Hi", "stream": False}, headers).status in (400, 403), host
    assert ollama.requests == []
    for host in (f"localhost:{proxy[1].port}", "127.0.0.1", "[::1]:8080", "192.168.1.5:8080"):
        assert client.get(front, "/api/chat", headers={"Host": host}).status == 200, host


def test_a_name_of_ones_own_is_served_once_it_is_trusted(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    started = gateway(server={"trusted_hosts": ["chat.example.org"]})
    with on_a_free_port(lambda: Caddy(started.port, tmp_path)) as front:
        hosts = {"Host": "chat.example.org:8080"}
        assert client.get(front.base_url, "/api/chat", headers=hosts).status == 200
        assert "http://chat.example.org:8080" in client.get(front.base_url, "/setup", headers=hosts).json


def test_a_sign_in_in_front_leaves_the_token_its_own_header(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    """tests/page/test_sign_in.py has the page behind nginx's."""
    started = gateway(server={"auth_token": "s3cret-token"})
    caddy = require("caddy", "the test runs the recipe for Caddy")
    hashed = subprocess.run([caddy, "hash-password", "--plaintext", "pass"], capture_output=True, text=True, check=True)
    site = re.sub(r"ada \S+", f"ada {hashed.stdout.strip()}", recipe_of("caddy", "basicauth"))
    basic = {"Authorization": "Basic YWRhOnBhc3M="}  # ada:pass
    with on_a_free_port(lambda: Caddy(started.port, tmp_path, site=site)) as front:
        refused = client.get(front.base_url, "/api/status", headers={"X-Clawgate-Token": "s3cret-token"})
        assert (refused.status, refused.headers["WWW-Authenticate"][:5]) == (401, "Basic")
        assert client.get(front.base_url, "/api/status", headers=basic).json["error"]["code"] == "unauthorized"
        headers = {**basic, "X-Clawgate-Token": "s3cret-token"}
        assert client.get(front.base_url, "/api/status", headers=headers).status == 200
        with StreamClient(front.base_url, {"message": "Hi"}, headers=headers) as stream:
            sse.check(stream.read_all())
    assert "Authorization" not in ollama.chats[0].headers


@pytest.mark.parametrize(("mark", "place"), [("", ""), ("handle_path", "/chat")], ids=["root", "path"])
def test_the_line_that_keeps_the_metrics_back_does(
    gateway: Callable[..., Gateway], tmp_path: Path, mark: str, place: str
) -> None:
    line = re.search(r"^- Caddy: `(respond [^`]+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8"), re.M)
    assert line
    started = gateway(server={"path_prefix": place})
    inside = ("\t\trequest_body", f"\t\t{line[1]}\n\t\trequest_body")
    kept = {"mark": mark, "replace": inside} if mark else {"site": line[1]}
    with on_a_free_port(lambda: Caddy(started.port, tmp_path, **kept)) as front:
        assert client.get(front.base_url, f"{place}/metrics").status == 403
        assert client.get(front.base_url, f"{place}/healthz").status == 200
    assert started.get("/metrics").status == 200


def test_what_a_browser_says_of_its_address_does_not_count(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    started = gateway()
    with on_a_free_port(lambda: Caddy(started.port, tmp_path)) as front:
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Request-Id": "forged"}
        answer = client.post(front.base_url, "/api/chat", {"message": "Hi", "stream": False}, forged)
    assert answer.headers["X-Request-Id"] != "forged"
    started.wait_for_line(rf"request: client=127\.0\.0\.1 .*request={answer.headers['X-Request-Id']}")


def test_the_setting_that_the_recipe_warns_of_does_what_it_says(
    gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    ollama.script(text("Well"), hang())
    started = gateway(stream=UNHURRIED)
    with on_a_free_port(lambda: Caddy(started.port, tmp_path, insert="flush_interval -1")) as front:
        with StreamClient(front.base_url, {"message": "Hi"}) as stream:
            run_id = stream.read_text("Well")[0].data["run_id"]
            request = ollama.next_request()
            stream.close()
        told = request.closed.wait(1.0)
        assert started.post("/api/interrupt", {"run_id": run_id}).json["interrupted"] == (not told)
    assert not told, "this Caddy passes the hang-up on after all: the recipe's warning can go"
