"""Formulas, tables and footnotes in Chromium: they are drawn, they scroll in their boxes, and no text of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clawgate.web.pages.sanitiser import ATTRIBUTES, FIXED_VALUES, TAGS
from tests.support.ollama import ScriptedOllama, done, text

if TYPE_CHECKING:
    from tests.page.chromium import Page

TORTURE = Path(__file__).parents[1].joinpath("support", "torture.md").read_text(encoding="utf-8")
BODY = "[data-message=assistant] [data-body]"
WIDE = f"""| 一 | 二 | 三 | 四 | 五 |
|---|---|---|---|---|
| {"这是很长的内容" * 4} | 短 | a | internationalization | https://example.com/{"a/very/long/address/" * 3} |

$$ {" + ".join(f"a_{{{index}}}" for index in range(20))} $$
"""
RUN = "<img src=x onerror=window.hacked=1>"
PAYLOADS = [
    f"<math><mtext><table><mglyph><style><!--</style>{RUN}-->",
    f"<math><annotation-xml encoding=text/html><style>{RUN}</style></annotation-xml></math>",
    f"<math><mi><style><![CDATA[</style>{RUN}]]></mi></math>",
    f"<svg></p><style><a id='</style>{RUN}'></svg>",
    f"<form><math><mtext></form><form><mglyph><style></math>{RUN}",
    f"<math><mtext><option><FAKEFAKE><option></option><mglyph><svg><mtext><style><a title='</style>{RUN}'>",
    f"<noscript><p title='</noscript>{RUN}'>",
    "<math href=javascript:window.hacked=2><mtext>x</mtext></math>",
    "<math><maction actiontype=statusline xlink:href=javascript:window.hacked=3>x</maction></math>",
    "&lt;/mtext&gt;&#60;img src=x onerror=window.hacked=4&#62; &#x3c;script&#x3e;window.hacked=5&#x3c;/script&#x3e;",
    f'"> {RUN} \' onmouseover=window.hacked=6 x="',
    f"]]>{RUN}<![CDATA[",
    f"--><!-->{RUN}",
]
"""Texts that turned into running code between a filter and a browser, in places where a text can stand."""
PLACES = [
    *("%s", "$%s$", "$$%s$$", r"\(%s\)", "$$\n%s\n$$", r"$\text{%s}$", r"$\nosuch{%s}$", r"$\mathrm{%s}$"),
    *(r"$\tag{%s}$", r"$\operatorname{%s}$", r"$\color{%s}{x}$", r"$\textcolor{%s}{x}$", r"$\hspace{%s}$"),
    *(r"$\ce{%s}$", r"$\mbox{$%s$}$", r"$\begin{array}{%s}x\end{array}$", "[^a] x\n\n[^a]: %s", "[^%s]: x"),
    *("<sub>%s</sub>", "https://a.b/%s", "a%s@b.cc", "|%s|\n|-|\n|$\\text{%s}$|", "- [x] %s", "> $x$ %s"),
    *("**“%s”**后", "# $x$%s", "![%s](https://b.c)", "[$%s$](https://b.c)"),
]
SPREAD = """
const done = arguments[2];
const [tags, names] = [new Set(arguments[1].tags), new Set(arguments[1].names)];
(async () => {
  const wrong = [];
  for (let at = 0; at < arguments[0].length; at += 200) {
    const body = JSON.stringify({texts: arguments[0].slice(at, at + 200)});
    const headers = {"Content-Type": "application/json"};
    const answer = await fetch("render", {method: "POST", headers, body});
    for (const html of (await answer.json()).htmls) {
      const first = document.createElement("div");
      first.innerHTML = html;
      const again = document.createElement("div");
      again.innerHTML = first.innerHTML;
      document.body.append(first, again);
      for (const element of [first, again].flatMap((each) => [...each.querySelectorAll("*")])) {
        const others = [...element.attributes].map((each) => each.name).filter((each) => !names.has(each));
        if (!tags.has(element.localName) || others.length) wrong.push(element.outerHTML);
      }
      if (first.innerHTML !== again.innerHTML) wrong.push(first.innerHTML);
      first.remove();
      again.remove();
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  done({wrong: wrong.slice(0, 5), hacked: window.hacked ?? null});
})().catch((error) => done({failed: String(error)}));
"""


def test_no_text_around_a_formula_runs_or_mutates(page: Page) -> None:
    texts = [place.replace("%s", payload) for place in PLACES for payload in PAYLOADS]
    names = {name for given in (*ATTRIBUTES.values(), *FIXED_VALUES.values()) for name in given}
    known = {"tags": sorted(TAGS), "names": sorted({*names, "target", "rel"})}
    assert page.driver.execute_async_script(SPREAD, texts, known) == {"wrong": [], "hacked": None}


def test_everything_of_a_text_is_drawn(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text(TORTURE), done())
    page.send("go")
    page.until_rendered()
    page.until(f"document.querySelector('{BODY} h4')", "the whole is rendered")
    assert page.count(f"{BODY} math") == 11
    assert page.js(f"[...document.querySelectorAll('{BODY} math')].every(e => e.getBoundingClientRect().width > 5)")
    one, high = page.js(
        f"[...document.querySelectorAll('{BODY} math')].map(e => e.getBoundingClientRect().height)"
        ".toSorted((a, b) => a - b).filter((_, index, all) => index === 0 || index === all.length - 1)"
    )
    assert high > 1.5 * one, "fractions and systems of equations are higher than a letter"
    assert page.text(f"{BODY} code.math") == r"$\unknowncommand{x}$"
    assert page.js(f"getComputedStyle(document.querySelector('{BODY} .boxed')).borderTopWidth") == "1px"
    assert page.js(f"[...document.querySelectorAll('{BODY} sup.footnote')].map(e => e.textContent)") == ["1", "note"]
    gaps = page.js(
        f"[...document.querySelectorAll('{BODY} ol ul > li')].map(e => e.getBoundingClientRect())"
        ".map((e, index, all) => index ? e.top - all[index - 1].bottom : 0)"
    )
    assert max(gaps) < 8, "a list's items stand close, though each is a paragraph"
    prose = page.js(f"[...document.querySelectorAll('{BODY} :is(p, td, h4)')].map(e => e.textContent).join()")
    assert "完" in prose
    assert "**" not in prose


@pytest.mark.parametrize(
    "before", ["", "- ", "> ", "# ", "- [ ] ", "- **a** ", "A footnote[^1].\n\n[^1]: ", "[a](http://b) "]
)
def test_a_wide_formula_in_a_line_widens_no_page(page: Page, upstream: ScriptedOllama, before: str) -> None:
    page.resize(390)
    upstream.script(text(f"{before}in a line $x_{{{'y' * 200}}}$"), done())
    page.send("hi")
    page.until_rendered()
    page.until("document.querySelector('math')")
    boxes = "[document.documentElement, document.querySelector('[data-scroller]')]"
    assert page.js(f"{boxes}.map((each) => each.scrollWidth - each.clientWidth)") == [0, 0]
    box = "document.querySelector('[data-body] input')?.getBoundingClientRect()"
    edge = "document.querySelector('[data-body] p')?.getBoundingClientRect().left"
    assert before != "- [ ] " or page.js(f"{box}.left >= {edge}"), "a task's box is not cut off"


def test_wide_tables_and_formulas_scroll_in_their_boxes(page: Page, upstream: ScriptedOllama) -> None:
    upstream.script(text(WIDE), done())
    page.send("go")
    page.until_rendered()
    page.until(f"document.querySelector('{BODY} table') && document.querySelector('{BODY} math')", "all is rendered")
    for width in (1280, 390):
        page.resize(width)
        cells = page.js(f"[...document.querySelectorAll('{BODY} td')].map(e => e.getBoundingClientRect().width)")
        size = page.js(f"parseFloat(getComputedStyle(document.querySelector('{BODY} td')).fontSize)")
        assert 4.9 * size < min(cells) <= max(cells) < 24.1 * size, (width, cells)
        assert page.js("document.documentElement.scrollWidth") == width
        assert page.js(f"(e => e.scrollWidth - e.clientWidth)(document.querySelector('{BODY}'))") <= 0
    for box in (".wide", "div.math"):
        assert page.js(f"(e => e.scrollWidth > e.clientWidth)(document.querySelector('{BODY} {box}'))"), box
