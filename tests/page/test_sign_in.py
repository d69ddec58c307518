"""A proxy in front of the gateway that asks for a sign-in of its own, beside the gateway's token, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama
from tests.support.proxies import recipe_of

if TYPE_CHECKING:
    from tests.page.chromium import Page

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
    assert page.text("[data-failure-title]") == "The proxy in front of the gateway asks for a sign-in."
    page.until("document.querySelector('[data-link]').dataset.link === 'signed_out'")
    assert page.text("[data-link-text]") == "Signed out: reload the page"
    assert not page.is_shown("dialog[data-token]"), "it is not the gateway's token that is asked for"
    page.driver.refresh()
    assert page.text("h1") == "Sign in"
    page.open(f"{front.base_url}/")
    page.click("[data-do=retry]")
    page.until_answer("Hello.")


def test_the_setup_page_says_so_too(blank: Page, gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]) -> None:
    front = nginx(gateway(), replace={INCLUDE: SINGLE_SIGN_ON + INCLUDE})
    blank.driver.get(f"{front.base_url}/login")
    page = blank.open(f"{front.base_url}/setup")
    page.driver.delete_all_cookies()
    page.until_shown("[data-signed-out]")
    assert not page.is_shown("[data-stale]")
