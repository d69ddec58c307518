"""The field and its hands: one button that changes, touch, messages that wait, keys, examples, the tab's title."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, error_line, hang, status, text, wait

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE, ENTER, ALT_ENTER, CONTROL_ENTER, UP = "\ue00c", "\ue007", "\ue00a\ue007", "\ue009\ue007", "\ue013"
ACT = "document.querySelector('[data-act]').dataset.act"
FIELD = "document.querySelector('[data-input]').value"
HAS_FOCUS = "document.activeElement.matches('[data-input]')"
QUEUED = "[...document.querySelectorAll('[data-queued-text]')].map((each) => each.textContent).join('|')"


@pytest.fixture
def touch(page: Page) -> Iterator[Page]:
    """The page on a phone with a touch screen, in the portrait format."""
    page.cdp("Emulation.setTouchEmulationEnabled", enabled=True)
    page.resize(390, 844)
    page.until("matchMedia('(pointer: coarse)').matches")
    yield page
    page.cdp("Emulation.setTouchEmulationEnabled", enabled=False)


def test_one_button_at_the_field_sends_stops_and_cuts_in(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("One"), hang())
    upstream.script(text("Two"), hang())
    page.write("tell")
    assert page.js(ACT) == "send"
    page.click("[data-act]")
    page.until_answer("One")
    page.until(f"{ACT} === 'stop'")
    assert page.find("[data-act]").get_attribute("aria-label") == "Interrupt"
    page.write("shorter")
    assert page.js(ACT) == "send"
    assert page.find("[data-act]").get_attribute("title") == "Send now and interrupt"
    page.click("[data-act]")
    page.until_answer("Two")
    page.until(f"{ACT} === 'stop'")
    page.click("[data-act]")
    page.until_idle()
    page.until(f"{ACT} === 'send'")
    assert page.js(HAS_FOCUS)
    assert page.count("[data-message=user]") == 2
    page.until("document.querySelectorAll('[data-mark]:not([hidden])').length === 2")


def test_on_touch_enter_makes_a_new_line_and_stop_opens_no_keyboard(touch: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("So far"), hang())
    touch.send("one")
    touch.write("two")
    assert (touch.js(FIELD), touch.count("[data-message]")) == ("one\ntwo", 0)
    touch.click("[data-act]")
    touch.until_answer("So far")
    touch.driver.execute_script("document.activeElement.blur()")
    touch.click("[data-act]")
    touch.until_idle()
    assert not touch.js(HAS_FOCUS)
    touch.write("three")
    touch.find("[data-input]").send_keys(CONTROL_ENTER)
    touch.until_answer("Hello.")
    assert upstream.chats[-1].messages[-1]["content"] == "three"


def test_alt_enter_queues_behind_the_answer(page: Page, upstream: ScriptedOllama) -> None:
    goes_on = threading.Event()
    upstream.script(text("One"), wait(goes_on), done())
    page.send("first")
    page.until_answer("One")
    for message in ("second", "third", "fourth"):
        page.write(message + ALT_ENTER)
    page.until(f"{QUEUED} === 'second|third|fourth'")
    assert page.js(FIELD) == ""
    assert page.count("[data-message=user]") == 1
    page.driver.execute_script("document.querySelectorAll('[data-queued-do=withdraw]')[1].click()")
    page.until(f"{QUEUED} === 'second|fourth'")
    page.write("draft")
    page.driver.execute_script("document.querySelectorAll('[data-queued-do=edit]')[1].click()")
    page.until(f"{QUEUED} === 'second'")
    assert page.js(FIELD) == "fourth\n\ndraft", "nothing that stood in the field is lost"
    goes_on.set()
    page.until("document.querySelectorAll('[data-message=user]').length === 2")
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["first", "One", "second"]
    assert not page.is_shown("[data-queue]")


def test_a_long_message_that_waits_keeps_its_buttons_in_view(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("One"), hang())
    page.send("first")
    page.until_answer("One")
    for message in ("a long message that waits " * 20, "short"):
        page.write(message + ALT_ENTER)
    page.until("document.querySelectorAll('[data-queued]').length === 2")
    for width in (1280, 390):
        page.resize(width)
        right = page.js("document.querySelector('[data-queue]').getBoundingClientRect().right")
        ends = "[...document.querySelectorAll('[data-queued-do]')].map((e) => e.getBoundingClientRect().right)"
        assert max(page.js(ends)) <= right
    page.press(ESCAPE)
    page.until_idle()


def test_what_waits_stays_after_an_interrupt_and_a_failure_and_a_reload(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("One"), hang())
    upstream.script(status(500, {"error": "no"}))
    page.send("first")
    page.until_answer("One")
    page.write("second" + ALT_ENTER)
    page.write("third" + ALT_ENTER)
    page.press(ESCAPE)
    page.until_idle()
    assert page.js(QUEUED) == "second|third"
    page.click("[data-queued-do=send]")
    page.until_shown("[data-failure]")
    page.until_idle()
    assert page.js(QUEUED) == "third"
    page.reload()
    page.until(f"{QUEUED} === 'third'")
    page.click("[data-queued-do=send]")
    page.until_answer("Hello.")
    assert upstream.chats[-1].messages[-1]["content"] == "third"


PUT = """
const input = document.querySelector('[data-input]');
let measured = 0;
Object.defineProperty(input, 'scrollHeight', {configurable: true, get: () => (measured += 1, 1000)});
input.value = arguments[0];
input.dispatchEvent(new Event('input'));
delete input.scrollHeight;
return [input.offsetHeight, measured];
"""
"""Puts a text into the field; gives the field's height, and how often the text was measured."""


def test_the_field_is_as_high_as_its_text_and_long_texts_are_not_measured(page: Page) -> None:
    height = "document.querySelector('[data-input]').offsetHeight"
    one = page.js(height)
    page.write("two\ue008\ue007\ue008lines")
    assert one < page.js(height) < 240
    assert page.driver.execute_script(PUT, "line\n" * 40) == [240, 1]
    assert page.driver.execute_script(PUT, "line\n" * 40_000) == [240, 0]
    page.driver.execute_script("document.querySelector('[data-input]').value = ''")
    page.write("x")
    assert page.js(height) == one


def test_a_question_mark_outside_of_fields_lists_the_keys(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("So far"), hang())
    page.send("go")
    page.until_answer("So far")
    page.write("really?")
    assert page.js(FIELD) == "really?"
    page.find("[data-scroller]").click()
    for given in ("isComposing: true", "keyCode: 229"):
        page.js(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '?', {given}, bubbles: true}}))")
    assert page.count("dialog[open]") == 0
    page.press("?")
    page.until_shown("dialog[data-shortcuts][open]")
    assert page.count("[data-shortcuts] dt") == 7
    page.press(ESCAPE)
    page.until("!document.querySelector('dialog[open]')")
    assert not page.js("document.querySelector('[data-interrupt]').disabled"), "the dialog has Esc for itself"
    page.press(ESCAPE)
    page.until_idle()
    page.click("[data-shortcuts-open]")
    page.until_shown("dialog[data-shortcuts][open]")


def test_arrow_up_in_an_empty_field_edits_the_last_question(page: Page, upstream: ScriptedOllama) -> None:
    page.send("helo")
    page.until_answer("Hello.")
    page.until_idle()
    page.press(UP)
    page.until_shown("[data-editing]")
    assert page.js(FIELD) == "helo"
    page.send(" world")
    page.until("document.querySelector('[data-message=user] [data-body]').innerText.includes('helo world')")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["helo world"]


def test_an_example_is_sent_by_one_click_in_the_readers_language(page: Page, upstream: ScriptedOllama) -> None:
    page.write("my own draft")
    page.click("[data-language]")
    page.until("document.querySelector('[data-example]').textContent.includes('自行车')")
    asked = page.text("[data-example]")
    page.click("[data-example]")
    page.until_answer("Hello.")
    assert upstream.next_request().messages[-1]["content"] == asked
    assert page.js(FIELD) == "my own draft"
    assert not page.is_shown("[data-example]")
    assert page.js(HAS_FOCUS), "the button that had the focus is gone"


def test_the_tab_tells_that_an_answer_is_ready_or_has_failed(page: Page, upstream: ScriptedOllama) -> None:
    icon = "document.querySelector('link[rel=icon]').href.split('/').pop()"
    own = page.js("document.title")
    ready = threading.Event()
    ends = ((done(), "✓ Answer ready · ", "ready.svg"), (error_line("no"), "⚠ Failed · ", "failed.svg"))
    for last, title, name in ends:
        upstream.script(text("One"), wait(ready), last)
        page.send("go")
        page.until_answer("One")
        page.look(away=True)
        ready.set()
        page.until(f"document.title === {title + own!r} && {icon} === {name!r}")
        page.look(away=False)
        page.until(f"document.title === {own!r} && {icon} === 'icon.svg'")
        page.until_idle()
        ready.clear()
    page.send("again")
    page.until_answer("Hello.")
    page.until_idle()
    assert page.js("document.title") == own, "who looks need not be told"


def test_a_message_behind_a_busy_answer_goes_out_with_its_settings(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """Settings count from the next message on, one that waits included."""
    page = blank.open(gateway().base_url + "/")
    goes_on = threading.Event()
    ollama.script(text("One"), wait(goes_on), done())
    page.send("first")
    page.until_answer("One")
    page.write("second" + ALT_ENTER)
    page.click("[data-settings-open]")
    page.find("[data-settings] [name=system]").send_keys("Be brief.")
    page.press(ESCAPE)
    goes_on.set()
    page.until_answer("Hello.")
    assert [m["content"] for m in ollama.chats[-1].messages] == ["Be brief.", "first", "One", "second"]
    page.leave()
