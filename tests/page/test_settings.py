"""The settings of a conversation, its speed, and the meter of its context."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.page.test_look import findings
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, every, hang, text

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE, ENTER = "\ue00c", "\ue007"


def fill(page: Page, **values: str) -> None:
    for name, value in values.items():
        field = page.find(f"[data-settings] [name={name}]")
        field.clear()
        field.send_keys(value)


def wrong(page: Page, name: str) -> str:
    return page.text(f"[data-parameter={name}] [data-wrong]")


def test_settings_go_with_the_conversation_and_stay(page: Page, upstream: ScriptedOllama) -> None:
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    page.click("[data-settings-open]")
    fill(page, system="Answer in French.", temperature="0,3", num_ctx="8192", stop="END\n\\n\\n")
    assert findings(page) == []
    page.click("[data-settings-form] .send")
    page.until("!document.querySelector('dialog[open]')")
    page.until("document.querySelector('[data-settings-open]').classList.contains('set')")
    page.send("two")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    sent = upstream.chats[-1].json
    assert [m["content"] for m in sent["messages"]] == ["Answer in French.", "one", "Hello.", "two"]
    assert sent["options"] == {"temperature": 0.3, "num_ctx": 8192, "stop": ["END", "\n\n"]}
    page.reload()
    page.send("three")
    page.until("document.querySelectorAll('[data-message]').length === 6")
    page.until_idle()
    sent = upstream.chats[-1].json
    assert (sent["messages"][0]["content"], sent["options"]["temperature"]) == ("Answer in French.", 0.3)
    page.click("[data-settings-open]")
    assert page.js("document.querySelector('[name=temperature]').value") == "0.3"
    page.click("[data-settings-reset]")
    page.press(ESCAPE)
    page.until("!document.querySelector('[data-settings-open]').classList.contains('set')")
    page.send("four")
    page.until("document.querySelectorAll('[data-message]').length === 8")
    page.until_idle()
    sent = upstream.chats[-1].json
    assert (sent["messages"][0]["role"], sent.get("options")) == ("user", None)


def test_a_wrong_value_is_said_at_its_field_and_does_not_count(page: Page, upstream: ScriptedOllama) -> None:
    page.click("[data-settings-open]")
    fill(page, temperature="hot", num_predict="1.5", top_p="0.9")
    assert wrong(page, "temperature") == "Expected a number from 0 to 2"
    assert wrong(page, "num_predict") == "Expected a whole number from -2 to 2097152"
    assert wrong(page, "top_p") == ""
    assert findings(page) == []
    page.click("[data-settings-form] .send")
    assert page.js("document.activeElement.name") == "temperature"
    assert page.is_shown("dialog[data-settings][open]")
    page.press(ESCAPE)
    page.until("!document.querySelector('dialog[open]')")
    page.send("hi")
    page.until_answer("Hello.")
    assert upstream.next_request().json["options"] == {"top_p": 0.9}


def test_thinking_is_a_setting_of_the_conversation(page: Page, upstream: ScriptedOllama) -> None:
    page.until_shown("[data-think]")
    page.click("[data-think]")
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    assert upstream.next_request().json["think"] is False
    page.reload()
    page.until("!document.querySelector('[data-think-input]').checked")


def test_the_meter_warns_before_the_context_is_full(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    page = blank.open(gateway(model={"options": {"num_ctx": 4096}}).base_url + "/")
    assert not page.is_shown("[data-meter]")
    cases = ((1000, "1,040 / 4,096 tokens", ""), (3300, "Context 81% full", "Soon the model no longer"))
    for used, shown, soon in cases:
        ollama.script(text("Yes."), done(prompt_eval_count=used, eval_count=40))
        page.send("go")
        page.until(f"document.querySelector('[data-meter-text]').textContent === {shown!r}")
        assert page.text("[data-meter-more]").startswith(soon) if soon else not page.text("[data-meter-more]")
        page.until_idle()
    assert page.js("document.querySelector('[data-meter-bar]').value") == 81
    assert findings(page) == []
    page.leave()


def test_an_interrupted_answer_has_a_speed_too(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(every(0.1, 12, lambda number: text(f"word {number} ")), hang())
    page.send("go")
    page.until("document.querySelector('[data-message=assistant]').innerText.includes('word 11')")
    page.press(ESCAPE)
    page.until_idle()
    page.until("/^≈ [0-9]+ tokens\\/s · [0-9.]+ s$/.test(document.querySelector('[data-stats]').textContent)")
