"""An answer outlives its page's connection: whether that is reloaded, cut off or frozen, its text is exact and once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.http.asking import follow
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, Step, done, hang, text, thinking, wait
from tests.support.proc import children_of
from tests.support.sse import text_of
from tests.support.tools import DEADLINE_S, wait_for
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE, ENTER, ALT = "\ue00c", "\ue007", "\ue00a"
LINK = "document.querySelector('[data-link]').dataset.link"
CUT = "document.querySelector('[data-progress]:not([hidden])')?.dataset.progress === 'reconnecting'"
STREAMING = "document.body.classList.contains('streaming')"
MARK = "document.querySelector('[data-mark]:not([hidden])')?.textContent ?? ''"
NOTICE = "document.querySelector('[data-notice]:not([hidden]) [data-notice-text]')?.textContent ?? ''"
WORDS = ("one", " two", " three", " four", " five", " six")


class Pieces:
    """An answer that comes word by word, each when the test says so."""

    def __init__(self, *words: str) -> None:
        self.words = words
        self._may = [threading.Event() for _ in words]
        self._may[0].set()

    def steps(self) -> Iterator[Step]:
        """Yield the script."""
        for word, may in zip(self.words, self._may, strict=True):
            yield wait(may)
            yield text(word)
        yield done()

    def go_on(self, count: int = 1) -> None:
        """Let the next words come."""
        for may in [may for may in self._may if not may.is_set()][:count]:
            may.set()

    def until(self, count: int) -> str:
        """Return the text of so many words."""
        return "".join(self.words[:count])


def begin(page: Page, ollama: ScriptedOllama, url: str, *words: str) -> Pieces:
    """Ask a question, and wait for the first word of its answer."""
    pieces = Pieces(*(words or WORDS))
    ollama.script(*pieces.steps())
    page.open(url + "/")
    page.send("go")
    page.until_answer(pieces.words[0])
    return pieces


@contextmanager
def offline(page: Page) -> Iterator[None]:
    """Take the browser off the network."""
    rest = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.cdp("Network.enable")
    page.cdp("Network.emulateNetworkConditions", offline=True, **rest)
    try:
        yield
    finally:
        page.cdp("Network.emulateNetworkConditions", offline=False, **rest)


def until_whole(page: Page, said: str, ollama: ScriptedOllama) -> None:
    """Wait for the end: the whole text, once, of one answer, kept as it is shown."""
    page.until_answer(said)
    page.until_idle()
    assert page.js(MARK) == ""
    assert not page.is_shown("[data-failure]")
    assert len(ollama.chats) == 1
    wait_for(lambda: page.kept() and page.kept()[-1]["messages"][-1]["reason"] == "stop", "its end is kept")
    assert page.kept()[-1]["messages"][-1]["content"] == said


def test_five_reloads_during_an_answer_show_it_whole(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    pieces = begin(page, upstream, gate.base_url)
    for count in range(2, 7):
        page.reload()
        page.until(STREAMING, "it streams on")
        page.until_answer(pieces.until(count - 1))
        assert page.is_shown("[data-tag]")
        pieces.go_on()
        page.until_answer(pieces.until(count))
    until_whole(page, pieces.until(6), upstream)
    page.until("document.querySelector('[data-stats]').textContent === '61.6 tokens/s · 5.0 s'", "it has figures")
    page.reload()
    until_whole(page, pieces.until(6), upstream)


def test_what_comes_while_the_page_is_away_is_there_when_it_comes_back(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    """The first time it still streams; the second time it has ended, and is replayed."""
    address = gate.base_url + "/"
    pieces = begin(page, upstream, gate.base_url)
    page.driver.get("about:blank")
    pieces.go_on(2)
    page.open(address)
    page.until_answer(pieces.until(3))
    page.driver.get("about:blank")
    pieces.go_on(3)
    wait_for(lambda: gate.streams == 0, "the answer has ended")
    page.open(address)
    until_whole(page, pieces.until(6), upstream)


def test_an_answer_after_a_reload_can_be_interrupted_and_gone_on_with(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    begin(page, upstream, gate.base_url)
    page.reload()
    page.until(STREAMING)
    page.until_answer("one")
    page.press(ESCAPE)
    page.until(f"({MARK}) === 'Interrupted'")
    assert upstream.chats[0].closed.wait(DEADLINE_S)
    page.reload()
    page.until_answer("one")
    page.until_idle()
    assert page.js(MARK) == "Interrupted"
    more = Pieces(" and", " all")
    upstream.script(*more.steps())
    page.click("[data-do=continue]")
    page.until_answer("one and")
    page.reload()
    page.until_answer("one and")
    more.go_on()
    page.until_answer("one and all")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["go", "one"]
    assert len(upstream.chats) == 2


def test_a_reload_before_the_first_word_waits_for_it_and_thoughts_come_once(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    may_think, may_say = threading.Event(), threading.Event()
    upstream.script(wait(may_think), thinking("Hm", "m."), wait(may_say), text("Yes."), done())
    page.open(gate.base_url + "/")
    page.send("go")
    upstream.next_request()
    page.reload()
    page.until(STREAMING)
    may_think.set()
    page.until("document.querySelector('[data-thoughts]').textContent.trim() === 'Hmm.'")
    page.reload()
    page.until("document.querySelector('[data-thoughts]').textContent.trim() === 'Hmm.'")
    may_say.set()
    until_whole(page, "Yes.", upstream)
    assert page.kept()[-1]["messages"][-1]["thinking"] == "Hmm."


def test_what_waits_behind_an_answer_goes_out_after_a_reload_too(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    pieces = begin(page, upstream, gate.base_url)
    page.write("next")
    page.find("[data-input]").send_keys(ALT + ENTER)
    wait_for(lambda: page.kept()[-1]["queue"], "it waits")
    page.reload()
    page.until(STREAMING)
    pieces.go_on(5)
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["go", pieces.until(6), "next"]
    assert len(upstream.chats) == 2


def test_what_answers_behind_the_conversation_that_is_shown_is_read_on_after_a_reload_too(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    behind = begin(page, upstream, gate.base_url)
    page.session("one")
    page.click("[data-new]")
    shown = Pieces("Eins", " zwei")
    upstream.script(*shown.steps())
    page.send("los")
    page.until_answer("Eins")
    page.session("Eins")
    page.reload()
    page.until_answer("Eins")
    page.until("document.querySelectorAll('[data-pulse]:not([hidden])').length === 2", "the list names both")
    behind.go_on(5)

    def ends() -> dict[str, str]:
        return {said["content"]: said["reason"] for *_, said in (each["messages"] for each in page.kept())}

    wait_for(lambda: ends().get(behind.until(6)) == "stop", "its end is kept")
    shown.go_on()
    page.until_answer("Eins zwei")
    page.until_idle()
    assert len(upstream.chats) == 2


def test_a_reload_before_the_conversation_is_shown_comes_back_to_it(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    pieces = begin(page, upstream, gate.base_url)
    never = "IDBObjectStore.prototype.get = () => ((window.isAsked = true), {})"
    script = page.cdp("Page.addScriptToEvaluateOnNewDocument", source=never)["identifier"]
    page.driver.refresh()
    page.until("window.isAsked", "it reads the conversation")
    page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    page.reload()
    page.until_answer("one")
    pieces.go_on(5)
    until_whole(page, pieces.until(6), upstream)


def test_a_network_that_goes_and_comes_back_costs_no_word(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    with Wire(gate.port) as wire:
        pieces = begin(page, upstream, wire.base_url)
        with offline(page):
            wire.cut(stays_down=True)
            page.until(CUT, "it says that it connects again")
            said = page.text("[data-progress-text]")
            assert said.startswith("The connection was cut; connecting again…")
            assert page.js(STREAMING)
            assert not page.is_shown("[data-failure]")
            pieces.go_on(3)
            wire.mend()
        page.until_answer(pieces.until(4))
        page.until(f"!({CUT})")
        pieces.go_on(2)
        until_whole(page, pieces.until(6), upstream)
        page.leave()


def test_a_proxy_that_cuts_again_and_again_costs_no_word(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    with Wire(gate.port) as wire:
        pieces = begin(page, upstream, wire.base_url)
        for count in range(2, 7):
            wire.cut()
            pieces.go_on()
            page.until_answer(pieces.until(count))
        until_whole(page, pieces.until(6), upstream)
        assert not page.js(NOTICE)
        page.leave()


def test_a_reload_of_nginx_in_the_middle_costs_no_word(
    page: Page, gate: Gateway, upstream: ScriptedOllama, nginx: Callable[..., Nginx]
) -> None:
    """The old worker goes on until the answer is over; here it is killed in the middle, as a time limit does."""
    proxy = nginx(gate)
    pieces = begin(page, upstream, proxy.base_url)
    old = children_of(proxy.pid)
    proxy.reload()
    wait_for(lambda: set(children_of(proxy.pid)) - set(old), "a new worker is there")
    pieces.go_on()
    page.until_answer(pieces.until(2))
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    pieces.go_on(2)
    page.until_answer(pieces.until(4))
    pieces.go_on(2)
    until_whole(page, pieces.until(6), upstream)
    page.leave()


def test_a_question_whose_answer_lost_its_head_is_asked_once(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    with Wire(gate.port) as wire:
        page.open(wire.base_url + "/")
        page.until(f"{LINK} === 'connected'")
        wire.lose_next_head()
        page.send("go")
        until_whole(page, "Hello.", upstream)
        page.leave()


def test_a_question_without_a_network_goes_out_once_there_is_one(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    with Wire(gate.port) as wire:
        page.open(wire.base_url + "/")
        page.until(f"{LINK} === 'connected'")
        wire.cut(stays_down=True)
        page.send("go")
        page.until(CUT)
        wire.mend()
        until_whole(page, "Hello.", upstream)
        page.leave()


def test_an_interrupt_while_the_stream_is_cut_wins(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    """It is shown at once, told when the gateway answers, and no reader comes back."""
    with Wire(gate.port) as wire:
        begin(page, upstream, wire.base_url)
        wire.cut(stays_down=True)
        page.until(CUT)
        page.press(ESCAPE)
        page.until(f"({MARK}) === 'Interrupted'")
        page.until_idle()
        assert not upstream.chats[0].closed.is_set(), "the answer waits for its reader"
        wire.mend()
        page.until(f"{LINK} === 'connected'")
        assert upstream.chats[0].closed.wait(DEADLINE_S)
        wait_for(lambda: gate.streams == 0, "nothing is read")
        assert (page.answer(), page.js(MARK), page.js(STREAMING)) == ("one", "Interrupted", False)
        page.leave()


def test_a_page_that_was_frozen_goes_on(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    """It is frozen in a tab of its own, which is hidden from then on: what it has is seen in what it keeps."""
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    try:
        with Wire(gate.port) as wire:
            pieces = begin(page, upstream, wire.base_url)
            page.cdp("Page.setWebLifecycleState", state="frozen")
            wire.swallow()
            pieces.go_on(3)
            page.cdp("Page.setWebLifecycleState", state="active")
            page.driver.execute_script(
                "const now = Date.now; Date.now = () => now() + 60000; document.dispatchEvent(new Event('resume'))"
            )
            wait_for(lambda: page.kept()[-1]["messages"][-1]["content"] == pieces.until(4), "it has gone on")
            pieces.go_on(2)
            wait_for(lambda: page.kept()[-1]["messages"][-1]["reason"] == "stop", "it has ended")
            assert page.kept()[-1]["messages"][-1]["content"] == pieces.until(6)
            assert len(upstream.chats) == 1
            page.leave()
    finally:
        page.driver.close()
        page.driver.switch_to.window(first)


def test_a_page_that_the_browser_threw_away_without_a_word_goes_on(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    """It comes back with the conversation that was shown, and its answer is read."""
    page.send("other")
    page.until_answer("Hello.")
    page.until_idle()
    page.reload()
    page.click("[data-new]")
    pieces = Pieces(*WORDS)
    upstream.script(*pieces.steps())
    page.send("go")
    page.until_answer("one")
    page.session("one")
    page.driver.execute_script("Storage.prototype.setItem = () => undefined")
    page.reload()
    page.until_answer("one")
    wait_for(lambda: gate.streams == 1, "it is read")
    pieces.go_on(5)
    page.until_answer(pieces.until(6))
    page.until_idle()
    assert page.js(MARK) == ""
    assert len(upstream.chats) == 2


def test_a_phone_that_was_put_away_goes_on(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    with Wire(gate.port) as wire:
        page.resize(390, 844)
        pieces = begin(page, upstream, wire.base_url)
        page.look(away=True)
        try:
            wire.cut()
            pieces.go_on(3)
        finally:
            page.look(away=False)
        page.until_answer(pieces.until(4))
        pieces.go_on(2)
        until_whole(page, pieces.until(6), upstream)
        page.leave()


def test_a_reader_that_is_too_far_behind_gets_all_anew(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """The gateway keeps few events; the answer that is gone on with keeps what was there before."""
    count_resets = (
        "(window.resets = 0, window.parse = JSON.parse, JSON.parse = (text) => "
        '(window.resets += text.includes(\'"status":"reset"\'), window.parse(text)))'
    )
    started = gateway(session={"max_context_bytes": 4096}, stream={"stall_seconds": 60, "smoothing_ms": 0})
    with Wire(started.port) as wire:
        ollama.script(text("Half"), hang())
        blank.open(wire.base_url + "/")
        blank.send("go")
        blank.until_answer("Half")
        blank.press(ESCAPE)
        blank.until_idle()
        pieces = Pieces(" a", *(f" {number:03}{'x' * 60}" for number in range(150)))
        ollama.script(*pieces.steps())
        blank.click("[data-do=continue]")
        blank.until_answer("Half a")
        blank.js(count_resets)
        wire.cut(stays_down=True)
        blank.until(CUT)
        pieces.go_on(149)
        session = blank.session("Half")
        with follow(started, session, None) as other:
            while " 148" not in text_of(other.events):
                assert other.read_event() is not None, "the gateway has them"
        wire.mend()
        pieces.go_on()
        blank.until_answer("Half" + pieces.until(151))
        blank.until_idle()
        assert blank.js("window.resets") == 1
        assert blank.js(MARK) == ""
        assert started.get(f"/api/sessions/{session}").json["messages"][-1]["content"] == "Half" + pieces.until(151)
        blank.leave()


def test_where_nothing_is_left_to_read_the_session_tells_the_end(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    with Wire(gate.port) as wire:
        pieces = begin(page, upstream, wire.base_url)
        page.js(
            "(window.really = window.fetch, window.fetch = (url, ...rest) => url.endsWith('/stream') ? "
            "Promise.resolve(new Response(null, {status: 204})) : window.really(url, ...rest))"
        )
        wire.cut(stays_down=True)
        page.until(CUT)
        pieces.go_on(5)
        wait_for(lambda: gate.streams == 0, "the answer has ended")
        wire.mend()
        until_whole(page, pieces.until(6), upstream)
        page.until(f"({NOTICE}).includes('had the rest')")
        page.leave()


def test_a_session_that_is_gone_leaves_the_text_and_a_way_on(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    with Wire(gate.port) as wire:
        begin(page, upstream, wire.base_url)
        wire.cut(stays_down=True)
        page.until(CUT)
        assert gate.delete(f"/api/sessions/{page.session('one')}").status == 204
        wire.mend()
        page.until_shown("[data-do=continue]")
        page.until(f"({NOTICE}).startsWith('The connection was cut.')")
        assert (page.answer(), page.js(MARK)) == ("one", "Interrupted")
        upstream.script(text(" more."), done())
        page.click("[data-do=continue]")
        page.until_answer("one more.")
        assert [m["content"] for m in upstream.chats[-1].messages] == ["go", "one"]
        page.leave()


@pytest.mark.parametrize("detach_seconds", [0, 1])
def test_a_gateway_that_has_not_waited_so_long_offers_to_go_on(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama, detach_seconds: int
) -> None:
    started = gateway(stream={"detach_seconds": detach_seconds, "stall_seconds": 60})
    ollama.script(text("Half"), hang())
    page = blank.open(started.base_url + "/")
    page.send("go")
    page.until_answer("Half")
    address = page.js("location.href")
    page.driver.get("about:blank")
    wait_for(lambda: started.streams == 0, "it has waited in vain")
    page.open(address)
    page.until_shown("[data-do=continue]")
    assert (page.answer(), page.js(MARK), page.js(NOTICE)) == ("Half", "Interrupted", "")
    page.leave()
