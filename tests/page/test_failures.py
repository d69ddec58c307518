"""Errors are told as what they are, in the reader's language; a refused turn can be changed wherever it stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, error_line, status, text
from tests.support.tools import require

if TYPE_CHECKING:
    from tests.page.chromium import Page

BOX = "[data-failure]:not([hidden])"
TOO_LONG = status(400, {"error": "the input length exceeds the context length"})


def ask(page: Page, *questions: str) -> None:
    for question in questions:
        before = page.count("[data-message=assistant]")
        page.send(question)
        page.until(f"document.querySelectorAll('[data-message=assistant]').length === {before + 1}")
        page.until_idle()


def asked(upstream: ScriptedOllama) -> list[str]:
    """Return the texts of the last prompt."""
    return [message["content"] for message in upstream.chats[-1].messages]


def questions_of(page: Page) -> list[str]:
    return list(page.js("[...document.querySelectorAll('[data-message=user] [data-body]')].map(e => e.innerText)"))


def test_each_end_is_announced_as_what_it_is(page: Page, upstream: ScriptedOllama) -> None:
    for steps, announced, alerted in (
        ((text("Yes."), done()), "Answer complete: Yes.", ""),
        ((text(""), done()), "The model ended its answer without a word.", ""),
        ((text("Half"), done("length")), "The answer was cut off at the length limit. So far: Half", ""),
        ((error_line("out of memory"),), "", "Ollama gave no answer. What was reported: out of memory"),
    ):
        upstream.script(*steps)
        ask(page, "go")
        assert (page.text("[data-announcer]"), page.text("[data-alert]")) == (announced, alerted)
    assert page.find("[data-alert]").get_attribute("role") == "alert"


@pytest.mark.parametrize(
    ("language", "around", "buttons"),
    [
        (
            "en",
            "Edit it, delete it, or try again to send it once more. Ollama said:",
            ["Try again", "Edit", "Delete"],
        ),
        ("zh", "可以编辑、删除，或重试再发送一次。Ollama 的说明：", ["重试", "编辑", "删除"]),
    ],
)
def test_a_refusal_is_told_in_the_readers_language_around_ollamas_own_words(
    page: Page, upstream: ScriptedOllama, language: str, around: str, buttons: list[str]
) -> None:
    require("axe_core_python", "it carries axe-core")
    page.speak(language)
    page.reload()
    upstream.script(TOO_LONG)
    ask(page, "go")
    page.until("document.querySelector('[data-failure-hint]').textContent !== ''")
    assert page.text("[data-failure-hint]") == around
    assert page.text("[data-failure-detail]") == "the input length exceeds the context length"
    shown = page.js("[...document.querySelectorAll('[data-failure] button:not([hidden])')].map(e => e.textContent)")
    assert shown == buttons
    assert findings(page) == []


def test_a_refused_turn_can_be_deleted_in_the_middle(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    """It is gone here, after a reload, and on the server with the next message."""
    ask(page, "one")
    upstream.script(TOO_LONG)
    ask(page, "far too long")
    ask(page, "two")
    assert page.text(f"{BOX} [data-failure-hint]") == "Edit it to ask it anew, or delete it. Ollama said:"
    page.click(f"{BOX} [data-do=delete]")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    assert questions_of(page) == ["one", "two"]
    page.reload()
    page.until("document.querySelectorAll('[data-message]').length === 4")
    ask(page, "three")
    assert asked(upstream) == ["one", "Hello.", "two", "Hello.", "three"]
    session = page.session("three")
    view = gate.get(f"/api/sessions/{session}").json["messages"]
    assert [message["content"] for message in view if message["role"] == "user"] == ["one", "two", "three"]


def test_a_refused_turn_that_is_edited_in_the_middle_is_asked_at_the_end(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(TOO_LONG)
    ask(page, "far too long")
    ask(page, "two")
    page.click(f"{BOX} [data-do=edit]")
    assert page.js("document.querySelector('[data-input]').value") == "far too long"
    page.find("[data-input]").clear()
    page.send("short")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert questions_of(page) == ["two", "short"]
    assert asked(upstream) == ["two", "Hello.", "short"]


def test_a_prompt_that_ollama_cut_is_said_as_long_as_it_is_so(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    require("axe_core_python", "it carries axe-core")
    page = blank.open(gateway(model={"options": {"num_ctx": 4096}}).base_url + "/")
    shown = "[...document.querySelectorAll('[data-context-full]')].map(e => !e.hidden)"
    ollama.script(text("a"), done(prompt_eval_count=4096))
    ask(page, "one")
    assert page.text("[data-context-full]").startswith("The conversation no longer fits the model's context")
    assert findings(page) == []
    ollama.script(error_line("x"))
    ask(page, "two")
    ollama.script(text("b"), done(prompt_eval_count=4096))
    ask(page, "three")
    ollama.script(text("c"), done(prompt_eval_count=40))
    ask(page, "four")
    page.until(f"{shown}.join() === 'true,false,true,false'")
    page.leave()
