"""Any text of 256 KiB is rendered in less than a second of CPU, with no long step between two looks at the budget.

Each named text is one that a rule of the parser was, or would be, slow at. The drawn ones are pieces of Markdown, at
three lengths: the longest step between two looks, which nothing can end, grows no faster than the text.
`TRIES=1000 pytest tests/unit/web/test_markdown_time.py` draws that many.
"""

from __future__ import annotations

import html
import random
import re
import time

import pytest

from clawgate.web.pages import markdown
from clawgate.web.pages.budget import Budget
from clawgate.web.pages.markdown import Renderer
from clawgate.web.pages.render import MAX_TEXT_BYTES
from tests.support.tries import PATIENT, TRIES

pytestmark = PATIENT
LONGEST_S = 1.0
LONGEST_STEP_S = 0.3
SHORT_S = 0.02
"""Shorter steps are not judged: other work on the machine shows in them."""
GROWTH = 3.0
"""The most that a step may grow where the text doubles; the square would be 4."""
RENDERER = Renderer()
HOSTILE = {
    "task lists": "- [ ] a\n",
    "link": "[" * 490 + "\n\n",
    "reference": "[a]: <b> 'c\n",
    "image": "![" * 90 + "a" + "](b)" * 90 + "\n\n",
    "emphasis": "*" * (MAX_TEXT_BYTES // 2 - 1) + "a" + "*" * (MAX_TEXT_BYTES // 2),
    "balance_pairs": "**a *b ",
    "table": "|a" * 100 + "|\n" + "|-" * 100 + "|\n" + "|\n" * 300 + "\n",
    "a row": "|" * 60_000 + "\n" + "|-" * 60_000 + "\n|\n",
    "blockquote": ">" * 97 + "\n",
    "colours": "```java\n" + "a.b " * 4000 + "\n```\n",
    "nh3": "```\n" + "&" * MAX_TEXT_BYTES,
    "lines": "\n",
    "formulas": "$x'_a\\frac1{b}$ ",
    "open formulas": "\\[\n$$\n",
    "brackets": "\\(a\\[b",
    "dollars": "$a ",
    "blocks of formulas": "$$\n\\begin{matrix}" + "a&" * 900 + "\\end{matrix}\n$$\n",
    "addresses": "http://a.b/c(d) www.a.b/c ",
    "e-mail": "a@b.",
    "dots": "a.",
    "schemes": "http://",
    "closing brackets": "https://a" + "/)" * 1000 + " ",
    "footnotes": "[^a]: [^b] ",
    "notes": "[^a]: b\n\n    [^b]: c\n\n",
    "elements": "<sub>a<sup>b</sub><br>",
    "chinese": "**甲：**乙",
    "references": "[a]: http://b/" + "c" * 100_000 + "\n\n" + "[a] " * 20_000,
}
MAX_GROWTH = 40
"""The most HTML of a text: a blockquote of one sign is 27 characters, and a tag around each letter of code as many."""
PIECES = (
    *("[", "]", "(", ")", "![", "](a)", "](<", "> ", ">", "- ", "* ", "1. ", "- [ ] ", "\n", "\n\n", "  \n", "\\\n"),
    *(
        "\\",
        "`",
        "``",
        "```",
        "~~~",
        "```js\n",
        "\n```\n",
        "a",
        "a b ",
        "*",
        "**",
        "_",
        "*_",
        "~~",
        "<",
        "<http://",
        "&",
    ),
    *("&amp;", "|", "|-", "|a", "\n|", "---", "===", "\n---\n", "# ", "    ", "\t", " ", "[a]: b\n", "[a]:", '"', "'"),
    *('[a](b "', "[a][", "春", "\0", "\r", "http://", "%20", "@", ":", "#\n", "\n    ", "\n> ", "\n- ", "x*", "*x"),
    *(
        "$",
        "$$",
        "\n$$\n",
        "\\(",
        "\\)",
        "\n\\[",
        "\\]\n",
        "\n\\begin{align}",
        "\\end{align}\n",
        "\\frac{",
        "}",
        "^",
        "_{",
    ),
    *("[^a]: ", "[^a]", "<br>", "<sub>", "</sub>", "www.", ".com", "a@b.cc", "https://a.b/", "：", "。", "”"),
)


class Watched(Budget):
    """A budget that remembers the longest time between two looks at it."""

    longest_s = 0.0
    _looked_at = 0.0

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        Watched.longest_s = 0.0
        Watched._looked_at = time.thread_time()

    def check(self, kept_s: float = 0.0) -> None:
        Watched.look()
        super().check(kept_s)

    @classmethod
    def look(cls) -> None:
        now = time.thread_time()
        cls.longest_s = max(cls.longest_s, now - cls._looked_at)
        cls._looked_at = now


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "Budget", Watched)


def filled(unit: str, size: int = MAX_TEXT_BYTES) -> str:
    """Repeat a unit up to a size in bytes."""
    return (unit * (size // len(unit.encode()) + 1)).encode()[:size].decode(errors="ignore")


LINKS = [("http://b/", "", "[a] "), ("http://b/ '", "'", "- [a]\n"), ("data:image/png;base64,", "", "![a]\n\n")]


@pytest.mark.parametrize(("before", "after", "use"), LINKS)
def test_a_definition_that_is_used_often_does_not_multiply_the_text(before: str, after: str, use: str) -> None:
    long, short = (f"[a]: {before}{'c' * length}{after}\n\n" + use * 1000 for length in (100_000, 100))
    began = time.thread_time()
    assert len(RENDERER.html_of(long)) < MAX_GROWTH * len(long)
    assert time.thread_time() - began < LONGEST_S
    assert RENDERER.html_of(short).count("c" * 100) == 1000


@pytest.mark.parametrize("unit", ["> ", "- ", "> - "])
def test_nothing_is_lost_however_deep_it_is_nested(unit: str) -> None:
    for depth in (20, 32, 33, 49, 50, 98, 99, 100, 200):
        rendered = RENDERER.html_of(f"w0\n\n{unit * depth}w1\n\nw2\n\n{unit}w3\n")
        assert words_of(rendered) == ["w0", "w1", "w2", "w3"]
        assert rendered.startswith("<p>w0</p>")


def cost_of(text: str) -> tuple[float, float]:
    """Return the CPU that a text takes, and its longest step."""
    began = time.thread_time()
    RENDERER.html_of(text)
    Watched.look()
    return time.thread_time() - began, Watched.longest_s


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_a_second(name: str) -> None:
    took_s, step_s = cost_of(filled(HOSTILE[name]))
    assert took_s < LONGEST_S
    assert step_s < LONGEST_STEP_S


@pytest.mark.parametrize("seed", range(max(2, TRIES)))
def test_no_step_grows_faster_than_its_text(seed: int) -> None:
    draw = random.Random(seed)
    units = ["".join(draw.choices(PIECES, k=draw.choice((1, 1, 2, 3, 5)))) for _ in range(draw.choice((1, 1, 2, 3)))]
    sizes = [MAX_TEXT_BYTES >> 2, MAX_TEXT_BYTES >> 1, MAX_TEXT_BYTES]
    costs = [cost_of("".join(filled(unit, size // len(units)) for unit in units)) for size in sizes]
    assert max(took_s for took_s, _ in costs) < LONGEST_S, units
    steps = [max(SHORT_S, step_s) for _, step_s in costs]
    assert steps[-1] < LONGEST_STEP_S, units
    assert steps[2] / steps[1] < GROWTH or steps[1] / steps[0] < GROWTH, (units, steps)


def words_of(rendered: str) -> list[str]:
    return re.findall(r"w\d+", html.unescape(re.sub(r"<[^>]*>", "", rendered)))


@pytest.mark.parametrize("between", ["\n\n", "\n", "\n- ", "\n> ", "\n\n[a]: b\n\n", "\n```\n"])
def test_nothing_is_lost_or_moved_when_the_time_is_up(between: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = between.join(f"*w{index}* b" for index in range(2000)) + "\n"
    whole = words_of(RENDERER.html_of(text))
    assert whole == [f"w{index}" for index in range(2000)]
    for seconds in (0.0, 0.31, 0.33, 0.36):
        monkeypatch.setattr(markdown, "CPU_S", seconds)
        assert words_of(RENDERER.html_of(text)) == whole


def test_what_is_finished_in_time_is_rendered_and_the_rest_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = RENDERER.html_of("**a**\n\n" + filled("[", MAX_TEXT_BYTES - 20) + "\n\n**b**")
    assert rendered.startswith("<p><strong>a</strong></p>\n<pre><code>[[[")
    assert rendered.endswith("[[[\n\n**b**</code></pre>\n")
    monkeypatch.setattr(markdown, "CPU_S", 0.0)
    assert RENDERER.html_of("a\r\n\0\n<b>") == "<pre><code>a\n\ufffd\n&lt;b&gt;</code></pre>\n"


def test_a_block_that_is_too_much_stays_text_and_the_next_is_rendered() -> None:
    for block in ("*a " * 20_000, "&" * 50_001):
        rendered = RENDERER.html_of(f"{block}\n\n**b**")
        assert rendered == f"<pre><code>{html.escape(block)}</code></pre>\n<p><strong>b</strong></p>\n"
    wide = "|a" * 201 + "|\n" + "|-" * 201 + "|\n"
    assert "<table" not in RENDERER.html_of(wide)
    assert RENDERER.html_of("*" * 100 + "a") == "<p>" + "*" * 100 + "a</p>\n"


def test_colours_leave_time_for_what_follows() -> None:
    rendered = RENDERER.html_of("```java\nint a;\n```\n" + filled(HOSTILE["colours"], 200_000) + "\n```\n\n**b**")
    assert rendered.startswith('<pre><code class="language-java"><span')
    assert rendered.endswith("<p><strong>b</strong></p>\n")
