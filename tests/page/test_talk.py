"""Talking: send, see it stream, interrupt, cut in, continue, regenerate, edit, clear."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, done, hang, text, texts, wait
from tests.support.tools import DEADLINE_S, wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE, ENTER, SHIFT_ENTER = "\ue00c", "\ue007", "\ue008\ue007"
DISABLED = "document.querySelector('[data-interrupt]').disabled"


def test_answer_streams_with_its_tag_and_ends_with_its_speed(page: Page, upstream: ScriptedOllama) -> None:
    goes_on = threading.Event()
    upstream.script(text("Hel"), wait(goes_on), text("lo"), done(eval_count=100, eval_duration=2_000_000_000))
    page.send("hi")
    page.until_answer("Hel")
    assert page.text("[data-tag]") == "streaming…"
    tag, bubble = page.find("[data-tag]").rect, page.find("[data-message=assistant] .bubble").rect
    assert tag["x"] > bubble["x"] + bubble["width"] / 2
    assert tag["y"] > bubble["y"] + bubble["height"] / 2
    goes_on.set()
    page.until_answer("Hello")
    page.until_idle()
    page.until("document.querySelector('[data-tag]').hidden")
    assert page.text("[data-stats]") == "50.0 tokens/s · 5.0 s"
    assert page.find("[data-message=user] [data-body]").text == "hi"


def test_interrupt_is_red_and_only_usable_while_an_answer_streams(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("So far"), hang())
    colour = "getComputedStyle(document.querySelector('[data-interrupt]')).backgroundColor"
    assert page.js(DISABLED)
    assert page.js(colour) == "rgba(0, 0, 0, 0)", "it is quiet while there is nothing to interrupt"
    page.send("hi")
    page.until_answer("So far")
    assert not page.js(DISABLED)
    page.until(f"{colour} !== 'rgba(0, 0, 0, 0)' && document.getAnimations().every((a) => !a.transitionProperty)")
    red, green, blue = map(int, re.findall(r"\d+", page.js(colour)))
    assert red > 150 > green + blue - 40
    assert page.js(f"(document.querySelector('[data-interrupt]').click(), {DISABLED})"), "not disabled at once"
    page.until_idle()
    assert page.js(DISABLED)
    page.until("document.querySelector('[data-mark]').innerText === 'Interrupted'", "the mark")
    assert upstream.next_request().closed.wait(DEADLINE_S)
    upstream.script(text("again"), hang())
    page.send("more")
    page.until(f"!{DISABLED}", "interrupt can be pressed again")
    page.click("[data-interrupt]")
    page.until_idle()


def test_escape_interrupts_and_the_follow_up_knows_the_partial_text(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(texts("Palace, ", "Temple"), hang())
    page.send("sights?")
    page.until_answer("Palace, Temple")
    page.press(ESCAPE)
    page.until_idle()
    assert page.answer() == "Palace, Temple"
    page.send("tickets?")
    page.until_answer("Hello.")
    upstream.next_request()
    said = [(m["role"], m["content"]) for m in upstream.next_request().messages]
    assert said == [("user", "sights?"), ("assistant", "Palace, Temple"), ("user", "tickets?")]


def test_enter_during_an_answer_cuts_in(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("Long story"), hang())
    page.send("tell")
    page.until_answer("Long story")
    page.send("shorter")
    page.until_answer("Hello.")
    page.until_idle()
    assert upstream.next_request().closed.wait(DEADLINE_S)
    assert page.answer(0) == "Long story"
    assert page.js("document.querySelector('[data-message=assistant] [data-mark]').innerText") == "Interrupted"
    assert [m["content"] for m in upstream.next_request().messages] == ["tell", "Long story", "shorter"]


def test_follow_up_before_the_first_answer_has_begun_joins_its_session(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(hang())
    page.send("one")
    page.send("two")
    page.until_answer("Hello.")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "two"]


def test_shift_enter_makes_a_new_line(page: Page, upstream: ScriptedOllama) -> None:
    page.write("one")
    page.write(SHIFT_ENTER)
    page.send("two")
    page.until_answer("Hello.")
    assert upstream.next_request().messages[-1]["content"] == "one\ntwo"


def test_enter_in_a_composition_never_sends(page: Page, upstream: ScriptedOllama) -> None:
    page.write("a")
    page.cdp("Input.imeSetComposition", text="ni", selectionStart=2, selectionEnd=2)
    page.press(ENTER)
    for given in ("isComposing: true, keyCode: 13", "keyCode: 229"):
        page.js(
            "document.querySelector('[data-input]').dispatchEvent("
            f"new KeyboardEvent('keydown', {{key: 'Enter', {given}, bubbles: true, cancelable: true}}))"
        )
    assert page.count("[data-message]") == 0
    assert upstream.chats == []
    page.cdp("Input.insertText", text="你好")
    page.press(ENTER)
    page.until_answer("Hello.")
    assert "你好" in upstream.next_request().messages[-1]["content"]


def test_continue_goes_on_in_place(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("One, two"), hang())
    page.send("count")
    page.until_answer("One, two")
    page.press(ESCAPE)
    page.until_idle()
    upstream.script(text(", three"), done())
    page.click("[data-do=continue]")
    page.until_answer("One, two, three")
    page.until_idle()
    assert page.count("[data-message=assistant]") == 1
    upstream.next_request()
    assert upstream.next_request().messages[-1]["content"] == "One, two"
    assert page.js("document.activeElement.matches('[data-input]')"), "the button that had the focus is gone"
    page.until("document.querySelector('[data-do=continue]').hidden && document.querySelector('[data-mark]').hidden")


def test_a_table_that_was_cut_after_its_head_goes_on(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("| A | B |\n|---|---|\n"), hang())
    upstream.script(text("| 1 | 2 |\n| 3 | 4 |"), done())
    page.send("go")
    page.until_answer("A\tB")
    page.press(ESCAPE)
    page.until_rendered()
    page.click("[data-do=continue]")
    page.until_rendered()
    assert page.answer() == "A\tB\n1\t2\n3\t4"


def test_an_interrupt_in_the_middle_of_a_mark_shows_no_marks(page: Page, upstream: ScriptedOllama) -> None:
    for said, shown in (
        ("Take **the fir", "Take the fir"),
        ("1. **标题", "标题"),
        ("| A | B |\n|---|", "A\tB"),
        ("Look:\n-", "Look:"),
    ):
        upstream.script(text(said), hang())
        page.send("go")
        page.until_answer(shown)
        page.press(ESCAPE)
        page.until_rendered()
        assert page.answer() == shown
        page.reload()
        page.until_rendered()
        assert page.answer() == shown


def test_answer_that_was_cut_off_by_its_length_can_be_continued(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("One"), done("length"))
    page.send("count")
    page.until_idle()
    page.until_shown("[data-do=continue]")
    assert page.text("[data-mark]").startswith("Cut off")


def test_regenerate_replaces_the_answer(page: Page, upstream: ScriptedOllama) -> None:
    page.send("hi")
    page.until_answer("Hello.")
    page.until_idle()
    upstream.script(text("Other."), done())
    page.click("[data-do=regenerate]")
    page.until_answer("Other.")
    assert page.count("[data-message=assistant]") == 1
    upstream.next_request()
    assert [m["content"] for m in upstream.next_request().messages] == ["hi"]


def test_edited_question_replaces_itself_and_its_answer(page: Page, upstream: ScriptedOllama) -> None:
    page.send("first")
    page.until_answer("Hello.")
    page.send("helo")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    page.driver.execute_script("[...document.querySelectorAll('[data-do=edit]')].pop().click()")
    assert page.js("document.querySelector('[data-input]').value") == "helo"
    page.until_shown("[data-editing]")
    page.send(" world")
    page.until("[...document.querySelectorAll('[data-message=user]')].pop().innerText.includes('helo world')")
    page.until_idle()
    assert page.count("[data-message]") == 4
    assert [m["content"] for m in upstream.chats[-1].messages] == ["first", "Hello.", "helo world"]


def test_editing_can_be_given_up(page: Page) -> None:
    page.send("first")
    page.until_answer("Hello.")
    page.until_idle()
    page.click("[data-do=edit]")
    page.until_shown("[data-editing]")
    page.press(ESCAPE)
    page.until("document.querySelector('[data-editing]').hidden")
    assert page.js("document.querySelector('[data-input]').value") == ""


def test_clear_destroys_the_session_here_and_on_the_server(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("Hm"), hang())
    page.send("secret")
    page.until_answer("Hm")
    old = page.session("secret")
    assert gate.get(f"/api/sessions/{old}").status == 200
    page.click("[data-clear]")
    page.until("document.querySelectorAll('[data-message]').length === 0")
    assert upstream.next_request().closed.wait(DEADLINE_S)
    page.until_shown("[data-undo]")
    page.reload()  # the time to undo it is over once the page is left
    wait_for(lambda: gate.get(f"/api/sessions/{old}").status == 404, "the server has forgotten it")
    page.send("new")
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["new"]
    assert page.session("new") != old


def test_whole_story_through_nginx(
    blank: Page, gate: Gateway, upstream: ScriptedOllama, nginx: Callable[..., Nginx]
) -> None:
    proxy = nginx(gate)
    page = blank.open(proxy.base_url + "/")
    upstream.script(text("Long"), hang())
    page.send("tell")
    page.until_answer("Long")
    page.press(ESCAPE)
    page.until_idle()
    assert upstream.next_request().closed.wait(DEADLINE_S)
    page.send("go on")
    page.until_answer("Hello.")
    assert [m["content"] for m in upstream.next_request().messages] == ["tell", "Long", "go on"]
    page.leave()


def test_conversation_works_by_keyboard_alone(page: Page, upstream: ScriptedOllama) -> None:
    assert page.js("document.activeElement.matches('[data-input]')")
    page.press("hi" + ENTER)
    page.until_answer("Hello.")
    page.until_idle()
    seen = []
    for _ in range(25):
        page.press("\ue004")
        seen.append(page.js("JSON.stringify({...document.activeElement.dataset})"))
    for name in ("scroller", "send", "clear", "language", "themeChoice", "thinkInput", "input"):
        assert any(f'"{name}"' in each for each in seen), f"{name} cannot be reached"
    assert any('"regenerate"' in each for each in seen)
    assert upstream.chats
