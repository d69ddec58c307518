"""A message in the page: Markdown by blocks, nothing harmful, copying, thinking, long answers, scrolling."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.page.chromium import INSECURE_HOST
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, batch, done, hang, text, texts, thinking, wait

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE = "\ue00c"
RENDERED = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/render')).length"
BODY = "[data-message=assistant] [data-body]"
HARMFUL = """
<script>window.hacked = 1</script> <img src=x onerror="window.hacked=2"> <svg onload="window.hacked=3"></svg>

[a](javascript:window.hacked=4) [b](JaVaScRiPt&#58;window.hacked=5) [c](data:text/html,<script>window.hacked=6</script>)

![d](javascript:window.hacked=7) ![e](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+)
![f](http://127.0.0.1:9/f.png "x\\" onerror=\\"window.hacked=8")

<a href="http://x" onclick="window.hacked=9">g</a> <iframe srcdoc="<script>parent.hacked=10</script>"></iframe> <http://x/"onclick="window.hacked=11>

```"><script>window.hacked=12</script>
</code></pre><script>window.hacked=13</script>
```

|a"onclick=window.hacked=14|
|-|
|<style>*{display:none}</style>|

```html
<script>window.hacked=15</script>
"""


def test_finished_blocks_are_rendered_once_each_and_stay(page: Page, upstream: ScriptedOllama) -> None:
    step = [threading.Event() for _ in range(2)]
    upstream.script(
        text("# Title\n\nA **bold** start"),
        wait(step[0]),
        text(" and its end.\n\n| a |\n|"),
        wait(step[1]),
        text("---|\n| 1 |\n"),
        done(),
    )
    sent = "window.sent.flat()"
    page.js(
        "(window.sent = [], window.really = window.fetch, window.fetch = (url, ...rest) => "
        "(url.endsWith('render') && window.sent.push(JSON.parse(rest[0].body).texts), window.really(url, ...rest)))"
    )
    page.send("go")
    page.until_shown(f"{BODY} strong")
    assert page.answer() == "Title\n\nA bold start"
    page.js("(document.querySelector('[data-body] h1').mark = document.querySelector('[data-body] p').mark = 'same')")
    step[0].set()
    page.until_shown(f"{BODY} th")
    page.until(f"{sent}.length === 2", "the paragraph is sent")
    step[1].set()
    page.until_rendered()
    assert page.count(f"{BODY} table td") == 1
    assert page.js(sent) == ["# Title\n", "A **bold** start and its end.\n", "| a |\n|---|\n| 1 |\n"]
    assert page.js("['h1', 'p'].map(e => document.querySelector(`[data-body] ${e}`).mark)") == ["same", "same"]


def test_markdown_has_tables_tasks_and_coloured_code(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(
        text("- [x] done\n- [ ] open\n\n| a | b |\n|-|-:|\n| 1 | 2 |\n\n```python\ndef f(): pass\n```\n"), done()
    )
    page.send("go")
    page.until_shown(f"{BODY} pre .k")
    assert page.js("[...document.querySelectorAll('[data-body] input')].map(e => [e.checked, e.disabled])") == [
        [True, True],
        [False, True],
    ]
    assert page.js("getComputedStyle(document.querySelector('[data-body] tbody td:last-child')).textAlign") == "right"
    colour = "getComputedStyle(document.querySelector(arguments[0])).color"
    assert page.js(colour, "pre .k") != page.js(colour, "pre")


TASKS = "- [ ] tight\n  - [x] nested\n- [ ] \n\nEnd.\n\n- [ ] loose\n\n- [x] # heading\n\n- plain\n"
LINES = """[...document.querySelectorAll(`${arguments[0]} li`)].map(item => {
  const [range, walker] = [document.createRange(), document.createTreeWalker(item, NodeFilter.SHOW_TEXT)];
  while (walker.nextNode() && !walker.currentNode.data.trim());
  range.selectNodeContents(walker.currentNode ?? item);
  const [text, box] = [range, item.querySelector("input") ?? range].map(e => e.getBoundingClientRect());
  const apart = item.innerText.trim() ? Math.abs(text.top + text.bottom - box.top - box.bottom) / 2 : 0;
  return [Math.round(text.left), apart, item.offsetHeight];
})"""
"""Gives for each item the left edge of its text, the distance of its box from the text's middle, and its height."""


def test_boxes_of_tasks_stand_where_bullets_would(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text(TASKS), done())
    page.send("go")
    page.until_idle()
    page.until(f"document.querySelectorAll('{BODY} input').length === 5", "all is rendered")
    lefts, apart, heights = zip(*page.js(LINES, BODY), strict=True)
    assert len({*lefts[:1], *lefts[3:]}) == 1, "every text begins where a plain item's does"
    assert lefts[1] > lefts[0] + 10, "a nested item is further to the right"
    assert max(apart) < 4, "every box is beside its text"
    assert min(heights) > 12, "an empty item has its line"


def test_links_open_apart(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("[site](https://example.org/)"), done())
    page.send("go")
    page.until_rendered()
    link = page.find(f"{BODY} a")
    assert link.get_attribute("target") == "_blank"
    assert set(str(link.get_attribute("rel")).split()) == {"noopener", "noreferrer", "nofollow"}


def test_images_elsewhere_are_links_until_they_are_asked_for(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(
        text("![A cat](http://127.0.0.1:9/cat.png) ![dot](data:image/gif;base64,R0lGODlhAQABAAAAACw=)"), done()
    )
    page.send("go")
    page.until_shown(f"{BODY} a.remote-image")
    assert page.find(f"{BODY} a.remote-image").text.endswith("A cat")
    assert page.count(f"{BODY} img") == 1
    assert not page.js("performance.getEntriesByType('resource').some(e => e.name.includes('cat.png'))")


def test_harmful_text_is_harmless(page: Page, upstream: ScriptedOllama) -> None:
    pieces = [HARMFUL[index : index + 11] for index in range(0, len(HARMFUL), 11)]
    upstream.script(texts(*pieces), done())
    page.send(HARMFUL.replace("\n", " "))
    page.until_idle()
    page.until_shown(f"{BODY} pre")
    page.until_rendered()
    assert page.js("window.hacked") is None
    found = page.js(
        "[...document.querySelectorAll('[data-body] *')]"
        ".flatMap(e => [e.localName, ...[...e.attributes].map(a => a.name)])"
    )
    assert not {"script", "iframe", "svg", "style", "onclick", "onerror", "onload", "srcdoc"} & set(found)
    links = page.js("[...document.querySelectorAll('[data-body] a[href]')].map(e => e.protocol)")
    assert set(links) <= {"http:", "https:", "mailto:"}
    assert page.console() == []


@pytest.mark.parametrize("host", ["127.0.0.1", INSECURE_HOST])
def test_message_and_code_can_be_copied(
    blank: Page, gate: Gateway, upstream: ScriptedOllama, nginx: Callable[..., Nginx], host: str
) -> None:
    front = nginx(gate, replace={"chat.example.org": INSECURE_HOST})
    page = blank.open(f"http://{host}:{front.port}/")
    assert page.js("isSecureContext") == (host == "127.0.0.1")
    page.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    whole = "Run **this**:\n\n```sh\nls -l\n```\n"
    upstream.script(text(whole), done())
    page.send("go")
    page.until_shown(f"{BODY} .code button")
    for selector, expected in (
        (f"{BODY} .code button", "ls -l\n"),
        ("[data-message=assistant] .tools [data-do=copy]", whole),
    ):
        page.click(selector)
        page.until(f"document.querySelector('{selector}').dataset.copied === 'yes'")
        page.find("[data-input]").send_keys("\ue009v\ue009")  # Ctrl+V
        page.until(f"document.querySelector('[data-input]').value.trim() === {json.dumps(expected.strip())}", expected)
        page.find("[data-input]").clear()


def test_thinking_is_open_while_it_thinks_and_folds_when_the_answer_begins(
    page: Page, upstream: ScriptedOllama
) -> None:
    answers = threading.Event()
    upstream.script(thinking("Let me ", "see"), wait(answers), text("Yes."), done())
    page.send("go")
    page.until("document.querySelector('[data-thoughts]')?.textContent === 'Let me see'")
    assert page.js("document.querySelector('[data-thinking]').open")
    page.until(
        "/^Thinking… [1-9]\\d* s$/.test(document.querySelector('[data-thinking-label]').textContent)",
        "its seconds count",
    )
    answers.set()
    page.until_answer("Yes.")
    page.until("!document.querySelector('[data-thinking]').open", "it folds")
    assert page.text("[data-thinking-label]").startswith("Thought for")


def test_thinking_can_be_switched_off_where_the_model_can(page: Page, upstream: ScriptedOllama) -> None:
    page.until_shown("[data-think]")
    page.send("one")
    page.until_answer("Hello.")
    page.until_idle()
    page.click("[data-think]")
    page.send("two")
    page.until("document.querySelectorAll('[data-message]').length === 4")
    page.until_idle()
    assert [chat.json.get("think") for chat in upstream.chats] == [True, False]


def test_answer_of_20000_tokens_stays_responsive(page: Page, upstream: ScriptedOllama) -> None:
    paragraph = [f"word{index} " for index in range(97)] + [".", "\n", "\n"]
    code = ["```python\n", *[f"x{index} = {index}\n" for index in range(3000)], "```\n\n"]
    tokens = (paragraph * 170 + code)[:20_002]
    page.js(
        "(window.long = [], new PerformanceObserver(l => window.long.push(...l.getEntries().map(e => e.duration)))"
        ".observe({type: 'longtask'}))"
    )
    steps = [batch(texts(*tokens[index : index + 100])) for index in range(0, len(tokens), 100)]
    upstream.script(*steps, done())
    page.send("go")
    page.until("document.body.classList.contains('streaming')")
    while page.js("document.body.classList.contains('streaming')"):  # the page answers all the while
        pass
    page.until_rendered()
    assert len(page.text(BODY)) > 100_000
    assert max(page.js("window.long") or [0]) < 3000, page.js("window.long")  # bench/page.py measures, alone
    assert page.js(RENDERED) < 20


def test_text_that_finds_every_place_to_render_taken_is_rendered_a_little_later(
    page: Page, upstream: ScriptedOllama
) -> None:
    refused = "Response.json({error: {code: 'busy', message: ''}}, {status: 503, headers: {'Retry-After': '1'}})"
    page.js(
        "(window.asked = 0, window.isFree = false, window.really = window.fetch, "
        "window.fetch = (url, ...rest) => url.endsWith('render') && (window.asked += 1, !window.isFree) ? "
        f"Promise.resolve({refused}) : window.really(url, ...rest))"
    )
    ends = threading.Event()
    upstream.script(text("# Title\n\nSome **bold** te"), wait(ends), text("xt.\n\nMore.\n"), done())
    page.send("go")
    page.until("window.asked >= 3")
    assert page.answer() == "Title\n\nSome bold te", "it is shown provisionally meanwhile"
    ends.set()
    page.until_idle()
    page.js("(window.isFree = true)")
    page.until_rendered()
    assert page.answer() == "Title\n\nSome bold text.\n\nMore."
    assert page.count(f"{BODY} strong") == 1


def test_scrolling_follows_only_at_the_bottom(page: Page, upstream: ScriptedOllama) -> None:
    goes_on, ends = threading.Event(), threading.Event()
    lines = [f"line {index}\n\n" for index in range(60)]
    upstream.script(texts(*lines), wait(goes_on), texts(*lines), wait(ends), done())
    bottom = "(s => s.scrollHeight - s.scrollTop - s.clientHeight < 5)(document.querySelector('[data-scroller]'))"
    page.send("go")
    page.until("document.body.textContent.includes('line 59')")
    page.until(bottom, "it follows")
    assert not page.is_shown("[data-newest]")
    page.js("document.querySelector('[data-scroller]').scrollTo(0, 100)")
    page.until_shown("[data-newest]")
    goes_on.set()
    page.until("document.body.textContent.split('line 59').length === 3", "it goes on")
    assert page.js("document.querySelector('[data-scroller]').scrollTop") == 100
    page.click("[data-newest]")
    page.until(bottom, "the button brings the reader back")
    ends.set()
    page.until_rendered()
    page.until(bottom, "it stays at the bottom")


@pytest.mark.parametrize("up_px", [5, 30])
def test_a_reader_who_scrolls_up_a_little_is_left_there(page: Page, upstream: ScriptedOllama, up_px: int) -> None:
    steps = [threading.Event() for _ in range(3)]
    lines = text("".join(f"line {index}\n\n" for index in range(60)))
    upstream.script(lines, wait(steps[0]), lines, wait(steps[1]), lines, wait(steps[2]), done())
    scroller = "document.querySelector('[data-scroller]')"
    bottom = f"(s => s.scrollHeight - s.scrollTop - s.clientHeight < 5)({scroller})"
    seen = "document.body.textContent.split('line 59').length"
    page.send("go")
    page.until(f"{seen} === 2 && {bottom}")
    turn = f"{scroller}.scrollBy(0, -{up_px})"  # a wheel that turns on
    page.until(f"!document.querySelector('[data-newest]').hidden || {turn} && false", "the page has noticed")
    line = "document.elementFromPoint(innerWidth / 3, innerHeight / 3).textContent"
    there = page.js(line)
    assert not page.js(bottom)
    steps[0].set()
    page.until(f"{seen} === 3", "it goes on")
    assert page.js(line) == there
    page.js(f"{scroller}.scrollBy(0, 1e6)")
    page.until(f"document.querySelector('[data-newest]').hidden && {bottom}")
    steps[1].set()
    page.until(f"{seen} === 4 && {bottom}", "it follows again")
    steps[2].set()
    page.until_rendered()


def test_streaming_answer_is_announced_once_it_is_whole(page: Page, upstream: ScriptedOllama) -> None:
    page.js(
        "(window.said = [], window.spoken = document.querySelector('[data-announcer]'), "
        "new MutationObserver(() => window.said.push(window.spoken.textContent))"
        ".observe(window.spoken, {childList: true}))"
    )
    upstream.script(*[text(f"w{index} ") for index in range(20)], done())
    page.send("go")
    page.until_idle()
    page.until("window.said.length === 2")
    first, last = page.js("window.said")
    assert first == "The answer is coming."
    assert last.startswith("Answer complete: w0 w1 ")
    assert page.js("document.querySelector('[data-messages]').closest('[aria-live], [role=log]')") is None


def test_continued_answer_keeps_what_was_rendered(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("# Title\n\nSome **bold** te"), hang())
    page.send("go")
    page.until_shown(f"{BODY} strong")
    page.press(ESCAPE)
    page.until_rendered()
    page.js("(document.querySelector('[data-body] h1').mark = 'same')")
    upstream.script(text("xt.\n\nMore."), done())
    page.click("[data-do=continue]")
    page.until_rendered()
    assert page.answer() == "Title\n\nSome bold text.\n\nMore."
    assert page.js("document.querySelector('[data-body] h1').mark") == "same"
