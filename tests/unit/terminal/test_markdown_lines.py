"""Markdown as lines: none of a text is left out, whatever it is nested in and however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.tools import require

Render = Callable[[str, int], list[str]]


def rendered(text: str, width: int) -> list[str]:
    """Return the lines of a whole text."""
    from rich.console import Console

    from clawgate.terminal.blocks import Blocks, make_parser
    from clawgate.terminal.markdown import Rendering

    parser = make_parser()
    rendering = Rendering(Console(width=width, force_terminal=True, color_system=None), parser)
    blocks = Blocks(parser)
    parts = blocks.feed(text) + blocks.end()
    return ["".join(segment.text for segment in line) for part in parts for line in rendering.lines(part)]


@pytest.fixture(autouse=True)
def rich() -> None:
    """The renderer."""
    require("rich", "the test renders with it")


@pytest.mark.parametrize("width", [400, 80, 20, 5, 1])
@pytest.mark.parametrize("mark", ["> ", "- ", "1. ", "> - "])
@pytest.mark.parametrize("depth", [1, 10, 60, 150])
def test_no_nesting_is_too_deep(mark: str, depth: int, width: int) -> None:
    assert "".join(rendered(mark * depth + "qqqqq", width)).replace(" ", "").count("q") == 5


@pytest.mark.parametrize("columns", [1, 8, 20, 400])
def test_no_table_has_too_many_columns(columns: int) -> None:
    table = "\n".join(["|".join(["q"] * columns), "|".join(["-"] * columns), "|".join(["q"] * columns)])
    assert "".join(rendered(table + "|", 40)).count("q") == 2 * columns


PIECES = st.sampled_from(
    [
        *("q", "q q", "**q**", "*q", "`q`", "[q](q)", "![q](q)", "[q]", "<q>", "&q;", "~~q~~", "| q | q |", "|-|-|"),
        *(
            "> q",
            "- q",
            "1. q",
            "9. q",
            "# q",
            "\n",
            "\n\n",
            "\n    q",
            "\n   q",
            "---",
            "```",
            "```\nq\n",
            "q\nq",
            "  \n",
        ),
        *("<div>q</div>", "[q]: q", "$q$", "q" * 50, "春q光", "https://q.q/q"),
    ]
)


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=14), st.sampled_from([9, 30, 80]))
def test_nothing_is_left_out(pieces: list[str], width: int) -> None:
    text = "".join(pieces)
    found = "".join(rendered(text, width)).count("q")
    assert found >= text.count("q")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("[text](https://a.example)", ["text (https://a.example)"]),
        ("![alt](https://a.example/b.png)", ["alt (https://a.example/b.png)"]),
        ("one\ntwo", ["one", "two"]),
        ("9. nine\n10. ten", [" 9 nine", " 10 ten"]),
        ("[1]: https://a.example", ["[1]: https://a.example"]),
        ("<details>x</details>", ["<details>x</details>"]),
        ("> - q", ["▌  • q"]),
    ],
)
def test_what_differs_from_rich(text: str, lines: list[str]) -> None:
    assert rendered(text, 40) == lines
