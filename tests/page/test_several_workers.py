"""The page before several workers on one Redis: those that are killed cost no word that is on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.ollama import ScriptedOllama, every, hang, text
from tests.support.redis import RedisServer
from tests.support.several import Several

if TYPE_CHECKING:
    from tests.page.chromium import Page

MARK = "[...document.querySelectorAll('[data-mark]')].at(-1)?.textContent"
WORDS = 40


def test_the_answer_of_workers_that_are_killed_ends_and_is_gone_on_with(
    blank: Page, ollama: ScriptedOllama, tmp_path: Path
) -> None:
    """They die before the last words are shared, and others take their place."""
    said = "".join(f"{number} " for number in range(WORDS))
    ollama.script(every(0.02, WORDS, lambda number: text(f"{number} ")), hang())
    with RedisServer(tmp_path) as redis, Several(redis, ollama, tmp_path / "gateway", gateways=1) as several:
        blank.open(several.doors[0] + "/")
        blank.send("go")
        blank.until_answer(said.strip())
        leases = redis.client().keys("clawgate:process:*")
        for pid in several.workers():
            several.kill_worker(pid)
        redis.client().delete(*leases)  # they last for some seconds more
        blank.until(f"({MARK}) === 'Interrupted'")
        blank.until_idle()
        assert blank.answer() == said.strip()
        ollama.script(text("and on"), hang())
        blank.click("[data-do=continue]")
        blank.until_answer(f"{said}and on")
        assert [message["content"] for message in ollama.chats[-1].messages] == ["go", said]
        blank.leave()
