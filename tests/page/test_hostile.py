"""Answers that are made to harm the page: it shows them, stays quick, and is there after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ollama import ScriptedOllama, done, text

if TYPE_CHECKING:
    from tests.page.chromium import Page

BODY = "[data-message=assistant] [data-body]"
DEEP = ("> ", "- ", "1. ", "[^a]: ", "> - ")


@pytest.mark.parametrize("mark", DEEP)
def test_a_block_in_thousands_of_others_is_text_below_a_hundred(
    page: Page, upstream: ScriptedOllama, mark: str
) -> None:
    upstream.script(text(mark * 3000 + "x"), text("y\n\nafter"), done())
    page.send("go")
    page.until(f"document.querySelector('{BODY}')?.textContent.includes('after')")
    page.until_idle()
    page.reload()
    page.until(f"document.querySelector('{BODY}')?.textContent.includes('after')")


@pytest.mark.parametrize(
    "fields",
    [
        {"others": {}},
        {"messages": [None]},
        {"messages": [{"id": 1, "role": "user", "content": None}]},
        {"messages": [{"id": 1, "role": "assistant", "content": "x", "stats": {"context": 5}}]},
    ],
)
def test_a_conversation_that_was_spoilt_in_the_browser_spoils_no_page(
    page: Page, upstream: ScriptedOllama, fields: dict[str, Any]
) -> None:
    upstream.script(text("one"), done())
    page.send("go")
    page.until_answer("one")
    page.session("go")
    page.driver.get("about:blank")
    page.driver.back()
    page.until_ready()
    page.rewrite(**fields)
    page.reload()
    assert page.count("[data-message]") == 0
    upstream.script(text("two"), done())
    page.send("again")
    page.until_answer("two")


def test_conversations_are_kept_again_after_the_database_was_deleted(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("one"), done())
    page.send("go")
    page.until_answer("one")
    page.session("go")
    page.driver.execute_async_script(
        "const done = arguments[0]; const deleting = indexedDB.deleteDatabase('clawgate:' + location.pathname);"
        "deleting.onsuccess = () => done()"
    )
    page.click("[data-new]")
    upstream.script(text("two"), done())
    page.send("again")
    page.until_answer("two")
    page.session("again")


def test_thousands_of_formulas_in_a_paragraph_leave_the_page_alive(page: Page, upstream: ScriptedOllama) -> None:
    """It holds no word that tells a direction, so browsers look through all of it."""
    whole = " ".join(f"$a_{{{number}}}$" for number in range(6000))
    upstream.script(*(text(whole[begin : begin + 2000]) for begin in range(0, len(whole), 2000)), done())
    page.send("go")
    page.until("document.querySelector('[data-message=assistant]')?.dataset.phase === 'done'")
    assert page.js(f"document.querySelector('{BODY}').textContent.includes('5999')")


def test_no_label_of_a_footnote_takes_the_id_of_another(page: Page, upstream: ScriptedOllama) -> None:
    labels = ("a", "to-a", "mark-a", '"><img', "'#.x:y%", "__proto__")
    marks = " ".join(f"[^{label}]" for label in labels)
    upstream.script(text(f"See {marks}\n\n" + "\n\n".join(f"[^{label}]: note" for label in labels)), done())
    page.send("go")
    page.until_rendered()
    ids = page.js(f"[...document.querySelectorAll('{BODY} [id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids)) == 2 * len(labels)
    targets = page.js(
        f"[...document.querySelectorAll('{BODY} a')]"
        ".map((each) => document.getElementById(decodeURIComponent(each.hash.slice(1)))?.dataset.footnote)"
    )
    assert targets == [*labels, *labels]
