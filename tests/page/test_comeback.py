"""The gateway falls silent, goes, or is cut off: the page says so in time, Esc works, and it comes back by itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.tools import free_port, require, wait_for
from tests.support.wire import Wire

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE = "\ue00c"
LINK = "document.querySelector('[data-link]').dataset.link"
PROGRESS = "document.querySelector('[data-progress-text]').textContent"
STATUSES = "performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/api/status')).length"
MARKED = "document.querySelector('[data-mark]')?.textContent === 'Interrupted'"


@contextmanager
def stopped(gateway: Gateway) -> Iterator[None]:
    """Keep every process of a gateway from running, as a machine that is out of memory does."""
    os.killpg(gateway.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.killpg(gateway.pid, signal.SIGCONT)


def half_an_answer(page: Page, ollama: ScriptedOllama, url: str) -> None:
    ollama.script(text("Half"), hang())
    page.open(url + "/")
    page.send("go")
    page.until_answer("Half")


def later(page: Page, seconds: float) -> None:
    """Let the page believe that so much time has passed."""
    page.driver.execute_script(f"const now = Date.now; Date.now = () => now() + {seconds * 1000}")


def test_escape_cuts_here_where_the_gateway_does_not_answer(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """An interrupt and a status are given up after 3 s; the text stays, and the conversation goes on from it."""
    started = gateway()
    half_an_answer(blank, ollama, started.base_url)
    blank.hurry()
    with stopped(started):
        blank.press(ESCAPE)
        blank.until_idle()
        blank.until(MARKED)
        assert blank.answer() == "Half"
        assert not blank.is_shown("[data-failure]"), "the reader's own doing is no failure"
        blank.until(f"{LINK} === 'disconnected'")
    blank.until(f"{LINK} === 'connected'")
    assert len(ollama.chats) == 1
    ollama.script(text(" whole."), done())
    blank.click("[data-do=continue]")
    blank.until_answer("Half whole.")
    blank.leave()


def test_silence_is_said_in_time_and_escape_then_cuts_at_once(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """Heartbeats may be far between: then the status tells that the gateway lives, and the wait is the model's."""
    started = gateway(stream={"heartbeat_seconds": 60, "stall_seconds": 600})
    half_an_answer(blank, ollama, started.base_url)
    later(blank, 11)
    asked = blank.js(STATUSES)
    blank.driver.execute_script("window.dispatchEvent(new Event('online'))")
    blank.until(f"{STATUSES} > {asked}", "the status has come")
    blank.until("document.querySelector('[data-progress]').hidden", "the gateway is not silent")
    with stopped(started):
        later(blank, 11)
        blank.until(f"/^No sign of life from the gateway for [1-9][0-9] s…$/.test({PROGRESS})")
        blank.press(ESCAPE)
        blank.until_idle()
        assert (blank.answer(), blank.js(MARKED)) == ("Half", True)
    wait_for(lambda: ollama.chats[0].closed.is_set(), "the model is stopped as soon as the gateway runs again")
    blank.leave()


def test_a_question_that_nothing_answers_is_said_and_can_be_cut(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway()
    blank.open(started.base_url + "/")
    with stopped(started):
        blank.send("go")
        blank.until(f"{PROGRESS} === 'Sending…'")
        later(blank, 11)
        blank.until(f"/^No sign of life/.test({PROGRESS})")
        blank.press(ESCAPE)
        blank.until_idle()
        assert blank.text("[data-do=continue]") == "Try again", "there is nothing to go on from"
    blank.until(f"{LINK} === 'connected'")
    blank.click("[data-do=continue]")
    blank.until_answer("Hello.")
    assert [m["content"] for m in ollama.chats[-1].messages] == ["go"]
    blank.leave()


def test_a_restart_on_the_same_port_offers_to_go_on(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """No second run begins by itself; the new process has forgotten the session, and is sent all of it."""
    require("axe_core_python", "it carries axe-core")
    server = {"port": free_port()}
    first = gateway(server=server)
    half_an_answer(blank, ollama, first.base_url)
    first.stop(signal.SIGKILL)
    blank.until(f"{PROGRESS}.startsWith('The connection was cut; connecting again…')")
    assert not blank.is_shown("[data-failure]"), "it may come back"
    blank.until(f"{LINK} === 'disconnected'")
    blank.hurry()
    gateway(server=server)
    blank.until_shown("[data-do=continue]")
    assert not blank.is_shown("[data-failure]")
    assert blank.text("[data-notice-text]").startswith("The connection was cut. The gateway answers again")
    assert (len(ollama.chats), blank.text("[data-do=continue]")) == (1, "Continue")
    assert findings(blank) == []
    ollama.script(text(" whole."), done())
    blank.click("[data-do=continue]")
    blank.until_answer("Half whole.")
    assert [m["content"] for m in ollama.chats[-1].messages] == ["go", "Half"]
    blank.leave()


def test_a_gateway_that_stays_away_is_a_failure_in_the_end(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """The page then still looks for it, and reads the answer's end late."""
    server = {"port": free_port()}
    first = gateway(server=server)
    half_an_answer(blank, ollama, first.base_url)
    first.stop(signal.SIGKILL)
    blank.until(f"{PROGRESS}.startsWith('The connection was cut; connecting again…')")
    later(blank, 60)
    blank.hurry()
    blank.until_shown("[data-failure=network]")
    assert blank.text("[data-failure-title]") == "The connection to the gateway was lost."
    assert blank.text("[data-alert]").startswith("The connection to the gateway was lost.")
    assert blank.text("[data-announcer]") == "", "it is not announced as an answer"
    gateway(server=server)
    blank.until_shown("[data-do=continue]")
    assert not blank.is_shown("[data-failure]")
    assert len(ollama.chats) == 1
    blank.leave()


def test_a_stream_that_dies_without_a_word_brings_the_rest_of_its_answer(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    """A proxy, or a network that was changed, may never say that a connection is over: another one is made."""
    may_end = threading.Event()
    started = gateway(stream={"heartbeat_seconds": 1})
    with Wire(started.port) as wire:
        ollama.script(text("Half"), wait(may_end), text(" whole."), done())
        blank.open(wire.base_url + "/")
        blank.send("go")
        blank.until_answer("Half")
        wire.swallow()
        may_end.set()
        wait_for(lambda: started.streams == 0, "the gateway has the rest")
        blank.hurry()
        later(blank, 11)
        blank.until_answer("Half whole.")
        blank.until_idle()
        assert not blank.is_shown("[data-mark]")
        assert not blank.is_shown("[data-notice]"), "nothing is missing"
        assert len(ollama.chats) == 1
        blank.leave()


def test_a_browser_that_was_offline_comes_back(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    half_an_answer(blank, ollama, gateway().base_url)
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    blank.cdp("Network.enable")
    blank.cdp("Network.emulateNetworkConditions", offline=True, **offline)
    try:
        blank.until(f"{LINK} === 'disconnected'")
        blank.press(ESCAPE)
        blank.until_idle()
        assert blank.answer() == "Half"
    finally:
        blank.cdp("Network.emulateNetworkConditions", offline=False, **offline)
    blank.until(f"{LINK} === 'connected'")
    blank.until_shown("[data-do=continue]")
    assert len(ollama.chats) == 1
    blank.leave()


def test_a_second_message_waits_no_longer_for_a_first_that_does_not_begin(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    started = gateway()
    blank.open(started.base_url + "/")
    blank.hurry()
    with stopped(started):
        blank.send("one")
        blank.until(f"{PROGRESS} === 'Sending…'")
        blank.send("two")
        blank.until("document.querySelectorAll('[data-message]').length === 4")
    blank.until_answer("Hello.")
    blank.until_idle()
    blank.session("two")
    (kept,) = blank.kept()
    assert [m["content"] for m in kept["messages"] if m["role"] == "user"] == ["one", "two"]
    questions = [[m["content"] for m in chat.messages if m["role"] == "user"] for chat in ollama.chats]
    assert ["one", "two"] in questions, "it was asked; the first one may arrive late, in a session of its own"
    blank.leave()
