"""Answers that are made to harm the page: it shows them, stays quick, and is there after a reload."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
