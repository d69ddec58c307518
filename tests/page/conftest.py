"""Fixtures of the page's tests: one browser and one gateway for all of them, an Ollama and a fresh page for each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import require, wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

IDLE_S = 5.0


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The one browser."""
    require("selenium", "the page's tests drive a browser")
    chromium = require("chromium", "the page's tests drive it")
    driver_path = require("chromedriver", "the page's tests drive Chromium through it")
    from tests.page import chromium as support  # needs selenium

    driver = support.start(chromium, driver_path, tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The one gateway, with a short patience; tests that want another configuration use the fixture `gateway`."""
    with socket.socket() as holder:  # bound, never listening: the port refuses, and nobody else gets it
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        config: dict[str, dict[str, Any]] = {
            "model": {"endpoint": f"http://127.0.0.1:{holder.getsockname()[1]}"},
            "server": {"graceful_seconds": 1},
            "stream": {"stall_seconds": 2, "smoothing_ms": 20},
        }
        with Gateway(config, tmp_path_factory.mktemp("gate")) as gateway:
            yield gateway
            print(f"--- the gateway's log ---\n{gateway.log}")
        assert "Traceback" not in gateway.log, gateway.log


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind the gateway; afterwards no answer is left in flight."""
    port = urlsplit(gate.config["model"]["endpoint"]).port
    with ScriptedOllama(port or 0) as scripted:
        yield scripted
        wait_for(lambda: all(chat.finished.is_set() for chat in scripted.chats), "no chat is left upstream", IDLE_S)
        wait_for(lambda: gate.get("/api/status").json["streams"] == 0, "the gateway has no answer in flight", IDLE_S)
    assert not scripted.problems, "the scripted Ollama:\n" + "\n".join(scripted.problems)


@pytest.fixture
def blank(browser: Any) -> Iterator[Page]:
    """The browser as if it had never been used: 1280 by 800, English, light; nothing opened yet."""
    from tests.page.chromium import Page

    page = Page(browser)
    page.speak("en-US")
    page.prefer(**{"prefers-color-scheme": "light"})
    page.resize(1280)
    browser.delete_all_cookies()
    page.console()
    yield page
    said = page.console()
    print(f"--- the console ---\n{said}\n--- the conversation ---\n{page.js('document.body.innerText')}")
    browser.delete_all_cookies()
    page.leave()
    mistakes = [entry["message"] for entry in said if entry["source"] != "network"]
    assert mistakes == [], "the page's console is not silent"


@pytest.fixture
def page(blank: Page, upstream: ScriptedOllama, gate: Gateway) -> Page:  # noqa: ARG001 the Ollama comes first
    """The chat page of the gateway, opened."""
    return blank.open(gate.base_url + "/")
