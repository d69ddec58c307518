"""Markdown as models write it: what CommonMark does not have, or has otherwise."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from clawgate.emphasis import befriend_cjk
from clawgate.web.pages.budget import Budget
from clawgate.web.pages.footnotes import FOOTNOTES
from clawgate.web.pages.markdown import REFERENCES, Renderer
from clawgate.web.pages.rules import BUDGET, USED

RENDERER = Renderer()
LINKED = ' target="_blank" rel="noopener noreferrer nofollow"'
TORTURE = Path(__file__).parents[2].joinpath("support", "torture.md").read_text(encoding="utf-8")
"""A text with everything in it; the page's tests stream it."""


def line(text: str) -> str:
    """Render a paragraph; give what is in it."""
    found = re.fullmatch(r"<p>(.*)</p>\n", RENDERER.html_of(text), re.DOTALL)
    assert found, RENDERER.html_of(text)
    return found[1].replace(LINKED, "")


def addresses(text: str) -> list[str]:
    return re.findall(r'href="([^"]*)"', RENDERER.html_of(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**中文（注）**的", "<strong>中文（注）</strong>的"),
        ("**“引号”**后", "<strong>“引号”</strong>后"),
        ("他说**重要！**然后", "他说<strong>重要！</strong>然后"),
        ("*强调。*后文", "<em>强调。</em>后文"),
        ("~~删除。~~后面", "<s>删除。</s>后面"),
        ("**Python（3.10+）**是", "<strong>Python（3.10+）</strong>是"),
        ("**Python(3.10+)**是", "<strong>Python(3.10+)</strong>是"),
        (
            "约**46%**的，**《书》**和**「甲」**",
            "约<strong>46%</strong>的，<strong>《书》</strong>和<strong>「甲」</strong>",
        ),
        (
            "**甲：**乙**丙。**丁*戊？*己~~庚！~~辛",
            "<strong>甲：</strong>乙<strong>丙。</strong>丁<em>戊？</em>己<s>庚！</s>辛",
        ),
        ("***粗斜。***后", "<em><strong>粗斜。</strong></em>后"),
        ("中**`code`**文，**$x$**值", None),
        ("これは**「重要」**です。", "これは<strong>「重要」</strong>です。"),
        ("한국어는 **스크립트(script)**라고", "한국어는 <strong>스크립트(script)</strong>라고"),
        ("**完成✅**后", "<strong>完成✅</strong>后"),
        ("**注意：** 后", "<strong>注意：</strong> 后"),
        ("中 ** 文 ** 字", "中 ** 文 ** 字"),
        ("中文_下划线_中文", "中文_下划线_中文"),
    ],
)
def test_emphasis_beside_chinese_japanese_and_korean(text: str, html: str | None) -> None:
    assert "**" not in line(text) or html == text
    assert html is None or line(text) == html


def test_emphasis_in_a_list_of_chinese() -> None:
    assert "<p><strong>标题：</strong>内容</p>" in RENDERER.html_of("1. **标题：**内容")


ORIGINAL = MarkdownIt("commonmark").enable("strikethrough")
FRIENDLY = MarkdownIt("commonmark").enable("strikethrough")
befriend_cjk(FRIENDLY)


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from("****__~~ \n.,()\"'!-abc1é“”—€\u00a0😀❤\ufe0f"), max_size=30))
def test_emphasis_without_such_a_script_is_that_of_commonmark(text: str) -> None:
    assert FRIENDLY.render(text) == ORIGINAL.render(text)


@pytest.mark.parametrize(
    "text", ["$x$", r"\(x\)", "$$x$$", "a $x$, b", "中$x$文", "（$x$）", "**$x$**", "$x$.", r"$\$5$"]
)
def test_formulas_in_a_line(text: str) -> None:
    html = line(text) if not text.startswith("$$") else RENDERER.html_of(text)
    assert html.count("<math") == 1
    assert "$</" not in re.sub(r"<math.*?</math>", "", html)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "$5 and $6",
            "$5–$10",
            "US$5, US$6",
            "costs $5, $6",
            "from $5 to $10.",
            "$HOME and $PATH",
            "$HOME/$PATH",
            "${HOME}/${USER}",
            "$a+$b=$c",
        ),
        *(
            "$5, or 6 in CA$.",
            "I pay $20 per month and get 5$ back",
            "价格是$5，不是6$。",
            "a $ b $ c",
            "$ x $",
            "$x",
            "x$",
        ),
        *("$x $", "$$", "$$$", "$a\nb$", "a$x$b", "1$x$", "$x$2", r"\$x\$", "$`x`$", "$5 `a$`"),
    ],
)
def test_prices_and_names_of_a_shell_stay_text(text: str) -> None:
    html = RENDERER.html_of(text)
    assert "math" not in html
    assert html.count("$") == text.count("$")


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("$$x$$", "x"),
        ("$$\nx\n$$", "x"),
        ("$$ a\n= b $$", "a\n= b"),
        ("\\[\nx\n\\]", "x"),
        ("\\[ x \\]", "x"),
        ("  $$\n  x\n  $$", "x"),
        ("\\begin{align}\na &= b\n\\end{align}", "\\begin{align}\na &amp;= b\n\\end{align}"),
        ("\\begin{pmatrix} a \\end{pmatrix}", "\\begin{pmatrix} a \\end{pmatrix}"),
        ("$$\n\\begin{cases} a \\\\ b \\end{cases}\n$$", "\\begin{cases} a \\\\ b \\end{cases}"),
        ("$$\n- a\n+ b\n= c\n$$", "- a\n+ b\n= c"),
    ],
)
def test_formulas_that_are_blocks(text: str, tex: str) -> None:
    html = RENDERER.html_of(text)
    assert re.fullmatch(r'<div class="math"><math alttext="([^"]*)" display="block">.*</math></div>\n', html, re.DOTALL)
    assert f'alttext="{tex}"' in html
    assert RENDERER.html_of(f"before\n{text}\nafter") == f"<p>before</p>\n{html}<p>after</p>\n"
    for begin in ("> ", "- ", "1. "):
        nested = begin + text.strip().replace("\n", "\n" + (begin if begin == "> " else " " * len(begin)))
        assert html in RENDERER.html_of(nested), nested


@pytest.mark.parametrize("text", ["$$\n- a\n+ b\n$$", "\\[\nx\n\\]", "\\begin{align}\na &= b\n\\end{align}"])
def test_a_formula_that_is_not_indented_ends_the_list_before_it(text: str) -> None:
    item, formula = RENDERER.html_of("1. a"), RENDERER.html_of(text)
    assert RENDERER.html_of(f"1. a\n{text}\n2. b") == item + formula + RENDERER.html_of("2. b")
    assert RENDERER.html_of(f"- a\n  - b\n{text}") == RENDERER.html_of("- a\n  - b") + formula
    assert RENDERER.html_of(f"> a\n{text}") == RENDERER.html_of("> a") + formula


@pytest.mark.parametrize(
    "text",
    ["$$\nx\n\ny\n$$", "\\[\nx\n\ny\n\\]", "\\begin{align}\na\n\nb\n\\end{align}", "$$\nx", "    $$\n    x\n    $$"],
)
def test_a_blank_line_or_the_end_of_the_text_ends_an_open_formula(text: str) -> None:
    html = RENDERER.html_of(text)
    assert "math" not in html
    assert "x" in html or "a" in html


def test_a_formula_that_cannot_be_drawn_is_shown_as_it_was_written() -> None:
    assert line(r"a $\nosuch{x < y}$ b") == r'a <code class="math">$\nosuch{x &lt; y}$</code> b'
    html = RENDERER.html_of("\\[\n\\nosuch{*x*}\n  y\n\\]")
    assert html == '<div class="math"><code class="math">\\[\n\\nosuch{*x*}\n  y\n\\]</code></div>\n'
    assert line(r"as in \[1\] and \[note\]") == "as in [1] and [note]"


def test_formulas_are_not_in_code() -> None:
    assert RENDERER.html_of("`$x$` and\n\n```\n$$\nx\n$$\n```").count("math") == 0


@pytest.mark.parametrize("name", ["markdown", "md", "MDX"])
def test_a_code_block_of_markdown_holds_code_blocks(name: str) -> None:
    held = "# T\n\n```py\nx = 1\n```\n\nA `word`.\n\n~~~\n```sh\nls\n```\n"
    html = RENDERER.html_of(f"Before\n```{name}\n{held}```\n\nAfter **it**.")
    shown = re.fullmatch(
        r"<p>Before</p>\n<pre><code[^>]*>(.*)</code></pre>\n<p>After <strong>it</strong>.</p>\n", html, re.S
    )
    assert shown, html
    assert re.sub("<[^>]*>", "", shown[1]) == held


def test_another_code_block_ends_at_its_first_bare_fence() -> None:
    for text in ("```\n```py\nx\n```\n\nAfter.", "```md\nx\n```\n\nAfter.", "````md\n```py\nx\n````\n\nAfter."):
        assert RENDERER.html_of(text).endswith("</code></pre>\n<p>After.</p>\n")


def test_a_line_break_breaks_the_line() -> None:
    assert line("床前明月光\n疑是地上霜") == "床前明月光<br>\n疑是地上霜"


@pytest.mark.parametrize(
    "after",
    [
        "",
        "。",
        "，然后",
        "）",
        "、",
        "；",
        "：",
        "！",
        "？",
        "」",
        "』",
        "】",
        "》",
        "”",
        "’",
        ".",
        ",",
        ")",
        "!",
        "?",
        ";",
        ":",
        "*",
        " b",
        "\nb",
        "这个",
    ],
)
def test_a_bare_address_ends_before_what_is_not_its_own(after: str) -> None:
    for address in ("https://a.example/b_c?d=e&f", "http://localhost:11434", "www.a.example", "https://a.example/(b)"):
        link = ("http://" if address[0] == "w" else "") + address.replace("&", "&amp;")
        assert addresses(f"见{address}{after}") == [link]
        assert addresses(f"（{address}{after}") == [link]
    assert addresses(f"信a.b+c@d.example{after}") == ["mailto:a.b+c@d.example"]
    assert addresses(f"(https://a.example{after}") == ["https://a.example"]


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "file.py",
        "Node.js",
        "a://b",
        "https://",
        "https:// a",
        "www.",
        "www.a",
        "a@b",
        "@a",
        "`https://a.b`",
        "xhttps://a.b",
        "1.2.3.4",
        "https://user@a.example",
        "https://user:pass@a.example",
    ],
)
def test_what_is_no_address_stays_text(text: str) -> None:
    assert "<a" not in RENDERER.html_of(text)


def test_a_link_of_the_text_stays_one_link() -> None:
    assert addresses("[https://a.example www.b.example c@d.example](https://e.example)") == ["https://e.example"]
    assert addresses("「https://a.example」，c@d.example") == ["https://a.example", "mailto:c@d.example"]
    assert addresses("<https://a.example/中文>") == ["https://a.example/%E4%B8%AD%E6%96%87"]
    assert (
        line("**https://a.example/__b__/c**后")
        == '<strong><a href="https://a.example/__b__/c">https://a.example/__b__/c</a></strong>后'
    )


def test_breaks_and_raised_letters_are_honoured_alone() -> None:
    assert line("a<br>b<BR />c<br/>d") == "a<br>\nb<br>\nc<br>\nd"
    assert line("H<sub>2</sub>O, x<sup>*2*</sup>") == "H<sub>2</sub>O, x<sup><em>2</em></sup>"
    assert "<td>a<br>\nb<sub>1</sub></td>" in RENDERER.html_of("|h|\n|-|\n|a<br>b<sub>1</sub>|")
    for text in (
        "<sub>a",
        "a</sub>",
        "<sub>a</sup>",
        "<sub class=a>a</sub>",
        '<br onclick="a">',
        "<b>a</b>",
        "<sub></sub>",
    ):
        assert line(text) == text.replace("<", "&lt;").replace(">", "&gt;")


def test_a_footnote_is_named_where_its_definition_is_known() -> None:
    html = RENDERER.html_of("a[^1] b[^No] c[^x]\n\n[^1]: first\nmore\n[^no]: **second**\n\n    third\n\nend")
    assert html == (
        '<p>a<sup class="footnote" data-footnote="1">1</sup> '
        'b<sup class="footnote" data-footnote="no">No</sup> c[^x]</p>\n'
        '<div class="footnote" data-footnote="1">\n<p>first<br>\nmore</p>\n</div>\n'
        '<div class="footnote" data-footnote="no">\n<p><strong>second</strong></p>\n<p>third</p>\n</div>\n<p>end</p>\n'
    )
    alone, unknown = RENDERER.htmls_of(["a[^1]", "a[^2]"], "[^1]: b\n\ntext [^2]")
    assert alone == '<p>a<sup class="footnote" data-footnote="1">1</sup></p>\n'
    assert unknown == "<p>a[^2]</p>\n"
    assert RENDERER.html_of('[^"><x]: a').count("<x") == 0


def test_a_text_is_its_blocks_one_after_another_and_its_items_are_the_same_alone() -> None:
    lines = TORTURE.split("\n")
    tokens = RENDERER._find_blocks(TORTURE, {BUDGET: Budget(60), USED: Counter(), REFERENCES: {}, FOOTNOTES: {}}).tokens
    blocks, items = [], []
    for token in tokens:
        if token.level == 0 and token.map and token.nesting >= 0:
            blocks.append("\n".join(lines[slice(*token.map)]))
        if token.level == 1 and token.map and token.type == "list_item_open":
            items.append("\n".join(lines[slice(*token.map)]))
    whole = RENDERER.html_of(TORTURE)
    assert len(blocks) > 20
    assert "".join(RENDERER.htmls_of(blocks, TORTURE)) == whole
    assert len(items) > 7
    for item in RENDERER.htmls_of(items, TORTURE):
        found = re.search(r"<li.*</li>\n", item, re.DOTALL)
        assert found
        assert found[0] in whole
