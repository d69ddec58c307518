"""Two windows of one browser: each shows what the other has said, and neither overwrites what the other knows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.page.test_attach import CUT, begin, until_whole
from tests.page.test_conversations import BLANK, ask, choose, forbid, open_one, titles, until_titles
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.tools import DEADLINE_S, wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE, ENTER, ALT = "\ue00c", "\ue007", "\ue00a"
COUNT = "document.querySelectorAll('[data-message]').length"
MUTE = "(BroadcastChannel.prototype.postMessage = () => undefined)"
WHEN_MARKED = (
    "new MutationObserver(() => { if (document.querySelector('[data-mark]:not([hidden])')) "
    "window.markedAt ??= Date.now() }).observe(document.body, {subtree: true, attributes: true})"
)
LOOK_AWAY = (
    "Object.defineProperty(document, 'hidden', {value: true}); document.dispatchEvent(new Event('visibilitychange'))"
)
MARK = "document.querySelector('[data-mark]:not([hidden])')?.textContent ?? ''"
NOTICE = "document.querySelector('[data-notice]:not([hidden]) [data-notice-text]')?.textContent ?? ''"


class Windows:
    """The page's window and a second one; `first()` and `second()` turn to them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._first = page.driver.current_window_handle
        self._second = ""

    def first(self) -> Page:
        """Turn to the first window."""
        self.page.driver.switch_to.window(self._first)
        return self.page

    def second(self) -> Page:
        """Turn to the second window; at the first call it is opened, and shows the latest conversation."""
        if self._second:
            self.page.driver.switch_to.window(self._second)
            return self.page
        address = self.page.js("location.href")
        self.page.driver.switch_to.new_window("tab")
        self._second = self.page.driver.current_window_handle
        return self.page.open(address)

    def lose_second(self) -> Page:
        """Close the second window as a reader does, and turn to the first."""
        self.second().driver.close()
        self._second = ""
        return self.first()

    def close(self) -> None:
        """Close the second window, and keep nothing of it."""
        if self._second:
            self.second()
            self.page.leave()
            self.page.driver.close()
        self.first()


@pytest.fixture
def windows(page: Page) -> Iterator[Windows]:
    """The page in a window that can get a second one."""
    both = Windows(page)
    yield both
    both.close()


@pytest.mark.parametrize("way", ["channel", "storage"])
def test_what_one_window_says_is_in_the_other(windows: Windows, upstream: ScriptedOllama, way: str) -> None:
    turns = [windows.first, windows.second]
    windows.second()
    allows = [forbid(turn(), "delete window.BroadcastChannel") for turn in turns] if way == "storage" else []
    try:
        page = windows.first()
        page.reload()
        ask(page, "one")
        page.session("Hello.")
        page = windows.second()
        page.js("sessionStorage.clear()")
        page.reload()
        open_one(page, "one")
        page.until_answer("Hello.")
        ask(page, "two")
        page = windows.first()
        page.until(f"{COUNT} === 4")
        ask(page, "three")
        assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "two", "Hello.", "three"]
        page = windows.second()
        page.until(f"{COUNT} === 6")
    finally:
        for turn, allow in zip(turns, allows, strict=False):
            turn()
            allow()


def test_an_answer_streams_into_both_windows_and_either_can_interrupt_it(
    windows: Windows, upstream: ScriptedOllama
) -> None:
    goes_on = threading.Event()
    upstream.script(text("Once"), wait(goes_on), text(" upon"), hang())
    page = windows.first()
    ask_at = page
    ask_at.send("tell")
    page.until_answer("Once")
    page.session("Once")
    page = windows.second()
    page.until_answer("Once")
    page.until("!document.querySelector('[data-tag]').hidden", "it is shown as one that streams")
    windows.first().js(MUTE)  # from now on the second window has it from the gateway alone
    page.driver.execute_script(WHEN_MARKED)
    goes_on.set()
    page = windows.second()
    page.driver.execute_script(WHEN_MARKED)
    page.until_answer("Once upon")
    page.js("(window.pressedAt = Date.now(), document.querySelector('[data-interrupt]').click())")
    second = page.until("window.markedAt") - page.js("window.pressedAt")
    assert upstream.chats[-1].closed.wait(DEADLINE_S)
    pressed_at = page.js("window.pressedAt")
    page = windows.first()
    first = page.until("window.markedAt") - pressed_at
    print(f"both have ended {second} and {first} ms after the interrupt")
    assert max(first, second) < 2000, "300 ms on a machine that does nothing else"
    page.until_idle()
    assert page.answer() == "Once upon"
    assert page.text("[data-mark]") == windows.second().text("[data-mark]") == "Interrupted"


def test_a_question_in_another_window_supersedes_the_answer_and_that_is_said(
    windows: Windows, upstream: ScriptedOllama
) -> None:
    upstream.script(text("Long"), hang())
    page = windows.first()
    page.send("tell")
    page.until_answer("Long")
    page.session("Long")
    page = windows.second()
    page.until_answer("Long")
    ask(page, "shorter")
    page = windows.first()
    page.until(f"({NOTICE}).startsWith('Superseded in another window')")
    page.until_idle()
    page.until(f"{COUNT} === 4")
    page.until_answer("Hello.")
    page.until_answer("Long", 0)
    assert [m["content"] for m in upstream.chats[-1].messages] == ["tell", "Long", "shorter"]


def unheard(windows: Windows) -> Page:
    """Have one answer in both windows, and turn to the second, of which the first hears nothing from now on."""
    page = windows.first()
    ask(page, "one")
    page.session("Hello.")
    page = windows.second()
    page.until_answer("Hello.")
    page.js(MUTE)
    return page


def test_an_older_copy_overwrites_nothing_here_or_on_the_server(windows: Windows, upstream: ScriptedOllama) -> None:
    page = unheard(windows)
    ask(page, "two")
    page.session("two")
    page = windows.first()
    assert page.js(COUNT) == 2, "it is behind"
    page.write("a draft")  # it is kept with the conversation
    page.until(f"{COUNT} === 4", "it has found out when it wrote")
    page = windows.second()
    ask(page, "three")
    page.session("three")
    page = windows.first()
    page.click("[data-message=assistant] [data-do=regenerate]")
    page.until("document.querySelector('[data-message=assistant] [data-branch]')?.textContent === '2/2'")
    page.until_idle()
    page.click("[data-message=assistant] [data-do=previous]")
    page.until(f"{COUNT} === 6", "nothing is lost")
    page.find("[data-input]").clear()
    ask(page, "four")
    said = [m["content"] for m in upstream.chats[-1].messages]
    assert said == ["one", "Hello.", "two", "Hello.", "three", "Hello.", "four"]


def test_what_both_windows_say_apart_become_two_ways(windows: Windows, upstream: ScriptedOllama) -> None:
    page = unheard(windows)
    ask(page, "mine")
    page.session("mine")
    page = windows.first()
    page.js(
        "(window.hung = 0, window.get = IDBObjectStore.prototype.get, IDBObjectStore.prototype.get = function (id) {"
        "return this.transaction.mode === 'readonly' && window.hung++ === 0 ? {} : window.get.call(this, id) })"
    )  # and its database does not answer in time
    upstream.script(text("Other."), done())
    page.send("yours")
    page.until("[...document.querySelectorAll('[data-message=user]')].pop().innerText.includes('yours')")
    page.until("[...document.querySelectorAll('[data-branch]')].some((each) => each.textContent === '1/2')")
    page.until_idle()
    page.until_answer("Other.")
    page.driver.execute_script(
        "[...document.querySelectorAll('[data-message=user]')].pop().querySelector('[data-do=next]').click()"
    )
    page.until("[...document.querySelectorAll('[data-message=user]')].pop().innerText.includes('mine')")
    ask(page, "more")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "mine", "Hello.", "more"]


def test_clear_and_removal_hold_in_both_windows(windows: Windows, gate: Gateway, upstream: ScriptedOllama) -> None:
    page = windows.first()
    ask(page, "keep")
    page.click("[data-new]")
    page.until(BLANK)
    upstream.script(text("Half"), hang())
    page.send("secret")
    page.until_answer("Half")
    session = page.session("Half")
    page = windows.second()
    page.until_answer("Half")
    page.click("[data-clear]")
    page.until(BLANK)
    until_titles(page, "keep")
    assert upstream.chats[-1].closed.wait(DEADLINE_S), "the answer in the other window is interrupted"
    page = windows.first()
    page.until(BLANK)
    assert "deleted in another window" in page.js(NOTICE)
    until_titles(page, "keep")
    page = windows.second()
    page.click("[data-undo-button]")
    page.until_answer("Half")
    page = windows.first()
    until_titles(page, "secret", "keep")
    open_one(page, "secret")
    page.until_answer("Half")
    choose(page, "secret", "remove")
    page = windows.second()
    page.until(BLANK)
    windows.first().reload()  # the time to undo it is over once the page is left
    wait_for(lambda: gate.get(f"/api/sessions/{session}").status == 404, "the server has forgotten it")
    assert titles(windows.second()) == ["keep"]


def test_a_window_that_is_gone_leaves_its_answer_to_the_other(windows: Windows, upstream: ScriptedOllama) -> None:
    goes_on = threading.Event()
    upstream.script(text("Half"), wait(goes_on), text(" whole."), done())
    page = windows.second()
    page.send("tell")
    page.until_answer("Half")
    page.session("Half")
    page = windows.first()
    open_one(page, "tell")
    page.until_answer("Half")
    page = windows.lose_second()
    goes_on.set()
    page.until_answer("Half whole.")
    page.until("document.querySelector('[data-tag]').hidden")
    wait_for(lambda: page.kept()[-1]["messages"][-1]["content"] == "Half whole.", "its end is kept")
    assert page.kept()[-1]["activeId"] == 0
    page.reload()
    page.until_answer("Half whole.")
    assert not page.is_shown("[data-mark]")
    assert len(upstream.chats) == 1


def test_both_windows_are_left_and_come_back_during_an_answer(
    windows: Windows, upstream: ScriptedOllama, gate: Gateway
) -> None:
    """Whichever of them keeps it then, it is kept once."""
    pieces = begin(windows.first(), upstream, gate.base_url)
    windows.first().session("one")
    windows.second().until_answer("one")
    for count in range(2, 5):
        windows.first().reload()
        if count == 3:
            windows.second().reload()
        pieces.go_on()
        for turn in (windows.first, windows.second):
            turn().until_answer(pieces.until(count))
    pieces.go_on(2)
    until_whole(windows.first(), pieces.until(6), upstream)
    page = windows.second()
    page.until_answer(pieces.until(6))
    page.until("document.querySelector('[data-tag]').hidden")
    (kept,) = page.kept()
    assert ([m["content"] for m in kept["messages"]], kept["others"]) == (["go", pieces.until(6)], [])


def test_a_window_reads_along_only_what_it_shows(windows: Windows, upstream: ScriptedOllama, gate: Gateway) -> None:
    page = windows.first()
    ask(page, "other")
    page.click("[data-new]")
    upstream.script(text("Half"), hang())
    page.send("tell")
    page.until_answer("Half")
    page.session("Half")
    page = windows.second()
    page.until_answer("Half")
    wait_for(lambda: gate.streams == 2, "both windows read")
    open_one(page, "other")
    wait_for(lambda: gate.streams == 1, "one reads")
    open_one(page, "tell")
    wait_for(lambda: gate.streams == 2, "both read again")
    page.until_answer("Half")


def test_an_answer_in_many_windows_leaves_the_browser_its_connections(
    page: Page, upstream: ScriptedOllama, gate: Gateway
) -> None:
    """A browser has six to one server, for all windows: the seventh would not load, and an interrupt would wait."""
    begin(page, upstream, gate.base_url)
    page.session("one")
    address, handles = page.js("location.href"), page.driver.window_handles
    try:
        for _ in range(7):
            page.driver.switch_to.new_window("tab")
            page.open(address).until_answer("one")
        assert gate.streams <= 2, "the one that has asked, and the one that is looked at"
        page.click("[data-interrupt]")
        assert upstream.chats[0].closed.wait(DEADLINE_S)
        for handle in page.driver.window_handles:
            page.driver.switch_to.window(handle)
            page.until(f"({MARK}) === 'Interrupted'")
    finally:
        for handle in set(page.driver.window_handles) - set(handles):
            page.driver.switch_to.window(handle)
            page.driver.close()
        page.driver.switch_to.window(handles[0])


def test_a_window_that_nobody_looks_at_reads_on_for_one_that_is_gone(
    windows: Windows, upstream: ScriptedOllama, gate: Gateway
) -> None:
    pieces = begin(windows.first(), upstream, gate.base_url)
    windows.first().session("one")
    page = windows.second()
    page.until_answer("one")
    page.driver.execute_script(LOOK_AWAY)
    wait_for(lambda: gate.streams == 1, "it reads along no more")
    pieces.go_on()
    page.until_answer(pieces.until(2))
    windows.first().driver.get("about:blank")
    pieces.go_on()
    windows.second().until_answer(pieces.until(3))
    pieces.go_on(3)
    until_whole(page, pieces.until(6), upstream)


def test_what_waits_behind_an_answer_can_come_from_either_window(
    windows: Windows, upstream: ScriptedOllama, gate: Gateway
) -> None:
    pieces = begin(windows.first(), upstream, gate.base_url)
    windows.first().session("one")
    page = windows.second()
    page.until_answer("one")
    page.until("!document.querySelector('[data-tag]').hidden", "it is shown as one that streams")
    for turn, said in ((windows.second, "next"), (windows.first, "last")):
        page = turn()
        page.write(said)
        page.find("[data-input]").send_keys(ALT + ENTER)
        for each in (windows.first, windows.second):
            each().until(f"document.querySelector('[data-queue]').innerText.includes({said!r})")
    pieces.go_on(5)
    for turn in (windows.first, windows.second):
        turn().until(f"{COUNT} === 6")
        turn().until("document.querySelectorAll('[data-queue] li').length === 0")

    def questions() -> list[str]:
        return [message["content"] for message in upstream.chats[-1].messages][::2]

    wait_for(lambda: questions() == ["go", "next", "last"], "the last one is asked, which is shown before")
    assert not upstream.chats[0].closed.is_set()


def test_an_answer_that_cannot_be_read_along_is_told_by_the_window_that_keeps_it(
    windows: Windows, upstream: ScriptedOllama
) -> None:
    goes_on = threading.Event()
    page = windows.first()
    ask(page, "one")
    page.session("Hello.")
    windows.second().until_answer("Hello.")
    windows.first().driver.execute_script(
        "const really = window.fetch; window.fetch = (url, ...rest) => {"
        "if (url.endsWith('api/chat')) window.asked = JSON.parse(rest[0].body);"
        "const isOver = url.endsWith('/stream');"
        "return isOver ? Promise.resolve(new Response(null, {status: 204})) : really(url, ...rest) }"
    )
    upstream.script(text("Half"), wait(goes_on), text(" whole."), done())
    windows.second().send("two")
    page = windows.first()
    page.until(CUT, "it waits to be told")
    goes_on.set()
    page.until_answer("Half whole.")
    page.until(f"!({CUT})")
    page.js("window.dispatchEvent(new Event('online'))")  # it need not wait
    ask(page, "three")
    assert (page.js("window.asked.message"), page.js(NOTICE)) == ("three", ""), "nothing has to be told again"
    assert len(upstream.chats) == 3
