"""Languages, appearance, sizes, accessibility, the token, and the setup page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, done, hang, text, thinking
from tests.support.tools import require

if TYPE_CHECKING:
    from tests.page.chromium import Page

TOKEN = "a-very-secret-token"
ANSWER = (
    "# Title\n\nSome `code`, a [link](https://example.org) and\n\n```python\nx = 'y'  # z\n```\n\n"
    "| a |\n|---|\n| 1 |\n\n- [x] t\n\n```\na second box\n```\n"
)


def test_controls_are_right_of_the_messages_and_the_state_is_below(page: Page) -> None:
    boxes = {name: page.find(f"[data-{name}]").rect for name in ("scroller", "send", "interrupt", "clear", "link")}
    right = boxes["scroller"]["x"] + boxes["scroller"]["width"]
    assert all(boxes[name]["x"] >= right for name in ("send", "interrupt", "clear"))
    assert boxes["send"]["y"] < boxes["interrupt"]["y"] < boxes["clear"]["y"] < boxes["link"]["y"]
    assert [page.text(f"[data-{name}]") for name in ("send", "interrupt", "clear")] == [
        "Send",
        "Interrupt",
        "Clear session",
    ]
    assert "qwen3:32b" in page.find("footer").text


def test_controls_are_under_the_text_on_a_phone(page: Page) -> None:
    page.resize(390)
    boxes = {name: page.find(f"[data-{name}]").rect for name in ("input", "send", "interrupt", "clear", "link")}
    assert boxes["send"]["y"] == boxes["interrupt"]["y"] == boxes["clear"]["y"]
    assert boxes["input"]["y"] + boxes["input"]["height"] <= boxes["send"]["y"] < boxes["link"]["y"]
    assert page.js("document.documentElement.scrollWidth") == 390


def test_a_long_conversation_scrolls_in_its_place_and_the_page_does_not(page: Page, upstream: ScriptedOllama) -> None:
    """Words for screen readers alone have a place in the page, too."""
    upstream.script(text("line\n\n" * 60), done())
    for _ in range(2):
        page.send("go")
        page.until_idle()
    scroller = "document.querySelector('[data-scroller]')"
    assert page.js(f"{scroller}.scrollHeight > 2 * {scroller}.clientHeight")
    assert page.js("document.documentElement.scrollHeight === innerHeight")


def test_language_follows_the_browser_and_the_switch_stays(page: Page) -> None:
    assert page.js("document.documentElement.lang") == "en"
    page.speak("zh-CN,zh;q=0.9,en;q=0.8")
    page.reload()
    assert [page.text(f"[data-{name}]") for name in ("send", "interrupt", "clear")] == ["发送", "中断", "清空会话"]
    page.send("hi")
    page.until_answer("Hello.")
    page.until("document.querySelector('[data-stats]').textContent.endsWith('秒')")
    page.click("[data-language]")
    page.until("document.querySelector('[data-send]').textContent === 'Send'")
    page.until("document.querySelector('[data-stats]').textContent.endsWith(' s')", "words of bubbles change, too")
    assert page.find("[data-input]").get_attribute("placeholder") == "Write a message…"
    page.reload()
    assert page.text("[data-send]") == "Send"
    assert page.js("document.documentElement.lang") == "en"


def test_tag_and_progress_are_chinese_where_the_page_is(page: Page, upstream: ScriptedOllama) -> None:
    page.speak("zh")
    page.reload()
    upstream.script(text("好"), hang())
    page.send("hi")
    page.until_answer("好")
    assert page.text("[data-tag]") == "流式中…"
    page.click("[data-interrupt]")
    page.until_idle()
    page.until("document.querySelector('[data-mark]').textContent === '已中断'")


def test_appearance_follows_the_system_and_the_switch_stays(page: Page) -> None:
    def brightness() -> int:
        return sum(map(int, re.findall(r"\d+", page.js("getComputedStyle(document.body).backgroundColor"))[:3]))

    assert brightness() > 600
    page.prefer(**{"prefers-color-scheme": "dark"})
    assert brightness() < 150
    page.driver.execute_script(
        "const choice = document.querySelector('[data-theme-choice]');"
        "choice.value = 'light'; choice.dispatchEvent(new Event('change'))"
    )
    assert brightness() > 600
    page.reload()
    assert brightness() > 600


def test_nothing_moves_for_who_prefers_so(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("a"), hang())
    page.send("go")
    page.until_answer("a")
    moving = "getComputedStyle(document.querySelector('[data-tag] .pulse')).animationName"
    assert page.js(moving) == "pulse"
    page.prefer(**{"prefers-reduced-motion": "reduce"})
    assert page.js(moving) == "none"
    page.click("[data-interrupt]")
    page.until_idle()


def findings(page: Page) -> list[str]:
    """Return all that axe-core finds, however slight."""
    module = pytest.importorskip("axe_core_python")
    script = (Path(module.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
    page.driver.execute_script(script)
    result: dict[str, Any] = page.driver.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in result["violations"]]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_no_accessibility_finding(page: Page, upstream: ScriptedOllama, scheme: str, width: int) -> None:
    require("axe_core_python", "it carries axe-core")
    page.resize(width)
    page.prefer(**{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
    upstream.script(thinking("Hm."), text(ANSWER), done())
    page.send("hi")
    page.until_idle()
    page.until("document.querySelectorAll('[data-body] pre .s1').length")
    upstream.models.clear()
    page.send("more")
    page.until_shown("[data-failure]")
    assert findings(page) == []
    upstream.models.append("qwen3:32b")
    upstream.script(text("So"), hang())
    page.click("[data-failure]:not([hidden]) [data-do=retry]")
    page.until_answer("So")
    assert findings(page) == []
    page.click("[data-interrupt]")
    page.until_idle()
    page.open(page.js("location.origin") + "/setup")
    assert findings(page) == []


def test_token_that_no_header_takes_is_no_lost_connection(blank: Page, gateway: Callable[..., Gateway]) -> None:
    page = blank.open(gateway(server={"auth_token": TOKEN}).base_url + "/")
    page.until_shown("dialog[data-token][open]")
    page.find("[data-token-input]").send_keys("密码密码密码\n")
    page.until_shown("[data-token-wrong]")
    page.find("[data-token-input]").send_keys(f"{TOKEN}\u200b\n")  # a zero-width space, as copied texts have
    page.until("document.querySelector('[data-link]').dataset.link === 'connected'")
    page.console()  # the 401s that asked for the token


def test_token_is_asked_for_once_and_kept(blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama) -> None:
    locked = gateway(server={"auth_token": TOKEN})
    page = blank.open(locked.base_url + "/")
    page.until_shown("dialog[data-token][open]")
    page.find("[data-token-input]").send_keys("wrong-token\n")
    page.until_shown("[data-token-wrong]")
    page.find("[data-token-input]").send_keys(f"{TOKEN}\n")
    page.until("document.querySelector('[data-link-text]').textContent === 'Connected'")
    page.send("hi")
    page.until_answer("Hello.")
    page.until_shown("[data-message=assistant] [data-body] p")
    page.reload()
    page.until_answer("Hello.")
    page.until("document.querySelector('[data-link-text]').textContent === 'Connected'")
    assert not page.is_shown("dialog[data-token]")
    page.open(locked.base_url + "/setup")
    page.until_shown("[data-setting]")
    assert TOKEN not in page.driver.page_source
    page.js("localStorage.clear()")
    page.reload()
    page.until_shown("dialog[data-token][open]")
    assert page.count("[data-setting]") == 0
    page.find("[data-token-input]").send_keys(f"{TOKEN}\n")
    page.until_shown("[data-setting]")
    assert ollama.chats
    page.leave()


def test_setup_shows_the_chain_and_what_mends_it(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    page.click("footer a")
    page.until_ready()
    states = "[...document.querySelectorAll('[data-hop]')].map(e => e.dataset.state)"
    page.until(f"{states}.filter((_, i) => i !== 1).join() === 'up,up,up,up'", "all but nginx is up")
    assert str(gate.port) in page.text("[data-hop=clawgate]")
    upstream.stop()
    page.until(f"{states}.slice(3).join() === 'down,unknown'", "it renews itself")
    assert page.text("[data-hop=ollama] [data-cure]") == "ollama serve"
    page.click("[data-hop=ollama] [data-copy]")
    page.until("document.querySelector('[data-hop=ollama] [data-copy]').dataset.copied")
    upstream.models.clear()
    upstream.start()
    page.until(f"{states}.slice(3).join() === 'up,down'")
    assert page.text("[data-hop=model] [data-cure]") == "ollama pull qwen3:32b"
    assert page.text("[data-setting='stream.stall_seconds'] td") == "60"
    assert page.console() == []


def test_setup_knows_that_it_came_through_nginx(
    blank: Page,
    gate: Gateway,
    upstream: ScriptedOllama,  # noqa: ARG001
    nginx: Callable[..., Nginx],
) -> None:
    proxy = nginx(gate)
    page = blank.open(proxy.base_url + "/setup")
    assert page.find("[data-hop=nginx]").get_attribute("data-state") == "up"
    assert str(proxy.port) in page.text("[data-hop=nginx]")
    assert page.count("[data-setting]") > 20, "the reader sits at this machine, nginx says"
    page.leave()


def test_setup_shows_a_browser_elsewhere_the_states_alone(
    blank: Page, gate: Gateway, upstream: ScriptedOllama, nginx: Callable[..., Nginx]
) -> None:
    elsewhere = {"X-Forwarded-For $remote_addr": "X-Forwarded-For 192.0.2.7"}  # as nginx would see it
    page = blank.open(nginx(gate, replace=elsewhere).base_url + "/setup")
    states = "[...document.querySelectorAll('[data-hop]')].map(e => e.dataset.state).join()"
    page.until(f"{states} === 'up,up,up,up,up'")
    assert page.is_shown("[data-closed]")
    assert [page.count(each) for each in ("[data-setting]", "table", "[data-cure]", ".command", "main code")] == [0] * 5
    assert str(upstream.port) not in page.driver.page_source
    assert findings(page) == []
    upstream.stop()
    page.until(f"{states} === 'up,up,up,down,unknown'", "it renews itself")
    assert page.count("main code") == 0
    page.leave()
