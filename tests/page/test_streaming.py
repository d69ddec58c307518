"""What streams is shown rendered at once, and what is finished stays where and what it is."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.ollama import ScriptedOllama, Step, batch, done, hang, text, texts, wait
from tests.support.tools import ROOT

if TYPE_CHECKING:
    from tests.page.chromium import Page

ESCAPE = "\ue00c"
BODY = "[data-message=assistant] [data-body]"
SHOWN = f"document.querySelector('{BODY}')"
RENDERS = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/render')).length"
WITHOUT_RENDERING = (
    "(window.fetch = (really => (url, ...rest) => url.endsWith('render') ? {} : really(url, ...rest))(fetch))"
)
"""Replaces fetch so that texts are never rendered: the promise of a request stays open."""
ANSWER = "".join(
    f"## 第{part}节 Part {part}\n\n一个**重要的**段落，有 `代码`、[链接](https://example.com/a_{part})、*强调*，"
    "以及公式 "
    f"$E_{part} = \\frac{{m_{part}}}{{c}}$，它后面还有一些文字，直到这一行写满为止。"
    "然后是第二句，**也有粗体**，还有更多的文字。\n\n"
    + "".join(
        f"{item}. **第{item}步：**先做这件事，再看结果\n   - 嵌套 `a{item}`\n   - nested two\n" for item in range(1, 4)
    )
    + "\n| 名称 | 数值 | 说明 |\n|:---|---:|---|\n"
    + "".join(f"| 项目{row} | {row * 37} | 一些**说明**文字 |\n" for row in range(4))
    + "\n```python\ndef f(x):\n"
    + "".join(f"    y{line} = x ** {line}  # 注释\n" for line in range(6))
    + "    return x\n```\n\n$$\n\\frac{a}{b} = \\sqrt{x^2}\n$$\n\n> 引用**加粗**\n> 第二行\n\n---\n\n"
    for part in range(3)
)
SHIFTS = """(window.shifts = [], new PerformanceObserver(list => window.shifts.push(...list.getEntries()))
  .observe({type: 'layout-shift'}))"""
WORST_WINDOW = """(() => {
  let [worst, value, first, last] = [0, 0, 0, 0];
  for (const entry of window.shifts.filter(each => !each.hadRecentInput)) {
    const isSame = entry.startTime - last < 1000 && entry.startTime - first < 5000;
    [value, first] = isSame ? [value + entry.value, first] : [entry.value, entry.startTime];
    last = entry.startTime;
    worst = Math.max(worst, value);
  }
  return worst;
})()"""
"""The greatest sum of shifts in a session window, as web-vitals defines it."""
SAMPLES = f"""(window.samples = [], requestAnimationFrame(function look() {{
  const body = {SHOWN}?.cloneNode(true);
  body?.querySelectorAll('code, math').forEach(each => each.remove());
  if (body) window.samples.push(body.textContent);
  requestAnimationFrame(look);
}}))"""


def pieces(whole: str, length: int) -> Iterator[Step]:
    """Send a text in pieces, one a frame of Ollama's."""
    return (text(whole[begin : begin + length]) for begin in range(0, len(whole), length))


def test_blocks_are_what_they_are_from_their_first_line_without_the_gateway(
    page: Page, upstream: ScriptedOllama
) -> None:
    page.js(WITHOUT_RENDERING)
    steps = [threading.Event() for _ in range(4)]
    upstream.script(
        text("## A **bold** title\n\nSome `co"),
        wait(steps[0]),
        text("de`.\n\n1. one\n   - [x] nested\n2. **tw"),
        wait(steps[1]),
        text("o**\n\n| a | b |\n|--|-:|\n| 1 | **2"),
        wait(steps[2]),
        text("** |\n\n```py\nx = 1\ny ="),
        wait(steps[3]),
        text(" 2\n"),
        hang(),
    )
    page.send("go")
    page.until(f'{SHOWN}?.innerHTML.includes(\'<p dir="auto">Some <code dir="ltr">co</code></p>\')')
    assert page.text(f"{BODY} h2 strong") == "bold"
    steps[0].set()
    page.until_shown(f"{BODY} ol > li:nth-child(2) strong")
    assert page.text(f"{BODY} ol > li:nth-child(2) strong") == "tw"
    assert page.js(f"document.querySelector('{BODY} li > ul > li.task-list-item input').checked")
    steps[1].set()
    page.until_shown(f"{BODY} .wide tbody td strong")
    assert page.js(f"[...document.querySelectorAll('{BODY} tr')].map(e => e.innerText)") == ["a\tb", "1\t2"]
    assert page.js(f"document.querySelector('{BODY} td:last-child').className") == "right"
    steps[2].set()
    page.until(f"{SHOWN}.querySelector('.code pre')?.textContent === 'x = 1\\ny ='")
    assert page.text(f"{BODY} .code > span") == "py"
    assert page.is_shown(f"{BODY} .code button")
    page.js(f"({SHOWN}.querySelector('.code pre').mark = 'same')")
    steps[3].set()
    page.until(f"{SHOWN}.querySelector('.code pre').textContent === 'x = 1\\ny = 2'")
    assert page.js(f"{SHOWN}.querySelector('.code pre').mark") == "same"
    assert page.js(f"{SHOWN}.getAttribute('translate')") == "no"
    page.press(ESCAPE)
    page.until_idle()


def test_no_marks_are_on_the_screen_while_it_streams_and_nothing_jumps(page: Page, upstream: ScriptedOllama) -> None:
    page.js(SAMPLES)
    page.js(SHIFTS)
    upstream.script(*pieces(ANSWER, 3), done())
    page.send("go")
    page.until_rendered()
    samples = page.js("window.samples")
    assert len(samples) > 5
    raw = [sample for sample in samples if re.search(r"\*\*|\||```|^#|\n- ", sample)]
    assert len(raw) <= len(samples) * 0.02, raw[:3]
    assert page.js(WORST_WINDOW) <= 0.1, page.js(
        "window.shifts.map(e => [e.value, e.sources.map(s => s.node?.nodeName)])"
    )
    assert page.count(f"{BODY} math") == 6


def test_selection_focus_and_sideways_scroll_stay_to_the_end(page: Page, upstream: ScriptedOllama) -> None:
    goes_on, ends = threading.Event(), threading.Event()
    wide = "x = '" + "long " * 80 + "'\n"
    upstream.script(
        text(f"A **bold** paragraph, [link](https://example.com) here.\n\n- one two\n- three\n\n```python\n{wide}"),
        wait(goes_on),
        text("y = 2\n```\n\nAnd $x^2$ "),
        wait(ends),
        text("more.\n"),
        done(),
    )
    page.send("go")
    page.until_shown(f"{BODY} .code pre")
    page.js(
        f"({SHOWN}.querySelector('pre').scrollLeft = 200, {SHOWN}.querySelector('pre').focus({{preventScroll: true}}), "
        f"window.kept = [...{SHOWN}.querySelectorAll('p, ul, li, .code, pre')])"
    )
    page.js(
        f"(getSelection().setBaseAndExtent({SHOWN}.querySelector('li p').firstChild, 4, "
        f"{SHOWN}.querySelector('pre .lines').firstChild, 5))"
    )
    selected = page.js("getSelection().toString()")
    assert selected.startswith("two")
    assert selected.endswith("x = '")
    goes_on.set()
    page.until_shown(f"{BODY} pre .s1, {BODY} pre .n")
    page.until_shown(f"{BODY} math")
    ends.set()
    page.until_rendered()
    assert page.js("window.kept.every(e => e.isConnected)")
    assert page.js("getSelection().toString()") == selected
    assert page.js(f"document.activeElement === {SHOWN}.querySelector('pre')")
    assert page.js(f"{SHOWN}.querySelector('pre').scrollLeft") == 200
    assert page.js(f"getComputedStyle({SHOWN}.querySelector('pre')).direction") == "ltr"
    assert page.js(f"{SHOWN}.hasAttribute('translate')") is False


def test_later_definitions_reach_what_used_them_and_nothing_else(page: Page, upstream: ScriptedOllama) -> None:
    page.js(
        "(window.sent = [], window.really = window.fetch, window.fetch = (url, ...rest) => "
        "(url.endsWith('render') && window.sent.push(...JSON.parse(rest[0].body).texts), window.really(url, ...rest)))"
    )
    defines = threading.Event()
    upstream.script(
        text("Plain.\n\n- a [site][s]\n- and[^1]\n\n"),
        wait(defines),
        text("[s]: https://example.org/\n\n[^1]: A note.\n"),
        done(),
    )
    page.send("go")
    page.until("window.sent.length >= 2")
    page.js(f"(window.kept = [...{SHOWN}.querySelectorAll('li')])")
    defines.set()
    page.until_rendered()
    page.until_shown(f"{BODY} sup.footnote a")
    assert page.js(f"{SHOWN}.querySelector('li a').href") == "https://example.org/"
    assert page.js("window.kept.every(e => e.isConnected)")
    assert sorted(page.js("window.sent")).count("Plain.\n") == 1
    assert "example.org" not in page.text(BODY)
    target = page.js(f"{SHOWN}.querySelector('sup a').getAttribute('href')")
    assert page.text(f"{BODY} [id='{target[1:]}'] p").startswith("A note.")


def test_torture_text_in_pieces_ends_as_the_same_text_rendered_whole(page: Page, upstream: ScriptedOllama) -> None:
    whole = (ROOT / "tests" / "support" / "torture.md").read_text(encoding="utf-8")
    upstream.script(*pieces(whole, 1), done())
    page.send("go")
    page.until_rendered()
    tree = f"""(function tree(node) {{
      if (node.nodeType === 3) return node.data;
      const attributes = [...node.attributes].map(a => a.name + '=' + a.value.replace(/\\s?far$/, ''))
        .filter(a => a !== 'class=');
      return [node.localName, attributes.sort(), [...node.childNodes].map(tree)];
    }})({SHOWN})"""
    streamed = page.js(tree)
    assert page.count(f"{BODY} math") >= 10
    page.reload()
    page.until_rendered()
    assert page.js(tree) == streamed


def test_answer_of_more_than_a_request_holds_is_rendered_to_its_end(page: Page, upstream: ScriptedOllama) -> None:
    paragraphs = [f"Paragraph **{index}** " + "of some length, " * 30 + "\n\n" for index in range(600)]
    upstream.script(*[batch(texts(*paragraphs[at : at + 50])) for at in range(0, 600, 50)], text("**The end**"), done())
    page.send("go")
    for _ in range(2):
        page.until_rendered()
        assert page.count(f"{BODY} > p > strong") == 601
        assert page.text(f"{BODY} > p:last-child > strong") == "The end"
        assert page.js(RENDERS) < 20
        page.reload()


def test_thousands_of_lines_of_code_are_folded_and_copied_whole(page: Page, upstream: ScriptedOllama) -> None:
    code = [f"    value_{index} = compute({index})\n" for index in range(5000)]
    steps = [batch(texts(*code[at : at + 100])) for at in range(0, 5000, 100)]
    page.js(
        "(window.long = [], new PerformanceObserver(l => window.long.push(...l.getEntries()))"
        ".observe({type: 'longtask'}))"
    )
    page.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    upstream.script(text("Here:\n\n```python\n"), *steps, text("```\n\nDone.\n"), done())
    page.send("go")
    page.until_rendered()
    box = f"document.querySelector('{BODY} .code')"
    assert page.js(f"{box}.offsetHeight") < 900
    assert page.js(f"{box}.querySelector('[data-fold]').getAttribute('aria-expanded')") == "false"
    assert "5,000" in page.text(f"{BODY} [data-fold]")
    page.click(f"{BODY} .code [data-copy]")
    page.until("document.querySelector('[data-copy]').dataset.copied === 'yes'")
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert copied == "".join(code)
    page.js(f"{box}.querySelector('[data-fold]').scrollIntoView({{block: 'center'}})")  # not below "To the newest"
    page.click(f"{BODY} [data-fold]")
    page.until(f"{box}.offsetHeight > 50000")
    assert page.text(f"{BODY} [data-fold] span") == "Show less"
    assert max((entry["duration"] for entry in page.js("window.long.map(e => e.toJSON())")), default=0) < 3000


def test_question_is_shown_as_it_was_typed_and_a_long_one_is_folded(page: Page) -> None:
    typed = "__init__ and  spaces\n    indented\n# a comment\nC:\\*path *\n| a |"
    long = "\n".join(f"line {index} of **it**" for index in range(10_000))
    paste = (
        "(i => (i.value = arguments[0], i.dispatchEvent(new Event('input'))))(document.querySelector('[data-input]'))"
    )
    for question in (typed, long):
        page.js(paste, question)
        page.press("\ue007")
        page.until("document.querySelectorAll('[data-message=assistant] [data-body] p').length > 0")
        page.until_idle()
    said = page.js(
        "[...document.querySelectorAll('[data-message=user] .said')].map(e => [e.innerText, e.offsetHeight])"
    )
    assert said[0][0] == typed
    assert said[1][1] < 900
    assert page.js("[...document.querySelectorAll('.said')].pop().textContent === arguments[0]", long)
    page.click("[data-message=user] [data-fold]")
    page.until("[...document.querySelectorAll('.said')].pop().offsetHeight > 50000")


@pytest.mark.parametrize(
    "answer",
    [
        "Promise.reject(new TypeError('no network'))",
        "Promise.resolve(new Response('<h1>Bad gateway</h1>', {status: 502, headers: {'Content-Type': 'text/html'}}))",
        "Promise.resolve(new Response('<h1>Sign in</h1>', {headers: {'Content-Type': 'text/html'}}))",
    ],
    ids=["nothing", "an error of a proxy's", "a page of a proxy's"],
)
def test_text_that_is_not_rendered_stays_as_it_is_and_is_rendered_later(
    page: Page, upstream: ScriptedOllama, answer: str
) -> None:
    page.js(
        "(window.failed = 0, window.really = window.fetch, window.fetch = (url, ...rest) => url.endsWith('render') && "
        f"!window.failed ? (window.failed += 1, {answer}) : window.really(url, ...rest))"
    )
    upstream.script(text("# Title\n\nSome **bold** text with `code`.\n\n```python\nx = 1\n```\n"), done())
    page.send("go")
    page.until("document.querySelector('[data-message=assistant]')?.dataset.phase === 'done'")
    assert page.answer().startswith("Title\n\nSome bold text with code.")
    page.js(f"(window.kept = [...{SHOWN}.children])")
    page.until_shown(f"{BODY} pre .n")
    assert page.js("window.failed") == 1
    assert page.js("window.kept.every(e => e.isConnected)")


def test_answer_that_goes_on_keeps_what_is_finished(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("# Title\n\n- one\n- two\n\n```python\nx = 1\n"), hang())
    page.send("go")
    page.until_shown(f"{BODY} .code pre")
    page.press(ESCAPE)
    page.until_rendered()
    page.js(f"(window.kept = [...{SHOWN}.querySelectorAll('h1, ul, li, .code, pre')])")
    upstream.script(text("y = 2\n```\n\nAfter **it**.\n"), done())
    page.click("[data-do=continue]")
    page.until_shown(f"{BODY} > p strong")
    page.until_rendered()
    assert page.js("window.kept.every(e => e.isConnected)")
    assert page.text(f"{BODY} pre") == "x = 1\ny = 2"
    assert page.count(f"{BODY} pre .n") == 2


def test_right_to_left_text_stands_right_and_its_code_does_not(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text("שלום עולם\n\n- פריט `x = 1`\n\n```\ncode\n```\n\nEnglish\n"), done())
    page.send("שלום")
    page.until_rendered()
    direction = "[...document.querySelectorAll(arguments[0])].map(e => getComputedStyle(e).direction)"
    assert page.js(direction, f"{BODY} > p") == ["rtl", "ltr"]
    assert page.js(direction, f"{BODY} ul, {BODY} ul code, {BODY} pre") == ["rtl", "ltr", "ltr"]
    assert page.js(direction, ".said") == ["rtl"]
    assert page.js("document.querySelector('[data-input]').dir") == "auto"


def test_a_long_history_is_there_at_once_and_rendered_in_a_few_requests(page: Page) -> None:
    page.send("go")
    page.until_idle()
    page.session("go")
    (kept,) = page.kept()
    question, answer = kept["messages"]
    messages: list[dict[str, Any]] = []
    for number in range(100):
        messages.append({**question, "id": 2 * number + 1})
        messages.append(
            {**answer, "id": 2 * number + 2, "content": f"# Answer {number}\n\n{ANSWER[: len(ANSWER) // 3]}"}
        )
    page.rewrite(sessionId="sess_gone", messages=messages, nextId=201)
    page.reload()
    assert page.count("[data-message]") == 200
    page.until_rendered()
    page.until(f"document.querySelectorAll('{BODY} pre .k').length === 200")
    assert page.js(RENDERS) <= 20
    assert page.js(
        "(s => s.scrollHeight - s.scrollTop - s.clientHeight < 5)(document.querySelector('[data-scroller]'))"
    )
