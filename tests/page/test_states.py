"""Every state has its words, every error a way on, and a reload brings the conversation back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, error_line, hang, status, text, wait
from tests.support.tls import Authority, TlsFront
from tests.support.tools import wait_for

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE = "\ue00c"


def test_loading_shows_its_seconds(page: Page, upstream: ScriptedOllama) -> None:
    loaded = threading.Event()
    upstream.script(wait(loaded), text("Ready."), done())
    page.send("go")
    page.until("/may be loading… [2-9] s$/.test(document.querySelector('[data-progress-text]').textContent)")
    loaded.set()
    page.until_answer("Ready.")
    page.until("document.querySelector('[data-progress]').hidden")


def test_away_ollama_shows_its_attempts_and_the_link_waits(page: Page, upstream: ScriptedOllama) -> None:
    page.until("document.querySelector('[data-link]').dataset.link === 'connected'", "connected")
    assert page.text("[data-link-text]") == "Connected"
    upstream.stop()
    page.send("go")
    page.until(
        "/\\(attempt [3-9]\\)/.test(document.querySelector('[data-progress-text]').textContent)", "attempts count"
    )
    page.until("document.querySelector('[data-link-text]').textContent === 'Waiting for Ollama'")
    upstream.start()
    page.until_answer("Hello.")
    page.until("document.querySelector('[data-link-text]').textContent === 'Connected'")


def test_a_prompt_that_is_read_to_its_end_is_said(page: Page, upstream: ScriptedOllama) -> None:
    is_read = threading.Event()
    upstream.script(hang())
    upstream.script(wait(is_read), text("Next."), done())
    page.send("long")
    upstream.next_request()
    page.press(ESCAPE)
    page.send("next")
    page.until(
        "[...document.querySelectorAll('[data-progress-text]')]"
        ".some((each) => /^The model is still reading; .* [2-9] s$/.test(each.textContent))"
    )
    assert page.text("[data-link-text]") == "Connected"
    is_read.set()
    page.until_answer("Next.")


def test_model_that_is_loaded_anew_is_said(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    is_unloaded = threading.Event()
    ollama.script(wait(is_unloaded), status(200, {"done": True}), path="/api/generate")
    ollama.script(hang())
    page = blank.open(gateway(stream={"first_frame_seconds": 1, "unload_wedged": True}).base_url + "/")
    page.send("go")
    page.until(
        "/^The request hung in Ollama; .* [0-9]+ s$/.test(document.querySelector('[data-progress-text]').textContent)"
    )
    assert page.text("[data-link-text]") == "Waiting for Ollama"
    ollama.loaded.clear()
    is_unloaded.set()
    page.until_answer("Hello.")
    page.until("document.querySelector('[data-progress]').hidden")


def test_stalled_answer_can_be_tried_again_from_where_it_stopped(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    page, upstream = blank.open(gateway(stream={"stall_seconds": 2}).base_url + "/"), ollama
    upstream.script(text("Half"), hang())
    page.send("go")
    page.until_shown("[data-failure]")
    assert page.text("[data-failure-title]") == "The model stopped in the middle of its answer."
    upstream.script(text(" and half."), done())
    page.click("[data-do=retry]")
    page.until_answer("Half and half.")
    assert not page.is_shown("[data-failure]")
    assert upstream.chats[-1].messages[-1]["content"] == "Half"


def test_missing_model_shows_the_pull_line(page: Page, upstream: ScriptedOllama) -> None:
    upstream.models.clear()
    page.send("go")
    page.until_shown("[data-failure]")
    assert page.text("[data-failure-detail]") == "ollama pull qwen3:32b"
    page.until("document.querySelector('[data-link-text]').textContent === 'Model not found'")
    upstream.models.append("qwen3:32b")
    page.click("[data-do=retry]")
    page.until_answer("Hello.")


def test_error_of_ollama_is_shown_in_its_own_words(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(error_line("out of <b>memory</b>"))
    page.send("go")
    page.until_shown("[data-failure]")
    assert page.text("[data-failure-detail]") == "out of <b>memory</b>"


def test_an_ollama_that_is_there_and_cannot_be_asked_is_not_to_be_started(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    with TlsFront(ollama.port, Authority(tmp_path / "authority").context()) as front:
        secure = gateway(model={"endpoint": front.base_url})
        blank.open(secure.base_url + "/").send("go")
        blank.until_shown("[data-failure]")
        assert "model.ca_file" in blank.text("[data-failure-detail]")
    ollama.stop()
    plain = gateway(stream={"retry_seconds": 0})
    blank.open(plain.base_url + "/").send("go")
    blank.until_shown("[data-failure]")
    assert blank.text("[data-failure-detail]") == "ollama serve"


def test_refused_message_says_why_and_the_conversation_goes_on_without_it(page: Page, upstream: ScriptedOllama) -> None:
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    upstream.script(status(400, {"error": "the input length exceeds the context length"}))
    page.send("too long")
    page.until_shown("[data-failure]")
    said = page.js("[...document.querySelectorAll('[data-failure]')].pop().textContent")
    assert "Ollama refused this message. The conversation goes on without it." in said
    assert "the input length exceeds the context length" in said
    page.reload()
    page.until_shown("[data-failure]")
    page.send("two")
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "two"]


def test_refused_message_can_be_sent_again(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(status(400, {"error": "no"}))
    page.send("go")
    page.until_shown("[data-failure]")
    page.click("[data-do=retry]")
    page.until_answer("Hello.")
    page.until_idle()
    assert not page.is_shown("[data-failure]")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["go"]


def test_refused_message_that_others_follow_asks_for_nothing(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(status(400, {"error": "too long"}))
    page.send("bad")
    page.until_shown("[data-failure]")
    assert page.is_shown("[data-do=retry]")
    page.send("good")
    page.until_answer("Hello.")
    assert page.text("[data-failure-title]").startswith("Ollama refused this message.")
    assert "too long" in page.text("[data-failure-detail]")
    assert not page.is_shown("[data-failure] [data-do=retry]"), "it would not be sent where it stands"


def test_partial_answer_that_ollama_refuses_to_go_on_with_stays(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("Half"), hang())
    page.send("go")
    page.until_answer("Half")
    page.press(ESCAPE)
    page.until_idle()
    upstream.script(status(400, {"error": "too long"}))
    page.click("[data-do=continue]")
    page.until_shown("[data-failure]")
    assert page.text("[data-failure-title]") == "Ollama refused to go on with this answer."
    assert page.text("[data-failure-hint]").startswith("Its text stays in the conversation.")
    page.send("next")
    page.until_answer("Hello.")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["go", "Half", "next"]


def test_conversation_that_is_longer_than_the_server_keeps_says_so(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    page = blank.open(gateway(session={"max_context_bytes": 1024}).base_url + "/")
    page.send("x" * 600)
    page.until_answer("Hello.")
    page.until_idle()
    assert not page.is_shown("[data-notice]")
    page.send("y" * 600)
    page.until_shown("[data-notice]")
    assert "no longer sees its beginning" in page.text("[data-notice-text]")
    page.until_idle()
    page.send("short")
    page.until("document.querySelectorAll('[data-message]').length === 6")
    page.until_idle()
    assert [m["content"][:1] for m in ollama.chats[-1].messages] == ["y", "H", "s"]
    assert not page.is_shown("[data-notice]"), "it was said"


def test_model_that_cannot_go_on_says_so_and_is_asked_anew(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("Half"), hang())
    page.send("go")
    page.until_answer("Half")
    page.press(ESCAPE)
    page.until_idle()
    upstream.script(
        status(200, {"template": "{{ range .Messages }}{{ .Content }}<|im_end|>{{ end }}"}), path="/api/show"
    )
    page.click("[data-do=continue]")
    page.until_shown("[data-failure]")
    assert page.text("[data-failure-title]") == "This model cannot go on with a partial answer."
    page.click("[data-do=retry]")
    page.until_answer("Hello.")
    assert [m["content"] for m in upstream.chats[-1].messages] == ["go"]


def test_answer_without_a_word_says_so_and_can_be_asked_again(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("<think>Hm.</think>"), done())
    page.send("go")
    page.until_shown("[data-mark]")
    assert page.text("[data-mark]") == "The model ended its answer without a word"
    assert page.text("[data-thinking-label]") == "Thought for 1 s"
    page.click('[data-do="regenerate"]')
    page.until_answer("Hello.")
    assert not page.is_shown("[data-mark]")


def test_context_that_is_nearly_full_is_said(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    page = blank.open(gateway(model={"options": {"num_ctx": 4096}}).base_url + "/")
    ollama.script(text("Yes."), done(prompt_eval_count=4000, eval_count=40))
    page.send("go")
    page.until_answer("Yes.")
    page.until("document.querySelector('[data-stats]').textContent.endsWith('· context 98% full')")


def test_busy_gateway_says_so_and_is_tried_again(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    busy = gateway(server={"max_streams": 1})
    page = blank.open(busy.base_url + "/")
    ollama.script(hang())
    with busy.stream("hold"):
        ollama.next_request()
        page.send("go")
        page.until_shown("[data-failure]")
        assert page.text("[data-failure-title]") == "All streams of the gateway are taken."
        page.reload()
        page.until_shown("[data-failure]")
    wait_for(lambda: busy.get("/api/status").json["streams"] == 0, "the stream is free")
    page.driver.execute_script("const b = document.querySelector('[data-do=retry]'); b.click(); b.click()")
    page.until_answer("Hello.")
    page.until_idle()
    assert [m["content"] for m in ollama.chats[-1].messages] == ["go"]
    page.leave()


def test_gateway_that_goes_and_comes_back_goes_on_with_the_whole_conversation(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    first = gateway(server={"graceful_seconds": 0})
    page = blank.open(first.base_url + "/")
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    ollama.script(text("Par"), hang())
    page.send("two")
    page.until_answer("Par")
    first.terminate()
    page.until_idle()
    page.until("document.querySelector('[data-link-text]').textContent === 'Disconnected'")
    page.send("three")
    page.until("[...document.querySelectorAll('[data-progress]')].pop().dataset.progress === 'reconnecting'")
    gateway(server={"port": first.port})
    page.until("document.querySelector('[data-link-text]').textContent === 'Connected'")
    page.until_answer("Hello.")
    assert [m["content"] for m in ollama.chats[-1].messages] == ["one", "Hello.", "two", "Par", "three"]
    page.leave()


def test_crash_of_the_worker_says_what_happened_and_goes_on_from_the_text(
    blank: Page, gateway: Callable[..., Gateway], ollama: ScriptedOllama
) -> None:
    ollama.script(text("Half"), hang())
    started = gateway()
    page = blank.open(started.base_url + "/")
    page.send("go")
    page.until_answer("Half")
    started.kill_worker()
    page.until("document.querySelector('[data-notice-text]').textContent.startsWith('The connection was cut.')")
    page.until("document.querySelector('[data-announcer]').textContent.startsWith('Interrupted')")
    ollama.script(text(" and half."), done())
    page.click("[data-do=continue]")
    page.until_answer("Half and half.")
    assert ollama.chats[-1].messages[-1]["content"] == "Half"
    page.leave()


def test_forgotten_session_goes_on_with_the_whole_conversation(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    session = page.session()
    assert gate.delete(f"/api/sessions/{session}").status == 204
    page.send("two")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "two"]
    assert "had forgotten" in page.text("[data-notice-text]")
    assert gate.get(f"/api/sessions/{session}").json["turns"] == 2


def test_continue_of_a_conversation_that_went_on_elsewhere_says_what_becomes_of_it(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    upstream.script(text("Half"), hang())
    page.send("go")
    page.until_answer("Half")
    page.press(ESCAPE)
    page.until_idle()
    session = page.session()
    assert gate.post("/api/chat", {"session_id": session, "message": "other", "stream": False}).status == 200
    page.click("[data-do=continue]")
    page.until("document.querySelector('[data-notice-text]').textContent.includes('has taken its place')")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["go", "Half"]


def test_continue_of_a_forgotten_session_goes_on_in_place(page: Page, gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("Half"), hang())
    page.send("go")
    page.until_answer("Half")
    page.press(ESCAPE)
    page.until_idle()
    gate.delete("/api/sessions/" + page.session())
    upstream.script(text(" whole."), done())
    page.click("[data-do=continue]")
    page.until_answer("Half whole.")
    assert upstream.chats[-1].messages[-1] == {"role": "assistant", "content": "Half"}


def test_reload_brings_the_conversation_back_from_the_server(page: Page, upstream: ScriptedOllama) -> None:
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    page.session("one")
    page.rewrite(messages=[], isBehind=False)  # as if the browser had been killed before it wrote them
    page.reload()
    page.until_answer("Hello.")
    page.send("two")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "two"]


def test_reload_of_a_forgotten_session_shows_the_browsers_copy_and_goes_on(
    page: Page, gate: Gateway, upstream: ScriptedOllama
) -> None:
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    gate.delete("/api/sessions/" + page.session())
    page.reload()
    page.until_answer("Hello.")
    page.until("document.querySelector('[data-notice-text]').textContent.includes('own copy')")
    assert page.text("[data-stats]") == "61.6 tokens/s · 5.0 s"
    page.send("two")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert [m["content"] for m in upstream.chats[-1].messages] == ["one", "Hello.", "two"]


def test_reload_after_an_interrupt_shows_the_partial_text_and_continues(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("Half"), hang())
    page.send("go")
    page.until_answer("Half")
    page.press(ESCAPE)
    page.until_idle()
    page.reload()
    page.until_answer("Half")
    upstream.script(text(" whole."), done())
    page.click("[data-do=continue]")
    page.until_answer("Half whole.")
    assert upstream.chats[-1].messages[-1]["content"] == "Half"
