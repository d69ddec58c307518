"""The setup page in a browser: nothing is green when nothing comes, and each command can be copied, on a phone too."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from clawgate.embedded.frames import VERSION
from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, status
from tests.support.tools import free_port, require

if TYPE_CHECKING:
    from tests.page.chromium import Page

STATES = "[...document.querySelectorAll('[data-hop]')].map(e => e.dataset.state).join()"
GREEN = "document.querySelectorAll('[data-hop].up, [data-hop][data-state=up]').length"


def test_nothing_is_green_when_the_gateway_is_gone(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require("axe_core_python", "it carries axe-core")
    ollama.loaded.append("qwen3:32b")
    server = {"port": free_port()}
    first = gateway(server=server)
    page = blank.open(first.base_url + "/setup")
    page.until(f"{STATES}.split(',').filter((_, i) => i !== 1).join() === 'up,up,up,up'")
    page.hurry()
    first.stop(signal.SIGKILL)
    page.until(f"{GREEN} === 0")
    assert page.js(STATES) == "unknown,unknown,down,unknown,unknown"
    said = page.text("[data-old=stale]")
    assert said.startswith("clawgate has not answered since ")
    assert page.text("[data-hop=clawgate] [data-hop-text]").startswith("Has not answered since ")
    assert page.is_shown("[data-hop=clawgate] [data-start]"), "the command that starts it"
    assert page.text("[data-hop=ollama] [data-state-text]") == "Unknown"
    assert findings(page) == []
    gateway(server=server)
    page.until(f"{STATES}.split(',').filter((_, i) => i !== 1).join() === 'up,up,up,up'")
    assert not page.is_shown("[data-old]")
    page.console()
    page.leave()


@pytest.mark.parametrize(("language", "copied"), [("en", "Copied"), ("zh", "已复制")])
def test_commands_are_copied_on_a_phone_in_both_languages(
    blank: Page, gate: Gateway, upstream: ScriptedOllama, language: str, copied: str
) -> None:
    require("axe_core_python", "it carries axe-core")
    blank.resize(390, 844)
    blank.speak(language)
    upstream.models.clear()
    page = blank.open(gate.base_url + "/setup")
    page.until("document.querySelector('[data-hop=model][data-state=down]')")
    assert page.js("document.documentElement.scrollWidth") == 390
    page.driver.execute_script("navigator.clipboard.writeText = (text) => (window.copied = text, Promise.resolve());")
    page.click("[data-hop=model] [data-copy]")
    page.until(f"document.querySelector('[data-hop=model] [data-copy]').textContent === '{copied}'")
    assert page.js("window.copied") == "ollama pull qwen3:32b"
    sizes = page.js("[...document.querySelectorAll('[data-copy]')].map(e => e.getBoundingClientRect().height)")
    assert min(sizes) >= 28
    assert findings(page) == []


def test_the_embedded_model_has_true_words(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    for _ in range(9):
        ollama.script(status(200, {"version": VERSION}), path="/api/version")
    page = blank.open(gateway().base_url + "/setup")
    assert page.text("[data-hop=ollama] h2") == "Embedded runtime"
    assert page.text("[data-hop=ollama] [data-better]") == "ollama pull qwen3:32b && clawgate up"
    assert "ollama serve" not in page.driver.page_source
    assert "A tiny trial model" in page.text("[data-hop=model]")
    page.leave()


def test_the_token_can_be_changed_there_too(blank: Page, gateway: Callable[..., Gateway]) -> None:
    page = blank.open(gateway(server={"auth_token": "a-very-secret-token"}).base_url + "/setup")
    page.until_shown("dialog[data-token][open]")
    page.click("[data-token-close]")
    assert page.text("[data-token-entry]") == "Enter the token"
    page.click("[data-token-entry]")
    page.find("[data-token-input]").send_keys("a-very-secret-token\n")
    page.until_shown("[data-setting]")
    assert page.text("[data-token-entry]") == "Access token"
    page.click("[data-token-entry]")
    page.click("[data-token-forget]")
    page.until("document.body.dataset.locked === 'yes' && !document.querySelector('[data-setting]')")
    page.until_ready()
    page.console()  # the 401s that asked for the token
    page.leave()
