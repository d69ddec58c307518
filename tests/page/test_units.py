"""The page's cut of a text agrees with the gateway's own blocks: the units' renderings, joined, are the text's."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.web.pages.markdown import Renderer
from tests.support.tools import ROOT, require

HERE = Path(__file__).parent
LIST = re.compile(r"\A<(ul|ol)[^>]*>\n(.*)</\1>\n\Z", re.DOTALL)
FRAGMENTS = (
    *(
        "- ",
        "* ",
        "+ ",
        "1. ",
        "2) ",
        "3. ",
        "> ",
        "# ",
        "#",
        "```",
        "```md",
        "```py",
        "````",
        "~~~",
        "    ",
        "  ",
        " ",
        "\t",
        "***",
        "---",
        "===",
    ),
    *("a", "b c", "text", "**x**", "`c`", "- [ ] t", "|", "| a | b |", "|--|--|", "a|b", "-|-"),
    *("[a]: /u", "[a]", '"t"', "[^1]: n", "[^1]", "$$", "\\[", "\\]", "\\begin{align}", "\\end{align}", "$$ x $$"),
)
Cut = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def cut() -> Iterator[Cut]:
    node = require("node", "the page's pure JavaScript is tested under it")
    with subprocess.Popen(
        [node, str(HERE / "units.mjs")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        given, taken = process.stdin, process.stdout
        assert given is not None
        assert taken is not None

        def ask(text: str) -> list[dict[str, Any]]:
            given.write(json.dumps(text) + "\n")
            given.flush()
            return list(json.loads(taken.readline()))

        yield ask
        given.close()


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


def joined(units: list[dict[str, Any]], renderer: Renderer) -> str:
    """Render units apart, and join them as the page does: an item goes into the list before it."""
    definitions = "\n\n".join(each for unit in units for each in unit["defined"])
    htmls = renderer.htmls_of([unit["text"] for unit in units], definitions)
    pieces: list[str] = []
    for unit, html in zip(units, htmls, strict=True):
        found = LIST.match(html) if unit["item"] > 0 else None
        if found and pieces and pieces[-1].endswith(end := f"</{found[1]}>\n"):
            pieces.append(pieces.pop().removesuffix(end) + found[2] + end)
        else:
            pieces.append(html)
    return "".join(pieces)


@settings(max_examples=400, deadline=None)
@given(
    lines=st.lists(st.lists(st.sampled_from(FRAGMENTS), max_size=3).map("".join), min_size=1, max_size=9),
    end=st.sampled_from(["", "\n", "\r\n"]),
)
def test_units_rendered_apart_are_the_text_rendered_whole(
    cut: Cut, renderer: Renderer, lines: list[str], end: str
) -> None:
    text = (end or "\n").join(lines) + end
    assert joined(cut(text), renderer) == renderer.html_of(text)


def test_the_torture_text_rendered_by_its_units_is_the_text_rendered_whole(cut: Cut, renderer: Renderer) -> None:
    text = (ROOT / "tests" / "support" / "torture.md").read_text(encoding="utf-8")
    units = cut(text)
    assert len(units) > 30
    assert joined(units, renderer) == renderer.html_of(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("- a | b\n--|--\n", id="an item is no head of a table"),
        pytest.param("```md\n# T\n```py\nx\n```\n# U\n```\n\nb\n", id="a document holds a block"),
        pytest.param("- ```md\n  ```py\n  x\n  ```\n  ```\n- b\n", id="a document in an item holds a block"),
        pytest.param("```md\n" + "```py\n" * 30 + "```\n" * 25 + "b\n", id="a document holds too many blocks"),
        pytest.param("~~~md\n~~~ a `b\nx\n~~~\n~~~\nb\n", id="a document between tildes holds a block"),
        pytest.param("# a | b\n--|--\n", id="a heading is no head of a table"),
        pytest.param("- a\n  a | b\n  --|--\n  1 | 2\n- b\n", id="a table in an item"),
        pytest.param("p\na | b\n--|--\n1 | 2\n- x\n", id="a table ends a paragraph"),
        pytest.param("1. a\n$$\nx\n$$\n2. b\n", id="a formula that is not indented"),
        pytest.param("1. a\n\n   $$\n   x\n\n   y\n2. b\n", id="a formula that is none in an item"),
        pytest.param("a\n$$\nb\n- c\n", id="a formula that never ends"),
        pytest.param("[a]: /u\n    code\n\n    more\n", id="code after a definition"),
        pytest.param('> [a]: /u\n"t" x\n2. y\n', id="a paragraph after a definition in a quote"),
        pytest.param("[^1]: a\n\n    b\n\n[a][^1] [^1]\n", id="a footnote of two paragraphs"),
        pytest.param("- \n\n\n- a\n", id="an empty item, and blank lines"),
        pytest.param("10. a\n\n    ```\n    b\n\nc\n", id="code in an item that ends it"),
        pytest.param("- a\n\n\tb\n\n\t\tc\n- d\n", id="tabs"),
        pytest.param("> ```\na\n", id="code in a quote that ends it"),
        pytest.param("- a\n - b\n  - c\n   - d\n    - e\n", id="items that are indented little by little"),
    ],
)
def test_units_agree_with_the_gateway_where_blocks_are_hard_to_tell(cut: Cut, renderer: Renderer, text: str) -> None:
    assert joined(cut(text), renderer) == renderer.html_of(text)
