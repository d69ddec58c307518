"""A real Chromium for the page's tests, and the page in it as they use it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from selenium.common.exceptions import JavascriptException, StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService, Keys
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.support.client import post
from tests.support.tools import DEADLINE_S, wait_for

INSECURE_HOST = "clawgate.test"
"""A name that leads to loopback and is no secure context for the browser, like http://host:8080."""
EVIL_HOST = "evil.example"
"""Another site's name, which leads to loopback, too."""
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-features=BackForwardCache",  # without it, each page that is left costs another process
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1, MAP {EVIL_HOST} 127.0.0.1",
)


PATIENCE_S = 2 * DEADLINE_S
"""Several browsers share the cores: the same page may take ten times as long as alone."""
FORGET = """
Storage.prototype.setItem = () => undefined;
IDBDatabase.prototype.transaction = () => { throw new DOMException("", "InvalidStateError"); };
localStorage.clear();
sessionStorage.clear();
"""
"""What keeps a page from storing anything as it is left."""
KEPT = """
const done = arguments[0];
const opening = indexedDB.open("clawgate:" + location.pathname);
opening.onsuccess = () => {
  const database = opening.result;
  const reading = database.objectStoreNames.length ? database.transaction("bodies").objectStore("bodies").getAll() : {};
  reading.onsuccess = () => (database.close(), done(reading.result.map((each) => each.body)));
  if (!("result" in reading)) done([]);
};
"""
"""Reads the conversations that the page keeps in its database."""
REWRITE = """
const [fields, done] = arguments;
const opening = indexedDB.open("clawgate:" + location.pathname);
opening.onsuccess = () => {
  const bodies = opening.result.transaction("bodies", "readwrite").objectStore("bodies");
  const reading = bodies.getAll();
  reading.onsuccess = () => {
    for (const each of reading.result) bodies.put({...each, body: {...each.body, ...fields}});
    opening.result.close();
    bodies.transaction.oncomplete = () => done();
  };
};
"""
"""Changes the conversations in the page's database."""


WATCH = """
const done = arguments[0], endsAt = performance.now() + 500;
(function look() {
  let value = null;
  try { value = (%s); } catch { /* an element that it reads is not there yet */ }
  if (value || performance.now() > endsAt) done(value);
  else setTimeout(look, 20);
})();
"""
"""Looks at an expression until it is true, for half a second at most: each look from outside costs milliseconds."""


SHOWN = """
(e => !!e && e.getClientRects().length > 0 && e.checkVisibility({checkOpacity: true, checkVisibilityCSS: true}))(
  [...document.querySelectorAll(%s)].at(-1)
)"""
"""Tells whether the last such element can be seen."""


def start(chromium: str, chromedriver: str, profile: Path) -> Chrome:
    """Start a browser with an empty profile."""
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options, ChromeService(chromedriver, env=_environment()))


def _environment() -> dict[str, str]:
    """Leave proxies out: the driver is asked over loopback."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


class Page:
    """The chat page in the browser. Every wait is for a condition, none for a time."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> Page:
        """Open an address and wait until its script has run."""
        self.driver.get(url)
        self.until_ready()
        return self

    def reload(self) -> None:
        """Load the page again."""
        self.driver.refresh()
        self.until_ready()

    def leave(self) -> None:
        """Leave the page, and keep nothing of it in the browser.

        The page keeps its conversation as it is left, and its process may do so after the browser has been cleared: one
        of 40 tests found the conversation of the one before. So the page is forbidden to store anything first.

        An answer that streams is interrupted: it would wait for its reader.
        """
        origin = self.js("location.origin")
        if not origin.startswith("http"):
            return
        base, streaming = self.js("document.body?.dataset.base"), []
        if base:
            with suppress(JavascriptException, TimeoutException):
                streaming = [each["sessionId"] for each in self.kept() if each.get("activeId")]
        self.driver.execute_script(FORGET)
        self.driver.get("about:blank")
        self.cdp("Storage.clearDataForOrigin", origin=origin, storageTypes="all")
        for session in streaming:
            with suppress(OSError, HTTPException):
                post(origin, f"{base}api/interrupt", {"session_id": session})

    def kept(self) -> list[dict[str, Any]]:
        """Give the conversations that the browser keeps, in the order of their ids."""
        return list(self.driver.execute_async_script(KEPT))

    def rewrite(self, **fields: Any) -> None:
        """Change fields of every conversation that the browser keeps."""
        self.driver.execute_async_script(REWRITE, fields)

    def session(self, said: str = "") -> str:
        """Wait until a conversation in which this was said is kept, and give its session's id."""

        def found() -> str | None:
            kept = [each for each in self.kept() if any(said in message["content"] for message in each["messages"])]
            return str(kept[-1]["sessionId"]) if kept else None

        return wait_for(found, f"a conversation with {said!r} is kept")

    def until_ready(self) -> None:
        """Wait for the page's script."""
        self.until("document.documentElement.dataset.ready === 'yes'", "the page is ready")

    def hurry(self) -> None:
        """Let the page's patience, and its pauses between two looks, be a tenth of what they are from now on."""
        self.driver.execute_script(
            "const [wait, within] = [window.setTimeout, AbortSignal.timeout.bind(AbortSignal)];"
            "window.setTimeout = (act, ms, ...rest) => wait(act, ms / 10, ...rest);"
            "AbortSignal.timeout = (ms) => within(ms / 10);"
            "window.dispatchEvent(new Event('online'))"
        )

    def js(self, expression: str, *arguments: Any) -> Any:
        """Evaluate an expression in the page."""
        return self.driver.execute_script(f"return ({expression})", *arguments)

    def until(self, expression: str, what: str = "", deadline_s: float = PATIENCE_S) -> Any:
        """Wait for an expression to be true in the page, and give its value."""
        return wait_for(lambda: self._watched(expression), what or expression, deadline_s)

    def _watched(self, expression: str) -> Any:
        try:
            return self.driver.execute_async_script(WATCH % expression)
        except JavascriptException:  # another page has taken its place meanwhile
            return None

    def find(self, selector: str) -> WebElement:
        """Find one element."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """Click an element once it is visible."""
        wait_for(lambda: self._is_clicked(selector), f"{selector} is visible")

    def _is_clicked(self, selector: str) -> bool:
        try:
            element = self.find(selector)
            if not element.is_displayed():
                return False
            element.click()
        except StaleElementReferenceException:  # the page has drawn another in its place
            return False
        return True

    def write(self, text: str) -> None:
        """Type into the message field."""
        self.find("[data-input]").send_keys(text)

    def send(self, text: str) -> None:
        """Type a message and press Enter."""
        self.write(text)
        self.find("[data-input]").send_keys(Keys.ENTER)

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        ActionChains(self.driver).send_keys(key).perform()

    def text(self, selector: str) -> str:
        """Give the text of an element, visible or not."""
        return str(self.js("document.querySelector(arguments[0]).textContent.trim()", selector))

    def answer(self, number: int = -1) -> str:
        """Give an answer's text; the last one's by default."""
        found = self.js("[...document.querySelectorAll('[data-message=assistant] [data-body]')].map(e => e.innerText)")
        return str(found[number]).strip()

    def until_answer(self, text: str, number: int = -1) -> None:
        """Wait until an answer has this text."""
        bodies = "[...document.querySelectorAll('[data-message=assistant] [data-body]')]"
        self.until(f"{bodies}.at({number})?.innerText.trim() === {json.dumps(text)}", f"the answer is {text!r}")

    def until_idle(self) -> None:
        """Wait until nothing streams."""
        self.until("!document.body.classList.contains('streaming')", "nothing streams")

    def until_rendered(self) -> None:
        """Wait until every message is over and the gateway has rendered it: a browser may translate it then."""
        self.until_idle()
        open_ = "[data-message]:not([data-phase=done]), [data-body][translate]"
        self.until(f"document.querySelector('[data-message]') && !document.querySelector('{open_}')", "all is rendered")

    def count(self, selector: str) -> int:
        """Count elements."""
        return int(self.js("document.querySelectorAll(arguments[0]).length", selector))

    def is_shown(self, selector: str) -> bool:
        """Tell whether the last such element is visible."""
        try:
            found = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return bool(found) and found[-1].is_displayed()
        except StaleElementReferenceException:  # the page has drawn another in its place
            return False

    def until_shown(self, selector: str) -> None:
        """Wait until the last such element is visible."""
        self.until(SHOWN % json.dumps(selector), f"{selector} is visible")

    def cdp(self, command: str, **given: Any) -> Any:
        """Send a command of the browser's own protocol."""
        return self.driver.execute_cdp_cmd(command, given)

    def speak(self, languages: str) -> None:
        """Set what Accept-Language says."""
        agent = self.js("navigator.userAgent")
        self.cdp("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=languages)

    def prefer(self, **features: str) -> None:
        """Set media features: `prefer(**{"prefers-color-scheme": "dark"})`."""
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features.items()])

    def resize(self, width: int, height: int = 800) -> None:
        """Set the size of the view."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def look(self, *, away: bool) -> None:
        """Let the reader look away from the page, as at another tab, or come back."""
        window = self.cdp("Browser.getWindowForTarget")["windowId"]
        state = "minimized" if away else "normal"
        self.cdp("Browser.setWindowBounds", windowId=window, bounds={"windowState": state})
        self.until(f"document.hidden === {str(away).lower()}")

    def console(self) -> list[dict[str, Any]]:
        """Take what the console has said since the last call."""
        return list(self.driver.get_log("browser"))  # type: ignore[no-untyped-call]

    def shot(self, file: Path) -> None:
        """Save a picture of the view."""
        self.driver.save_screenshot(str(file))
