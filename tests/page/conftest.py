"""Fixtures of the page's tests: one browser and one gateway for all of them, an Ollama and a fresh page for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.shared import ollama_of, shared_gateway
from tests.support.tools import require

if TYPE_CHECKING:
    from tests.page.chromium import Page


ICON = "Error while trying to use the following icon from the Manifest"
"""What Chromium says when it comes for the icon and the test has ended its gateway; another test looks at the icon."""


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
    """The one gateway; tests that want another configuration use the fixture `gateway`.

    It has patience: an answer that hangs may wait until a test has done what it needs, however slow the machine.
    """
    config = {"server": {"graceful_seconds": 1}, "stream": {"stall_seconds": 60, "smoothing_ms": 20}}
    with shared_gateway(tmp_path_factory.mktemp("gate"), config) as gateway:
        yield gateway


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind the gateway; afterwards no answer is left in flight."""
    with ollama_of(gate) as scripted:
        yield scripted


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
    mistakes = [entry["message"] for entry in said if entry["source"] != "network" and ICON not in entry["message"]]
    assert mistakes == [], "the page's console is not silent"


@pytest.fixture
def page(blank: Page, upstream: ScriptedOllama, gate: Gateway) -> Page:  # noqa: ARG001 the Ollama comes first
    """The chat page of the gateway, opened."""
    return blank.open(gate.base_url + "/")
