"""A hostile page attacks a gateway on its reader's machine, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.connection import Connection
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama
from tests.support.server import SocketServer
from tests.support.tools import wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

EVIL_HOST = "evil.example"
LINK = '<!doctype html><link rel="icon" href="data:,"><a href="$gate/">a link</a>'
PAGE = """<!doctype html>
<iframe name="place"></iframe>
<form method="post" target="place" enctype="text/plain" action="$gate/api/chat">
  <input name='{"message": "hi", "x": "' value='"}'></form>
<script type="module">
const gate = "$gate";
const post = { method: "POST", mode: "no-cors", body: '{"message": "hi"}', headers: { "Content-Type": "text/plain" } };
const told = {};
const tries = {
  post: () => fetch(gate + "/api/chat", post),
  beacon: async () => navigator.sendBeacon(gate + "/api/interrupt", '{"session_id": "s"}'),
  json: () => fetch(gate + "/render", { ...post, mode: "cors", headers: { "Content-Type": "application/json" } }),
  get: () => fetch(gate + "/api/status", { mode: "no-cors" }),
  read: () => fetch(gate + "/setup", { mode: "cors" }),
  picture: () => new Promise((resolve, reject) =>
    Object.assign(new Image(), { onload: resolve, onerror: reject, src: gate + "/static/icon.svg" })),
  script: () => new Promise((resolve, reject) =>
    document.head.append(Object.assign(document.createElement("script"),
      { onload: resolve, onerror: reject, type: "module", src: gate + "/static/core/state.js" }))),
  frame: () => new Promise((resolve) =>
    document.body.append(Object.assign(document.createElement("iframe"), { onload: resolve, src: gate + "/readyz" }))),
  form: () => new Promise((resolve) => {
    document.querySelector("iframe").onload = resolve;
    document.forms[0].submit();
  }),
};
for (const [name, attempt] of Object.entries(tries)) {
  try { const got = await attempt(); told[name] = got?.type ?? "done"; } catch { told[name] = "refused"; }
}
window.told = told;
</script>"""
REACHED = {
    "/api/chat",
    "/api/interrupt",
    "/api/status",
    "/setup",
    "/static/icon.svg",
    "/static/core/state.js",
    "/readyz",
}


@pytest.fixture
def evil(gate: Gateway) -> Iterator[str]:
    """The address of another site: /link has a link to the gateway, any other page tries everything on it."""

    def serve(connection: Connection) -> None:
        asked = connection.receive()
        page = (LINK if b"GET /link " in asked else PAGE).replace("$gate", gate.base_url).encode()
        if asked:  # a browser also connects ahead of time, and says nothing
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page)

    server = SocketServer(serve, host="127.0.0.1", port=0)
    server.start()
    yield f"http://{EVIL_HOST}:{server.port}/"
    server.close()
    assert not server.problems


@pytest.fixture
def victim(browser: Any) -> Iterator[Page]:
    """The browser; unlike on our own pages, its console may say what was refused."""
    from tests.page.chromium import Page

    yield Page(browser)
    browser.get("about:blank")


def test_a_name_that_points_here_opens_nothing(
    victim: Page, gate: Gateway, upstream: ScriptedOllama, nginx: Callable[..., Nginx]
) -> None:
    victim.driver.get(f"http://{EVIL_HOST}:{gate.port}/")
    assert json.loads(victim.text("body"))["error"]["code"] == "untrusted_host"
    fetched = "fetch('/api/status', {headers: {'X-Forwarded-Host': 'localhost'}}).then(r => window.status_ = r.status)"
    victim.js(f"void {fetched}")
    assert victim.until("window.status_") == 400
    victim.driver.get(f"http://{EVIL_HOST}:{nginx(gate).port}/")
    assert "server_name" in victim.text("body")
    victim.js(f"void {fetched}")
    assert victim.until("window.status_") == 421
    assert upstream.asked == []


def test_a_page_of_another_site_reaches_no_handler(
    victim: Page, gate: Gateway, upstream: ScriptedOllama, evil: str
) -> None:
    begun_at = len(gate.lines)
    victim.driver.get(evil)
    told = victim.until("window.told", "it has tried everything")

    def refused() -> set[str]:
        lines = [line for line in gate.lines[begun_at:] if "request: client=" in line]
        assert not [line for line in lines if "method=OPTIONS" not in line and "status=403" not in line]
        return set(re.findall(r'path="([^"]+)" status=403', "\n".join(lines)))

    wait_for(lambda: refused() == REACHED, f"the gateway has refused each: {told}")
    assert {name: told[name] for name in ("json", "read", "picture", "script")} == dict.fromkeys(
        ("json", "read", "picture", "script"), "refused"
    )
    assert upstream.asked == []


def test_a_link_on_another_site_opens_the_page_and_it_works(
    blank: Page, gate: Gateway, upstream: ScriptedOllama, evil: str
) -> None:
    blank.driver.get(f"{evil}link")
    blank.click("a")
    blank.until("location.pathname === '/' && document.documentElement.dataset.ready === 'yes'")
    assert blank.js("location.origin") == gate.base_url
    blank.send("hi")
    blank.until_answer("Hello.")
    assert len(upstream.chats) == 1
    blank.reload()
    blank.until_answer("Hello.")
    assert blank.console() == []
