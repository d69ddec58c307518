"""The page under a path of a site, in a real browser, behind the recipes of docs/proxies.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, hang, text
from tests.support.proxies import Caddy, recipe_of
from tests.support.shared import Config, ollama_of, shared_gateway
from tests.support.tools import on_a_free_port, wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

PREFIX = {"path_prefix": "/chat"}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that knows its path."""
    config: Config = {"server": PREFIX, "stream": {"stall_seconds": 30}}
    with shared_gateway(tmp_path_factory.mktemp("gate"), config) as gateway:
        yield gateway


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind it."""
    with ollama_of(gate) as scripted:
        yield scripted


@pytest.fixture(params=["nginx-on", "nginx-off", "caddy-on", "caddy-off"])
def site(request: pytest.FixtureRequest, gate: Gateway, tmp_path: Path) -> Iterator[str]:
    """The address of a site with the gateway below /chat/, by a proxy that leaves the path or takes it off."""
    proxy, way = request.param.split("-")
    with ExitStack() as stack:
        if proxy == "nginx":
            front = stack.enter_context(on_a_free_port(lambda: under_a_path(gate, tmp_path, is_taken_off=way == "off")))
            yield front.base_url
        else:
            marks = {"on": ("handle_path", "handle"), "off": ("handle_path", "handle_path")}
            made = stack.enter_context(
                on_a_free_port(lambda: Caddy(gate.port, tmp_path, mark="handle_path", replace=marks[way]))
            )
            yield made.base_url


def under_a_path(gateway: Gateway, folder: Path, *, is_taken_off: bool, more: str = "") -> Nginx:
    """Run the document's nginx; `more` goes into its site."""
    site = recipe_of("nginx", "location /chat/").replace("location = /chat", f"{more}\n    location = /chat")
    if is_taken_off:
        site = site.replace("proxy_pass http://clawgate;", "proxy_pass http://clawgate/;")
    (folder / "site.conf").write_text(site)
    return Nginx(f"127.0.0.1:{gateway.port}", folder / "nginx", shipped=folder / "site.conf")


def test_the_page_works_below_the_path(blank: Page, site: str, upstream: ScriptedOllama) -> None:
    page = blank.open(f"{site}/chat")
    assert page.js("location.pathname") == "/chat/"
    page.until("document.querySelector('[data-link]').dataset.link === 'connected'")
    manifest = page.cdp("Page.getAppManifest")
    assert manifest["errors"] == []
    assert page.js("new URL('../', arguments[0]).pathname", manifest["url"]) == "/chat/", "its start_url"
    upstream.script(text("Once upon"), hang())
    page.send("A story!")
    page.until_answer("Once upon")
    page.press("\ue00c")  # Esc
    page.until_idle()
    page.until_shown("[data-mark]")
    assert upstream.chats[0].closed.wait(5)
    page.reload()
    page.until_answer("Once upon")
    page.click("[data-language]")
    page.click("footer a")
    page.until("location.pathname === '/chat/setup' && document.documentElement.lang === 'zh'")
    assert site in page.text("[data-hop=browser]")
    page.click("header a")
    page.until("location.pathname === '/chat/' && document.documentElement.dataset.ready === 'yes'")
    page.until_answer("Once upon")
    assert page.console() == []


def test_programs_and_health_checks_find_it_with_the_path_and_on_its_port(
    site: str, gate: Gateway, upstream: ScriptedOllama
) -> None:
    with StreamClient(f"{site}/chat", {"message": "hi"}) as stream:
        sse.check(stream.read_all())
        assert sse.text_of(stream.events) == "Hello."
    assert client.get(site, "/chat/openapi.json").json["servers"] == [{"url": "/chat"}]
    assert client.get(site, "/chat").headers["Location"] == "/chat/"
    assert client.get(site, "/chat/healthz").status == gate.get("/healthz").status == gate.get("/chat/healthz").status
    upstream.script(text("Well"), hang())
    with StreamClient(f"{site}/chat", {"message": "hi"}) as stream:
        stream.read_text("Well")
        asked = upstream.chats[-1]
        stream.close()
        assert asked.closed.wait(5), "the model goes on for nobody"


def test_two_gateways_of_one_host_share_nothing(
    blank: Page, gate: Gateway, gateway: Callable[..., Gateway], upstream: ScriptedOllama, tmp_path: Path
) -> None:
    other = gateway(server={"path_prefix": "/other"})
    second = f"location /other/ {{ proxy_pass http://127.0.0.1:{other.port}; proxy_set_header Host $http_host; }}"
    front = on_a_free_port(lambda: under_a_path(gate, tmp_path, is_taken_off=True, more=second))
    with front:
        page = blank.open(f"{front.base_url}/chat/")
        page.send("hi")
        page.until_answer("Hello.")
        page.until_idle()
        page.click("[data-language]")
        wait_for(lambda: page.js("document.cookie"), "the choice is kept")
        page.open(f"{front.base_url}/other/")
        assert page.count("[data-message]") == 0
        assert page.js("document.documentElement.lang") == "en"
        page.open(f"{front.base_url}/chat/")
        page.until_answer("Hello.")
        assert page.js("document.documentElement.lang") == "zh"
    assert len(upstream.chats) == 1
