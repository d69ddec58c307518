"""The list of conversations: begun, opened, searched, named, removed and brought back, saved as files, kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.tools import DEADLINE_S, require, wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE, ENTER, TAB = "\ue00c", "\ue007", "\ue004"
BLANK = "document.querySelectorAll('[data-message]').length === 0"
TITLES = "[...document.querySelectorAll('[data-conversation] [data-title]')].map((each) => each.textContent)"
NOTICE = "document.querySelector('[data-notice]:not([hidden]) [data-notice-text]')?.textContent ?? ''"
FILL = """
const [count, size, done] = arguments;
const opening = indexedDB.open("clawgate:" + location.pathname);
opening.onsuccess = () => {
  const work = opening.result.transaction(["entries", "bodies"], "readwrite");
  for (let n = 0; n < count; n += 1) {
    const [id, title] = ["c_" + String(n).padStart(5, "0"), "question " + n];
    const entry = {id, title, revision: 1, createdAt: n + 1, updatedAt: n + 1, count: 2, pictures: 0,
      sessionId: "s" + n, removedAt: 0, isErased: false};
    const message = (role, content) => ({id: role === "user" ? 1 : 2, role, content, phase: "done", reason: "stop",
      thinking: "", tools: [], failure: null, stats: null});
    const content = ("word" + n + " ").padEnd(size, "text of it ");
    const messages = [message("user", title), message("assistant", content)];
    work.objectStore("entries").put(entry);
    work.objectStore("bodies").put({id, body: {id, title: "", createdAt: n + 1, sessionId: "s" + n, isBehind: true,
      messages, others: [], draft: "", edit: "", editingId: 0, nextId: 3}});
  }
  work.oncomplete = () => (opening.result.close(), done());
};
"""
"""Puts conversations into the page's database."""


def ask(page: Page, question: str, answer: str = "Hello.") -> None:
    before = page.count("[data-message]")
    page.send(question)
    page.until(f"document.querySelectorAll('[data-message]').length === {before + 2}")
    page.until_answer(answer)
    page.until_idle()


def begin(page: Page) -> None:
    page.click("[data-new]")
    page.until(BLANK, "a new conversation")


def titles(page: Page) -> list[str]:
    return list(page.js(TITLES))


def until_titles(page: Page, *wanted: str) -> None:
    wait_for(lambda: titles(page) == list(wanted), f"the list is {wanted}")


def open_one(page: Page, title: str) -> None:
    row = f"[...document.querySelectorAll('[data-name]')].find((each) => each.textContent.startsWith({title!r}))"
    page.until(f"({row}.click(), true)")


def choose(page: Page, title: str, choice: str) -> None:
    row = f"[...document.querySelectorAll('[data-conversation]')].find((each) => each.textContent.includes({title!r}))"
    page.until(
        f"({row}.querySelector('[data-more]').click(), {row}.querySelector('[data-choice={choice}]').click(), true)"
    )


def test_each_conversation_has_its_own_session_and_its_own_history(page: Page, upstream: ScriptedOllama) -> None:
    ask(page, "one")
    begin(page)
    assert page.js("document.activeElement.matches('[data-input]')")
    ask(page, "two")
    until_titles(page, "two", "one")
    assert page.session("one") != page.session("two")
    open_one(page, "one")
    page.until("document.querySelector('[data-message=user]')?.innerText.includes('one')")
    assert page.count("[data-name][aria-current]") == 1
    ask(page, "more")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "more"]
    until_titles(page, "one", "two")
    page.reload()
    page.until("document.querySelectorAll('[data-message]').length === 4", "the one that was open")
    until_titles(page, "one", "two")


def test_an_answer_goes_on_behind_another_conversation(page: Page, upstream: ScriptedOllama) -> None:
    goes_on = threading.Event()
    upstream.script(text("Once"), wait(goes_on), text(" upon a time."), done())
    page.send("tell")
    page.until_answer("Once")
    begin(page)
    assert not page.js("document.body.classList.contains('streaming')")
    page.until_shown("[data-pulse]")
    ask(page, "other")
    assert page.text("[data-name] [data-answers]") == "is answering"
    goes_on.set()
    page.until(
        "document.querySelectorAll('[data-pulse]:not([hidden])').length === 0", "the list says that it has ended"
    )
    open_one(page, "tell")
    page.until_answer("Once upon a time.")
    assert [chat.messages[-1]["content"] for chat in upstream.chats] == ["tell", "other"]


def test_an_answer_behind_can_be_returned_to_and_interrupted(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("Half"), hang())
    page.send("tell")
    page.until_answer("Half")
    begin(page)
    page.write("a draft")
    open_one(page, "tell")
    page.until_answer("Half")
    assert page.js("document.querySelector('[data-input]').value") == ""
    page.click("[data-interrupt]")
    page.until_idle()
    assert upstream.chats[-1].closed.wait(DEADLINE_S)
    open_one(page, "a draft")
    page.until("document.querySelector('[data-input]').value === 'a draft'")


def test_no_more_answers_at_once_than_leave_room_for_an_interrupt(page: Page, upstream: ScriptedOllama) -> None:
    for number in range(3):
        upstream.script(text("So"), hang())
        page.send(f"q{number}")
        page.until_answer("So")
        begin(page)
    page.send("once more")
    page.until(f"({NOTICE}).startsWith('3 other conversations are answering')")
    assert page.js("document.querySelector('[data-input]').value") == "once more"
    assert page.count("[data-message]") == 0
    page.leave()  # the answers end with it


def test_search_finds_titles_and_texts(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("The Palace is *vast*."), done())
    ask(page, "sights", "The Palace is vast.")
    begin(page)
    ask(page, "other")
    field = page.find("[data-search]")
    field.send_keys("PALACE vast")
    until_titles(page, "sights")
    assert "Palace" in page.text("[data-found]")
    field.send_keys("xyz")
    page.until("document.querySelector('[data-nothing]').textContent === 'Nothing found.'")
    field.send_keys(ESCAPE)
    until_titles(page, "other", "sights")
    field.send_keys("oth")
    until_titles(page, "other")


def test_five_hundred_conversations_are_listed_at_once_and_searched_without_a_freeze(
    page: Page,
    upstream: ScriptedOllama,  # noqa: ARG001 it answers for the page's status
) -> None:
    page.driver.execute_async_script(FILL, 500, 20_000)
    page.js("sessionStorage.clear()")
    page.reload()
    page.until("document.querySelectorAll('[data-conversation]').length === 500", "all are listed")
    listed_ms = page.js(
        "performance.getEntriesByName('listed')[0].startTime - performance.getEntriesByName('opening')[0].startTime"
    )
    page.js(
        "(window.long = [], new PerformanceObserver(l => window.long.push(...l.getEntries().map(e => e.duration)))"
        ".observe({type: 'longtask'}))"
    )
    page.find("[data-search]").send_keys("word77")
    until_titles(page, "question 77")
    longest = max(page.js("window.long") or [0])
    print(f"listed in {listed_ms:.0f} ms, longest task of the search {longest:.0f} ms")
    assert listed_ms < 1500, "100 ms on a machine that does nothing else"
    assert longest < 1000, "it reads a few at a time"


def test_a_name_is_given_by_hand_and_taken_back(page: Page) -> None:
    ask(page, "one")
    until_titles(page, "one")
    choose(page, "one", "rename")
    page.press("Trip to 北京")
    page.press(ENTER)
    until_titles(page, "Trip to 北京")
    begin(page)
    ask(page, "two")
    choose(page, "Trip", "rename")
    page.press(ESCAPE)
    choose(page, "Trip", "rename")
    page.press("\ue017")  # delete: the name is selected
    page.press(ENTER)
    until_titles(page, "two", "one")
    page.reload()
    until_titles(page, "two", "one")


def test_what_is_removed_can_be_brought_back_here_and_on_the_server(page: Page, gate: Gateway) -> None:
    ask(page, "one")
    begin(page)
    ask(page, "two")
    one, two = page.session("one"), page.session("two")
    choose(page, "one", "remove")
    until_titles(page, "two")
    page.click("[data-clear]")
    page.until(BLANK)
    page.until("document.querySelector('[data-undo-text]').textContent.startsWith('2 conversations deleted')")
    assert [gate.get(f"/api/sessions/{each}").status for each in (one, two)] == [200, 200]
    page.click("[data-undo-button]")
    until_titles(page, "two", "one")
    page.until("document.querySelector('[data-message=user]')?.innerText.includes('two')", "it is shown again")
    ask(page, "more")
    assert gate.get(f"/api/sessions/{two}").json["turns"] == 2


def test_nothing_is_left_of_what_is_removed_once_the_time_is_over(page: Page, gate: Gateway) -> None:
    ask(page, "secret")
    session = page.session("secret")
    page.hurry()
    choose(page, "secret", "remove")
    page.until_shown("[data-undo]")
    wait_for(lambda: gate.get(f"/api/sessions/{session}").status == 404, "the server has forgotten it")
    page.until("document.querySelector('[data-undo]').hidden")
    assert page.kept() == []


@pytest.mark.parametrize("begun", [True, False])
def test_clear_before_an_answer_has_ended_leaves_nothing_on_the_server(
    page: Page, gate: Gateway, upstream: ScriptedOllama, begun: bool
) -> None:
    upstream.script(*([text("Hm")] if begun else []), hang())
    page.send("secret")
    asked = upstream.next_request()
    if begun:
        page.until_answer("Hm")
    session = page.session("secret")
    page.click("[data-clear]")
    page.until(BLANK)
    assert asked.closed.wait(DEADLINE_S), "it is interrupted at once"
    page.until_shown("[data-undo]")
    page.leave()
    wait_for(lambda: gate.get(f"/api/sessions/{session}").status == 404, "the server has forgotten it")
    assert gate.get("/api/status").json["streams"] == 0


def test_what_the_server_did_not_hear_is_said_to_it_later(page: Page, gate: Gateway) -> None:
    ask(page, "secret")
    session = page.session("secret")
    page.hurry()
    page.js(
        "(window.really = window.fetch, window.fetch = (url, given) => "
        "given?.method === 'DELETE' ? Promise.reject() : really(url, given))"
    )
    page.click("[data-clear]")
    page.until(f"({NOTICE}).includes('could not be reached')")
    assert gate.get(f"/api/sessions/{session}").status == 200
    page.reload()
    wait_for(lambda: gate.get(f"/api/sessions/{session}").status == 404, "the server has forgotten it")


def test_the_draft_survives_a_reload_an_edit_and_its_cancel(page: Page) -> None:
    value = "document.querySelector('[data-input]').value"
    ask(page, "one")
    page.write("not yet")
    page.reload()
    page.until(f"{value} === 'not yet'")
    page.click("[data-do=edit]")
    page.until_shown("[data-editing]")
    assert page.js(value) == "one"
    page.write(" and a half")
    page.reload()
    page.until_shown("[data-editing]")
    assert page.js(value) == "one and a half"
    page.press(ESCAPE)
    page.until(f"{value} === 'not yet'")
    page.click("[data-do=edit]")
    page.find("[data-input]").send_keys("!" + ENTER)
    page.until("document.querySelector('[data-message=user]').innerText.includes('one!')")
    page.until(f"{value} === 'not yet'")


def test_other_ways_stay_reachable_by_keyboard(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("A"), done())
    ask(page, "one", "A")
    upstream.script(text("B"), done())
    page.click("[data-do=regenerate]")
    page.until_answer("B")
    page.until_idle()
    assert page.text("[data-message=assistant] [data-branch]") == "2/2"
    page.driver.execute_script("document.querySelector('[data-message=assistant] [data-do=previous]').focus()")
    page.press(ENTER)
    page.until_answer("A")
    assert page.text("[data-announcer]") == "Version 1/2"
    page.until("document.activeElement.dataset.do === 'next'", "the focus stays at the buttons")
    page.click("[data-do=edit]")
    page.find("[data-input]").send_keys("!" + ENTER)
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one!"]
    page.click("[data-message=user] [data-do=previous]")
    page.until_answer("A")
    page.reload()
    page.until_answer("A")
    ask(page, "more")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "A", "more"]
    assert [page.text(f"[data-message={role}] [data-branch]") for role in ("user", "assistant")] == ["1/2", "1/2"]


def test_an_earlier_answer_is_made_again(page: Page, upstream: ScriptedOllama) -> None:
    ask(page, "one")
    page.send("two")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    upstream.script(text("Other."), done())
    page.driver.execute_script("const b = document.querySelector('[data-do=regenerate]'); b.click(); b.click()")
    page.until_answer("Other.")
    page.until_idle()
    assert page.count("[data-message]") == 2
    assert len(upstream.chats) == 3
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one"]


def test_the_conversation_of_an_earlier_version_is_taken_over_once(page: Page, upstream: ScriptedOllama) -> None:
    messages = [
        {"id": 1, "role": "user", "content": "old"},
        {"id": 2, "role": "assistant", "content": "So.", "reason": "stop"},
    ]
    old = json.dumps({"version": 1, "sessionId": "sess_old", "isBehind": True, "messages": messages})
    page.js("localStorage.setItem('clawgate.chat:/', arguments[0])", old)
    page.js("sessionStorage.clear()")
    page.driver.get("about:blank")
    page.driver.back()
    page.until_ready()
    page.js("sessionStorage.clear()")
    page.open(page.js("location.href"))
    until_titles(page, "old")
    open_one(page, "old")
    page.until_answer("So.")
    assert page.js("localStorage.getItem('clawgate.chat:/')") is None
    ask(page, "new")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["old", "So.", "new"]


def forbid(page: Page, script: str) -> Callable[[], object]:
    """Run a script before the page's own, from the next load on; returns what ends that."""
    added = page.cdp("Page.addScriptToEvaluateOnNewDocument", source=script)["identifier"]
    return lambda: page.cdp("Page.removeScriptToEvaluateOnNewDocument", identifier=added)


def test_where_nothing_can_be_kept_the_page_works_and_says_so(page: Page) -> None:
    allow = forbid(
        page,
        "for (const name of ['indexedDB', 'localStorage', 'sessionStorage']) Object.defineProperty(window, name, "
        "{get() { throw new DOMException('no', 'SecurityError') }})",
    )
    try:
        page.reload()
        page.until(f"({NOTICE}).startsWith('This browser keeps nothing')")
        ask(page, "one")
        begin(page)
        ask(page, "two")
        open_one(page, "one")
        page.until("document.querySelector('[data-message=user]')?.innerText.includes('one')")
        page.click("[data-clear]")
        until_titles(page, "two")
    finally:
        allow()
        page.open(page.js("location.href"))


FULL = """
(() => {
  const put = IDBObjectStore.prototype.put;
  const sizes = new Map();
  window.room = 1e9;
  IDBObjectStore.prototype.put = function (value) {
    const size = JSON.stringify(value).length;
    const others = [...sizes].filter(([key]) => key !== this.name + value.id).reduce((sum, [, each]) => sum + each, 0);
    if (others + size > window.room) throw (this.transaction.abort(), new DOMException("full", "QuotaExceededError"));
    sizes.set(this.name + value.id, size);
    window.used = others + size;
    return put.call(this, value);
  };
  const remove = IDBObjectStore.prototype.delete;
  IDBObjectStore.prototype.delete = function (id) {
    sizes.delete(this.name + id);
    return remove.call(this, id);
  };
})()
"""
"""A browser whose database is full beyond `room` bytes; Chromium's own quota is told to tests in no such way."""


def paste(page: Page, content: str) -> None:
    page.driver.execute_script(
        "const field = document.querySelector('[data-input]'); field.value = arguments[0];"
        "field.dispatchEvent(new Event('input'))",
        content,
    )


def test_a_full_browser_says_so_and_lets_the_oldest_go(page: Page) -> None:
    allow = forbid(page, FULL)
    try:
        page.reload()
        for name in ("oldest", "older"):
            paste(page, name + " " + "x" * 5000)
            ask(page, "!")
            page.session(name)
            begin(page)
        page.js("(window.room = window.used + 3000)")
        paste(page, "new " + "y" * 5000)
        page.until(f"({NOTICE}).includes('the oldest conversations were dropped')", "the draft has no room")
        ask(page, "!")
        wait_for(lambda: [each.split()[0] for each in titles(page)] == ["new", "older"], "the oldest is gone")
        page.session("new")
        page.js("(window.room = 0)")
        page.write("a draft")
        page.until(f"({NOTICE}).includes('what follows is not kept')")
        assert page.answer() == "Hello."
    finally:
        allow()


def saved(page: Page) -> dict[str, str]:
    """Give the files that the page has saved since `catch_files`."""
    return dict(page.js("window.files"))


def catch_files(page: Page) -> None:
    page.js(
        "(window.files = {}, window.blobs = {}, window.make = URL.createObjectURL, URL.createObjectURL = (blob) => {"
        "const at = window.make(blob); window.blobs[at] = blob; return at; }, HTMLAnchorElement.prototype.click = "
        "function () { const {href, download} = this; "
        "window.blobs[href].text().then((t) => window.files[download] = t) })"
    )


def give(page: Page, file: Path, content: str) -> None:
    file.write_text(content)
    page.find("[data-file]").send_keys(str(file))


def test_conversations_are_saved_as_files_and_read_again(page: Page, tmp_path: Path, upstream: ScriptedOllama) -> None:
    upstream.script(text("**A**"), done())
    ask(page, "one: 北京?", "A")
    page.click("[data-do=regenerate]")
    page.until_answer("Hello.")
    page.until_idle()
    begin(page)
    ask(page, "two")
    catch_files(page)
    choose(page, "one", "md")
    page.until("window.files['one 北京.md']?.length")
    assert saved(page)["one 北京.md"] == "# one: 北京?\n\n## You\n\none: 北京?\n\n## Answer\n\nHello.\n"
    page.click(".files summary")
    page.click("[data-files=json]")
    page.until("Object.keys(window.files).some((name) => name.endsWith('.json'))")
    whole = next(content for name, content in saved(page).items() if name.endswith(".json"))
    assert "sess_" not in whole
    give(page, tmp_path / "all.json", whole)
    page.until(f"({NOTICE}) === 'Imported: 2.'")
    wait_for(lambda: sorted(titles(page)) == ["one: 北京?", "one: 北京?", "two", "two"], "they stand beside the others")
    conversations = json.loads(whole)["conversations"]
    one = next(each for each in conversations if each["others"])
    give(page, tmp_path / "one.json", json.dumps({**json.loads(whole), "conversations": [one]}))
    page.until(
        "document.querySelector('[data-message=assistant] [data-branch]')?.textContent === '2/2'", "with its branches"
    )
    ask(page, "more")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one: 北京?", "Hello.", "more"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nonsense", "This file is not JSON"),
        ('{"a": 1}', "This file is no export"),
        (
            '{"format": "clawgate.conversations", "version": 1, "conversations": '
            '[{"messages": [{"id": 1, "role": "x"}]}]}',
            "conversations[0].messages[0].role",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_named(page: Page, tmp_path: Path, content: str, said: str) -> None:
    give(page, tmp_path / "bad.json", content)
    page.until(f"({NOTICE}).includes({said!r})")
    assert page.kept() == []


def test_the_list_is_a_drawer_on_a_phone(page: Page) -> None:
    ask(page, "one")
    begin(page)
    ask(page, "two")
    page.resize(390, 844)
    assert not page.is_shown("[data-list]")
    opener = page.find("[data-drawer-open]").rect
    assert min(opener["width"], opener["height"]) >= 44
    is_open = "document.querySelector('[data-drawer]').open"
    for close in (lambda: page.press(ESCAPE), lambda: page.click("[data-drawer-close]"), beside(page)):
        page.click("[data-drawer-open]")
        page.until_shown("[data-name]")
        small = (
            "[...document.querySelectorAll('[data-drawer] :is(button, summary, input:not(.unseen))')].map((e) => "
            "e.getBoundingClientRect()).filter((r) => r.height && (r.height < 44 || r.width < 44)).length"
        )
        assert page.js(small) == 0
        close()
        page.until(f"!{is_open}")
        page.until("document.activeElement.matches('[data-drawer-open]')", "the focus returns")
    page.click("[data-drawer-open]")
    open_one(page, "one")
    page.until(f"!{is_open} && document.querySelector('[data-message=user]').innerText.includes('one')")
    page.click("[data-drawer-open]")
    page.resize(1280)
    page.until(f"!{is_open}")
    page.until_shown("[data-list]")


def test_what_is_removed_in_the_drawer_can_be_brought_back_there(page: Page) -> None:
    ask(page, "one")
    begin(page)
    ask(page, "two")
    page.resize(390, 844)
    page.click("[data-drawer-open]")
    page.until_shown("[data-name]")
    choose(page, "one", "remove")
    until_titles(page, "two")
    page.until_shown("[data-undo]")
    page.click("[data-undo-button]")
    until_titles(page, "two", "one")
    page.press(ESCAPE)
    page.until("document.querySelector('main').contains(document.querySelector('[data-undo]'))")


def beside(page: Page) -> Callable[[], Any]:
    point = {"x": 10, "y": 400, "button": "left", "clickCount": 1}
    return lambda: [
        page.cdp("Input.dispatchMouseEvent", type=kind, **point) for kind in ("mousePressed", "mouseReleased")
    ]


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_no_accessibility_finding(page: Page, upstream: ScriptedOllama, scheme: str, width: int) -> None:
    require("axe_core_python", "it carries axe-core")
    page.resize(width, 844)
    page.prefer(**{"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"})
    ask(page, "one")
    page.click("[data-do=regenerate]")
    page.until_shown("[data-branches]")
    page.until_idle()
    upstream.script(text("So"), hang())
    begin(page)
    page.send("two")
    page.until_answer("So")
    begin(page)
    ask(page, "three")
    page.click("[data-clear]")
    page.until_shown("[data-undo]")
    assert findings(page) == []
    if width < 600:
        page.click("[data-drawer-open]")
    page.until_shown("[data-name]")
    page.js("document.querySelector('[data-more]').click()")
    page.find("[data-search]").send_keys("o")
    page.until_shown("[data-found]")
    assert findings(page) == []
    page.leave()  # the answer ends with it
