"""A proxy in front of the gateway that asks for a sign-in of its own, beside the gateway's token, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, hang, text
from tests.support.proxies import recipe_of
from tests.support.wire import Wire
from tests.support.wire import page as page_of

if TYPE_CHECKING:
    from tests.page.chromium import Page

LINK = "document.querySelector('[data-link]').dataset.link"
TOKEN = "a-very-secret-token"
INCLUDE = "include snippets/clawgate-locations.conf"
USERS = "/etc/nginx/clawgate.htpasswd"
SINGLE_SIGN_ON = """
    location = /login {
        add_header Set-Cookie "signed_in=yes; Path=/";
        default_type text/html;
        return 200 "<h1>Sign in";
    }
    if ($cookie_signed_in = "") { set $away y; }
    if ($uri = /login) { set $away n; }
    if ($away = y) { return 302 /login; }
"""
"""The answer of a single-sign-on proxy to a browser that is not signed in."""


def give_token(page: Page) -> None:
    page.until_shown("dialog[data-token][open]")
    page.find("[data-token-input]").send_keys(f"{TOKEN}\n")


def test_basic_authentication_and_the_token_work_side_by_side(
    blank: Page, gateway: Callable[..., Gateway], nginx: Callable[..., Nginx], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    (tmp_path / "users").write_text("ada:{PLAIN}pass\n")
    lines = recipe_of("nginx", "auth_basic").replace(USERS, str(tmp_path / "users"))
    front = nginx(gateway(server={"auth_token": TOKEN}), replace={INCLUDE: f"{lines}\n{INCLUDE}"})
    page = blank.open(f"http://ada:pass@127.0.0.1:{front.port}/")
    give_token(page)
    page.until("document.querySelector('[data-link]').dataset.link === 'connected'")
    page.send("hi")
    page.until_answer("Hello.")
    page.until_idle()
    assert "Authorization" not in ollama.chats[0].headers
    page.click("footer a")
    page.until("location.pathname === '/setup' && document.querySelector('[data-hop=ollama][data-state=up]')")
    page.console()  # the 401s that asked for the token
    page.open(f"{front.base_url}/")
    page.until_answer("Hello.")
    assert page.console() == []


def test_a_sign_in_that_has_run_out_is_told_from_the_gateways_own(
    blank: Page, gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    front = nginx(gateway(), replace={INCLUDE: SINGLE_SIGN_ON + INCLUDE})
    blank.driver.get(f"{front.base_url}/")
    assert blank.text("h1") == "Sign in"
    page = blank.open(f"{front.base_url}/")
    page.until("document.querySelector('[data-link]').dataset.link === 'connected'")
    page.driver.delete_all_cookies()
    page.send("hi")
    page.until_shown("[data-failure=sign_in]")
    assert page.text("[data-failure-title]").startswith("Your sign-on has expired:")
    page.until(f"{LINK} === 'signed_out'")
    assert page.text("[data-link-text]") == "Sign-on expired"
    page.until_shown("[data-banner=signed_out]")
    assert not page.is_shown("dialog[data-token]"), "it is not the gateway's token that is asked for"
    assert findings(page) == []
    page.click("[data-banner=signed_out] [data-reload]")
    page.until("document.querySelector('h1').textContent === 'Sign in'")
    assert page.text("h1") == "Sign in"
    page.open(f"{front.base_url}/")
    page.click("[data-do=continue]")
    page.until_answer("Hello.")


def test_the_setup_page_says_so_too(blank: Page, gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> None:
    front = nginx(gateway(), replace={INCLUDE: SINGLE_SIGN_ON + INCLUDE})
    blank.driver.get(f"{front.base_url}/login")
    page = blank.open(f"{front.base_url}/setup")
    page.driver.delete_all_cookies()
    page.until_shown("[data-old=signed-out]")
    assert page.count("[data-hop]:not([data-state=unknown])") == 0, "nothing is shown as known"
    assert findings(page) == []


@pytest.mark.parametrize(
    ("status", "title", "code", "link"),
    [
        ("200 OK", "Welcome to the hotel", "sign_in", "signed_out"),
        ("403 Forbidden", "Denied", "sign_in", "signed_out"),
        ("502 Bad Gateway", "502 Bad Gateway", "proxy", "disconnected"),
        ("503 Service Unavailable", "Down for maintenance", "proxy", "disconnected"),
    ],
)
def test_a_page_in_the_gateways_place_is_named_and_gone_on_from(
    page: Page, gate: Gateway, upstream: ScriptedOllama, status: str, title: str, code: str, link: str
) -> None:
    with Wire(gate.port) as wire:
        page.open(wire.base_url + "/")
        page.until(f"{LINK} === 'connected'")
        page.hurry()
        wire.answer(page_of(status, title))
        page.send("go")
        page.until_shown(f"[data-failure={code}]")
        assert title in page.text("[data-failure-detail]")
        assert page.is_shown("[data-do=reload]") == (code == "sign_in")
        page.until(f"{LINK} === '{link}'")
        wire.answer(b"")
        page.until_shown("[data-do=continue]")
        assert not page.is_shown("[data-banner=signed_out]")
        assert not upstream.chats, "nothing is sent by itself"
        page.click("[data-do=continue]")
        page.until_answer("Hello.")
        page.until_idle()
        page.leave()


def test_an_interrupt_that_meets_a_sign_in_cuts_here_and_says_so(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    """Only the stream passes: each other request of the page is turned away."""
    with Wire(gate.port) as wire:
        upstream.script(text("Half"), hang())
        page.open(wire.base_url + "/")
        page.send("go")
        page.until_answer("Half")
        page.hurry()
        wire.answer(page_of("200 OK", "Log in"), keeps_streams=True)
        page.click("[data-interrupt]")
        page.until_idle()
        assert page.answer() == "Half"
        page.until_shown("[data-banner=signed_out]")
        wire.answer(b"")
        page.until(f"{LINK} === 'connected'")
        assert not page.is_shown("[data-banner=signed_out]")
        page.leave()


def test_a_token_dialog_that_was_closed_opens_again_and_the_question_is_then_sent(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    page = blank.open(gateway(server={"auth_token": TOKEN}).base_url + "/")
    page.until_shown("dialog[data-token][open]")
    assert not page.is_shown("[data-token-forget]"), "there is none yet"
    assert page.text("[data-token-entry] span:not([hidden])") == "Enter the token"
    page.click("[data-token-close]")
    page.send("hi")  # at once: the field has the focus back, with its keyboard
    page.until_shown("dialog[data-token][open]")
    page.click("[data-token-close]")
    assert page.text("[data-failure-hint]") == "Enter it; the question is then sent by itself."
    assert findings(page) == []
    page.click("[data-token-entry]")
    page.until_shown("dialog[data-token][open]")
    page.click("[data-token-close]")
    page.click("[data-do=token]")
    page.find("[data-token-input]").send_keys("wrong\n")
    page.until_shown("[data-token-wrong]")
    page.until_idle()  # the question has been refused with it, too
    give_token(page)
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in ollama.chats[-1].messages] == ["hi"]
    assert len(ollama.chats) == 1
    page.console()  # the 401s that asked for the token
    page.leave()


def test_the_token_can_be_changed_and_forgotten(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    page = blank.open(gateway(server={"auth_token": TOKEN}).base_url + "/")
    give_token(page)
    page.until(f"{LINK} === 'connected'")
    assert page.text("[data-token-entry] span:not([hidden])") == "Access token"
    page.click("[data-token-entry]")
    page.find("[data-token-input]").send_keys("another\n")
    page.until_shown("[data-token-wrong]")
    give_token(page)
    page.until(f"{LINK} === 'connected'")
    page.click("[data-token-entry]")
    assert findings(page) == []
    page.click("[data-token-forget]")
    page.until(f"{LINK} === 'locked'")
    assert page.js("!JSON.stringify(localStorage).includes(arguments[0])", TOKEN)
    page.reload()
    page.until_shown("dialog[data-token][open]")
    assert not ollama.chats
    page.console()
    page.leave()
