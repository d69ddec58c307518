"""Markdown becomes harmless HTML, whatever comes in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name

from clawgate.web.pages.highlight import HIGHLIGHTED, MAX_HIGHLIGHTED
from clawgate.web.pages.markdown import Renderer
from clawgate.web.pages.sanitiser import ATTRIBUTES, FIXED_VALUES, TAGS

HARMLESS = {"target", "rel", *(name for names in (*ATTRIBUTES.values(), *FIXED_VALUES.values()) for name in names)}
SLOWEST_S = 1.0
"""The CPU that the README promises for any text."""


@pytest.fixture(scope="module")
def html_of() -> Callable[[str], str]:
    return Renderer().html_of


def test_markdown_becomes_html(html_of: Callable[[str], str]) -> None:
    assert html_of("# 春\n\n**光** ~~x~~") == "<h1>春</h1>\n<p><strong>光</strong> <s>x</s></p>\n"


def test_tables_tasks_and_code_are_rendered(html_of: Callable[[str], str]) -> None:
    assert '<th class="right">' in html_of("|a|\n|-:|\n|1|")
    assert '<label><input disabled="" type="checkbox" checked=""> a</label>' in html_of("- [x] a")
    assert '<span class="k">def</span>' in html_of("```python\ndef f(): pass\n```")
    assert '<code class="language-python">' in html_of("```python\nx\n```")


def test_unknown_and_hostile_languages_stay_plain(html_of: Callable[[str], str]) -> None:
    assert html_of("```nosuch\n<b>\n```") == '<pre><code class="language-nosuch">&lt;b&gt;\n</code></pre>\n'
    assert "onload" not in html_of('```x"onload=alert(1)\ny\n```')


def test_links_open_apart(html_of: Callable[[str], str]) -> None:
    assert html_of("[a](https://b.c)") == (
        '<p><a href="https://b.c" target="_blank" rel="noopener noreferrer nofollow">a</a></p>\n'
    )


def test_images_elsewhere_become_links(html_of: Callable[[str], str]) -> None:
    assert "<img" not in html_of("![a](https://b.c/d.png) ![e](/api/status) ![f](//g.h/i.png)")
    assert '<a class="remote-image" href="https://b.c/d.png"' in html_of("![a](https://b.c/d.png)")
    assert '<img src="data:image/png;base64,AAAA" alt="a">' in html_of("![a](data:image/png;base64,AAAA)")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
        "<a href=javascript:alert(1)>x</a>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](java&#x0A;script:alert(1))",
        "[x](vbscript:x) [y](file:///etc/passwd)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](data:image/svg+xml;base64,PHN2Zz4=)",
        '![x](https://b.c "\\" onerror=\\"alert(1)")',
        '[x](https://b.c"onclick="alert(1))',
        '<http://b.c"onclick=alert(1)>',
        "```\n</code></pre><script>alert(1)</script>",
        "```html\n<script>alert(1)</script>\n```",
        "~~~'\"><img src=x onerror=alert(1)>\nx\n~~~",
        "|<img src=x onerror=alert(1)>|\n|-|\n|<style>*{display:none}</style>|",
        "- [x] <input autofocus onfocus=alert(1)>",
        "[a]: javascript:alert(1)\n\n[a]",
        "<!--><img src=x onerror=alert(1)>-->",
        "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    ],
)
def test_hostile_text_is_harmless(html_of: Callable[[str], str], text: str) -> None:
    check_harmless(html_of(text))


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("<>\"'`~[]()!#*_-=|&;:/\\ \n\tax1\x00\u2028scriptonjavadata:"), max_size=80))
def test_any_text_is_harmless(text: str) -> None:
    check_harmless(SHARED.html_of(text))


SHARED = Renderer()


def check_harmless(html: str) -> None:
    for closing, name, rest in re.findall(r"<(/?)([a-zA-Z0-9]*)([^>]*)>", html):
        assert name in TAGS, html
        assert closing or set(re.findall(r'([a-zA-Z-]+)="[^"]*"', rest)) <= HARMLESS, html
    for address in re.findall(r'href="([^"]*)"', html):
        assert re.match(r"https?:|mailto:", address), html
    for source in re.findall(r'src="([^"]*)"', html):
        assert source.startswith("data:image/"), html


@pytest.mark.parametrize("unit", ["\t", "a("])
@pytest.mark.parametrize("language", sorted(HIGHLIGHTED))
def test_no_code_takes_long_to_colour(language: str, unit: str) -> None:
    """Regular expressions that backtrack hold the interpreter in one match, or a core in many."""
    assert get_lexer_by_name(language).aliases[0] == language
    began = time.thread_time()
    SHARED.html_of(f"```{language}\n{(unit * MAX_HIGHLIGHTED)[: MAX_HIGHLIGHTED - 1]}\n```\n")
    assert time.thread_time() - began < SLOWEST_S


@pytest.mark.parametrize("language", ["easytrieve", "autohotkey", "mcschema", "scala"])
def test_a_language_that_could_take_long_stays_plain(language: str) -> None:
    html = SHARED.html_of(f"```{language}\nif x then 1\n```\n")
    assert (html.count("<span"), "if x then 1" in html) == (0, True)


def test_text_that_the_parser_cannot_take_comes_back_as_text(
    html_of: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ValueError

    with monkeypatch.context() as patch:
        patch.setattr("markdown_it.parser_block.ParserBlock.parse", fail)
        assert html_of("<b>a</b>") == "<pre><code>&lt;b&gt;a&lt;/b&gt;</code></pre>\n"
    with monkeypatch.context() as patch:
        patch.setattr("clawgate.web.pages.writer.Writer.fence", fail)
        html = Renderer().html_of("a\n\n```\n<b>\n```\n\nc")
    assert html == "<p>a</p>\n<pre><code>```\n&lt;b&gt;\n```</code></pre>\n<p>c</p>\n"
