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
