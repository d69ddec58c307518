"""The page follows what is in force: the model after a reload of the configuration, and the embedded trial model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from clawgate.embedded.frames import VERSION
from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, status
from tests.support.reloading import reload
from tests.support.tools import require

if TYPE_CHECKING:
    from tests.page.chromium import Page

LOOK = "window.dispatchEvent(new Event('online'))"


def test_another_model_is_learnt_without_a_reload_of_the_page(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway()
    page = blank.open(started.base_url + "/")
    page.until_shown("[data-think]")
    ollama.models[:] = ["plain:1b"]
    ollama.script(status(200, {"capabilities": ["completion"]}), path="/api/show")
    reload(started, model={"model_name": "plain:1b"})
    page.driver.execute_script(LOOK)
    page.until("document.title === 'clawgate · plain:1b'")
    assert page.text("[data-model-name]") == "plain:1b"
    assert page.text("[data-empty] h2") == "Ask plain:1b something"
    page.until("document.querySelector('[data-think]').hidden", "it cannot think")
    page.click("[data-language]")
    page.until("document.querySelector('[data-empty] h2').textContent === '向 plain:1b 提问'")
    page.send("hi")
    page.until_answer("Hello.")
    assert ollama.chats[-1].json["model"] == "plain:1b"
    ollama.models.clear()
    page.send("more")
    page.until_shown("[data-failure]")
    assert page.text("[data-failure]:not([hidden]) [data-failure-detail]") == "ollama pull plain:1b"
    page.leave()


def test_the_embedded_model_says_what_it_is(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require("axe_core_python", "it carries axe-core")
    for _ in range(9):
        ollama.script(status(200, {"version": VERSION}), path="/api/version")
    page = blank.open(gateway().base_url + "/")
    page.until_shown("[data-banner=embedded]")
    said = page.text("[data-banner=embedded]")
    assert "qwen3:32b runs inside clawgate" in said
    assert "no measure" in said
    assert page.js("new URL(document.querySelector('[data-banner=embedded] a').href).pathname") == "/setup"
    assert findings(page) == []
    page.resize(390, 844)
    assert page.find("[data-banner=embedded]").rect["height"] < 844 / 5
    assert page.js("document.documentElement.scrollWidth") == 390
    page.click("[data-banner-close]")
    page.reload()
    page.until("document.querySelector('[data-link]').dataset.link === 'connected'")
    assert not page.is_shown("[data-banner=embedded]"), "it was closed for this visit"
    page.leave()
