"""Small windows, fingers, paper, and browsers without the newest colours; the page as an app."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import TYPE_CHECKING

import pytest

from tests.page.test_look import ANSWER, findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text
from tests.support.tools import ROOT

if TYPE_CHECKING:
    from tests.page.chromium import Page

STATIC = ROOT / "clawgate" / "static"
ALT_ENTER, ESCAPE = "\ue00a\ue007", "\ue00c"
ROOM = """(() => {
  const box = document.querySelector("[data-scroller]").getBoundingClientRect();
  const field = document.querySelector("[data-dropzone]").getBoundingClientRect();
  return [Math.min(box.bottom, innerHeight) - Math.max(box.top, 0), field.bottom, innerHeight,
          document.documentElement.scrollWidth - innerWidth];
})()"""
"""The visible height of the messages, the field's lower edge, the window's, and what is too wide."""
FINE = """[...document.querySelectorAll("textarea, input:not([type=checkbox], [type=file])")]
  .filter((each) => parseFloat(getComputedStyle(each).fontSize) < 16).map((each) => each.outerHTML)"""
"""The fields whose letters are so small that Safari zooms into them."""
SMALL = """[...document.querySelectorAll("button, select, summary, label.switch, .status a, dialog input")]
  .filter((each) => each.checkVisibility() && !each.classList.contains("skip"))
  .map((each) => [each.outerHTML.slice(0, 90), each.getBoundingClientRect()])
  .filter(([, box]) => box.width && (box.width < 43.9 || box.height < 43.9))
  .map(([shown, box]) => `${shown} ${box.width} x ${box.height}`)"""


@pytest.mark.parametrize(
    ("name", "width", "height", "least"),
    [
        ("a phone", 390, 844, 400),
        ("a phone on its side", 844, 390, 200),
        ("a phone with its keyboard", 390, 420, 250),
        ("a desktop at 200 %", 640, 360, 200),
        ("a desktop at 400 %", 320, 180, 90),
    ],
)
def test_the_messages_keep_their_room(
    page: Page, upstream: ScriptedOllama, name: str, width: int, height: int, least: int
) -> None:
    upstream.script(text(ANSWER * 3), done())
    page.send("hi")
    page.until_idle()
    page.resize(width, height)
    page.until(f"innerHeight === {height}")
    room, field, bottom, wider = page.js(ROOM)
    assert room >= least, name
    assert field <= bottom, "the field is in view"
    assert wider == 0
    assert findings(page) == []
    for hook in ("send", "interrupt", "clear", "language", "settings-open", "link"):
        page.driver.execute_script(f"document.querySelector('[data-{hook}]').scrollIntoView()")
        assert page.js(f"document.querySelector('[data-{hook}]').getBoundingClientRect().bottom <= innerHeight"), hook


def test_what_fingers_press_is_large_enough(page: Page, upstream: ScriptedOllama) -> None:
    page.cdp("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        upstream.script(text(ANSWER), done("length"))
        upstream.script(text("So"), hang())
        for width, height in ((390, 844), (844, 390)):
            page.resize(width, height)
            page.until("matchMedia('(pointer: coarse)').matches")
            assert page.js(FINE) == [], "letters that a phone zooms into"
            assert page.js(SMALL) == []
        page.write("hi")
        page.click("[data-act]")
        page.until_idle()
        page.until("document.querySelectorAll('[data-body] .code > button').length")
        assert page.js(SMALL) == []
        page.write("more")
        page.click("[data-act]")
        page.until_answer("So")
        page.write("wait" + ALT_ENTER)
        page.until("document.querySelectorAll('[data-queued]').length")
        assert page.js(SMALL) == []
        page.click("[data-settings-open]")
        assert page.js(SMALL) == []
        assert findings(page) == []
        page.press(ESCAPE)  # closes the dialog
        page.press(ESCAPE)
        page.until_idle()
    finally:
        page.cdp("Emulation.setTouchEmulationEnabled", enabled=False)


def test_paper_gets_the_whole_conversation_and_nothing_else(page: Page, upstream: ScriptedOllama) -> None:
    line = "x = " + "'long' + " * 60 + "''"
    paragraphs = "A paragraph.\n\n" * 60
    upstream.script(text(f"First words.\n\n{paragraphs}```python\n{line}\n```\n\nLast words."), done())
    page.send("Print me")
    page.until_idle()
    page.until("document.querySelectorAll('[data-body] pre .s1').length")
    page.prefer(**{"prefers-color-scheme": "dark"})
    pages = page.cdp("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
    pdf = base64.b64decode(pages["data"])
    assert int(re.findall(rb"/Count (\d+)", pdf)[-1]) >= 2, "not only what the window shows"
    page.cdp("Emulation.setEmulatedMedia", media="print")
    try:
        shown = page.js("document.body.innerText")
        assert "First words." in shown
        assert "Last words." in shown
        assert not any(word in shown for word in ("Send", "Clear session", "Connected", "Copy", "tokens/s", "Enter"))
        assert page.js("document.querySelector('[data-scroller]').clientHeight > innerHeight")
        assert page.js("document.querySelector('pre').scrollWidth <= document.querySelector('pre').clientWidth")
        ink = re.findall(r"\d+", page.js("getComputedStyle(document.querySelector('[data-body]')).color"))
        assert max(map(int, ink[:3])) < 100, "dark ink, in the dark too"
    finally:
        page.cdp("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_browser_without_light_dark_gets_plain_colours(page: Page, theme: str) -> None:
    """The function's name is made unknown in a copy of the styles, which takes their place."""
    page.prefer(**{"prefers-reduced-motion": "reduce"})
    page.driver.execute_script("document.documentElement.dataset.theme = arguments[0]", theme)
    colours = (
        "['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name])"
        ".concat(getComputedStyle(document.querySelector('.actions .send')).backgroundColor)"
    )
    known = page.js(colours)
    sheets = [path.read_text().replace("light-dark(", "unknown(") for path in sorted(STATIC.glob("*/*.css"))]
    page.driver.execute_script(
        "document.querySelectorAll('link[rel=stylesheet]').forEach((each) => each.remove());"
        "document.adoptedStyleSheets = arguments[0].map((text) => {"
        "  const sheet = new CSSStyleSheet(); sheet.replaceSync(text); return sheet; })",
        sheets,
    )
    assert page.js(colours) == known
    names = set(re.findall(r"(--[\w-]+): light-dark", (STATIC / "parts" / "base.css").read_text()))
    assert names
    style = "getComputedStyle(document.documentElement).getPropertyValue(arguments[0])"
    assert {name for name in names if "(" in page.js(style, name)} == set(), "each has a plain one"


def test_the_page_is_an_app_for_phones(page: Page, gate: Gateway) -> None:
    told = page.cdp("Page.getAppManifest")
    assert told["errors"] == []
    manifest = json.loads(told["data"])
    assert told["url"].startswith(f"{gate.base_url}/static/")
    for icon in manifest["icons"]:
        answer = gate.get("/static/" + icon["src"])
        assert (answer.status, answer.headers["Content-Type"].split(";")[0]) == (200, icon["type"])
        if icon["type"] == "image/png":
            width, height = struct.unpack(">II", (STATIC / icon["src"]).read_bytes()[16:24])
            assert icon["sizes"] == f"{width}x{height}"
    assert page.js("new URL(arguments[0], arguments[1]).pathname", manifest["start_url"], told["url"]) == "/"
    bars = "[...document.querySelectorAll('meta[name=theme-color]')].filter((each) => matchMedia(each.media).matches)"
    seen = []
    for theme in ("light", "dark", "auto"):
        page.driver.execute_script(
            "const choice = document.querySelector('[data-theme-choice]');"
            "choice.value = arguments[0]; choice.dispatchEvent(new Event('change'))",
            theme,
        )
        seen.append(page.js(f"{bars}.map((each) => each.content)"))
        page.reload()
        assert page.js(f"{bars}.map((each) => each.content)") == seen[-1], "the server says the same"
    assert seen == [["#f7f6f2"], ["#131619"], ["#f7f6f2"]]
