"""Answers drawn on a terminal: what has scrolled away is never drawn again, and the end is the same at every cut."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable

import pytest

from clawgate.client.events import Ended, Reset, Text
from clawgate.terminal.display import Display
from clawgate.terminal.hearing import Hearing
from tests.support import screen
from tests.support.tools import require
from tests.unit.terminal.test_blocks import TEXT

ROWS, COLUMNS = 8, 40
CHINESE = "Python 是一种广泛使用的解释型、高级和通用的编程语言。它的设计哲学强调代码的可读性（尤其是缩进）。"


class Tty(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        """It is one."""
        return True


class Seen:
    """A display, and the screen that it draws on."""

    def __init__(self, *, shows_thinking: bool = False) -> None:
        from clawgate.terminal.screen import Screen

        self._out = Tty()
        self.display: Display = Screen(self._out, shows_thinking=shows_thinking)
        self.screen = screen.Screen(ROWS, COLUMNS)
        self.raw = ""

    def flush(self) -> None:
        """Draw; what had scrolled away before stays."""
        self.display.flush()
        self._look()

    def end(self) -> None:
        """End the answer."""
        self.display.end()
        self._look()

    def _look(self) -> None:
        before = list(self.screen.scrolled)
        written = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        self.raw += written
        self.screen.feed(written.replace("\n", "\r\n").encode())
        assert self.screen.scrolled[: len(before)] == before
        assert self.screen.foreign == []


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small terminal that can do all that is needed, and draws at once however busy the machine is."""
    require("rich", "the test draws with it")
    monkeypatch.setattr("clawgate.terminal.screen.SLOW_S", math.inf)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def drawn(pieces: Iterable[str]) -> Seen:
    """Draw an answer piece by piece."""
    seen = Seen()
    for piece in pieces:
        seen.display.text(piece)
        seen.flush()
    seen.end()
    return seen


def test_an_answer_looks_the_same_at_every_cut() -> None:
    whole = drawn([TEXT]).screen.all
    for size in (4, 17):
        assert drawn(TEXT[at : at + size] for at in range(0, len(TEXT), size)).screen.all == whole, size


def test_markdown_is_rendered() -> None:
    seen = drawn(
        ["# Title\n\nSome **bold** `code` and [a link](https://a.example).\n\n1. one\n2. two\n\n```py\nx = 1\n```\n"]
    )
    assert seen.screen.all.splitlines() == [
        *("Title", "", "Some bold code and a link", "(https://a.example).", "", " 1 one", " 2 two", ""),
        *("```py", "x = 1", "```"),
    ]
    assert "\x1b[1mbold" in seen.raw


def test_emphasis_beside_chinese_needs_no_spaces() -> None:
    seen = drawn(["**标题：**内容"])
    assert seen.screen.shown == ["标题：内容"]
    assert "\x1b[1m标题：" in seen.raw


def test_an_open_end_is_drawn_and_drawn_over() -> None:
    seen = Seen()
    seen.display.text("One **bo")
    seen.display.status("Waiting… 3 s")
    seen.flush()
    assert seen.screen.shown == ["One **bo", "Waiting… 3 s"]
    seen.display.text("ld** wo")
    seen.display.status("")
    seen.flush()
    assert seen.screen.shown == ["One bold wo"]
    seen.end()
    assert seen.screen.shown == ["One bold wo"]
    assert seen.screen.modes == set(), "the cursor is never hidden"


def test_an_open_end_is_never_higher_than_the_screen() -> None:
    seen = Seen()
    for number in range(30):
        seen.display.text(f"line {number}\n")
        seen.display.status("Waiting… 1 s")
        seen.flush()
        assert seen.screen.scrolled == []
    assert seen.screen.shown[-2:] == ["line 29", "Waiting… 1 s"]
    seen.end()
    assert seen.screen.all.split() == [word for number in range(30) for word in ("line", str(number))]


def test_code_is_shown_by_the_line_and_long_lines_are_whole() -> None:
    seen = Seen()
    seen.display.text("```\n" + "x" * 50 + "\ny")
    seen.flush()
    assert seen.screen.shown == ["```", "x" * 40, "x" * 10, "y"]
    seen.display.text("\n```\n")
    seen.end()
    assert seen.screen.shown == ["```", "x" * 40, "x" * 10, "y", "```"]


def test_code_that_is_slow_to_colour_is_drawn_in_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    from clawgate.terminal import markdown

    monkeypatch.setattr("clawgate.terminal.screen.SLOW_S", 0.0)
    monkeypatch.setattr("clawgate.terminal.screen.REST", 1e6)
    coloured: list[int] = []
    highlighted = markdown._highlighted

    def counted(code: str, info: str, first_line: int) -> object:
        coloured.append(code.count("\n"))
        return highlighted(code, info, first_line)

    monkeypatch.setattr(markdown, "_highlighted", counted)
    seen = drawn(["```python\n", "\n", *(f"x{number} = {number}\n" for number in range(50)), "```\n", "over\n"])
    assert seen.screen.all == "\n".join(
        ["```python", "", *(f"x{number} = {number}" for number in range(50)), "```", "", "over"]
    )
    assert len(coloured) < 4


def test_lines_of_chinese_are_full() -> None:
    for text in (CHINESE, f"- {CHINESE}", f"> {CHINESE}", f"# {CHINESE}"):
        seen = drawn([text])
        lines = seen.screen.shown
        assert lines[0].lstrip(" •▌").startswith("Python 是一种"), lines
        assert all(sum(map(screen.width_of, line)) > 30 for line in lines[:-1]), lines
        assert "".join("".join(line.strip(" •▌") for line in lines).split()) == CHINESE.replace(" ", "")
    assert drawn(["一\n二"]).screen.shown == ["一", "二"], "a line break breaks the line"


def test_an_emoji_of_several_characters_is_drawn_once_where_each_is_shown_alone() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    seen = drawn(["start ", *[f"{family} "] * 20, "\n\nend"])
    assert seen.screen.all.count("start") == 1
    assert seen.screen.all.count(family) == 20


def test_thinking_is_short_and_leaves_one_line() -> None:
    seen = Seen()
    seen.display.thinking("".join(f"thought {number}\n" for number in range(20)))
    seen.display.status("Thinking… 2 s")
    seen.flush()
    assert seen.screen.shown == ["thought 17", "thought 18", "thought 19", "Thinking… 2 s"]
    seen.display.restarted()
    seen.display.thinking("anew")
    seen.flush()
    assert seen.screen.shown == ["anew", "Thinking… 2 s"]
    seen.display.thought(2)
    seen.display.status("")
    seen.display.text("Answer.")
    seen.end()
    assert seen.screen.shown == ["Thought for 2 s", "", "Answer."]


def test_thinking_that_is_wanted_stays() -> None:
    seen = Seen(shows_thinking=True)
    for piece in ("one\ntw", "o\nthree"):
        seen.display.thinking(piece)
        seen.flush()
    seen.display.thought(2)
    seen.display.text("Answer.")
    seen.end()
    assert seen.screen.shown == ["one", "two", "three", "Thought for 2 s", "", "Answer."]


HOSTILE = """a\x1b]52;c;aGk=\x07 &#27;[2J&#x1b;]0;t&#7; [x](a&#27;b) `\x9b2J`

```\x1b[2J
\x1b]0;title\x07
```
<b>\x1b[8m</b>"""


def test_no_escape_sequence_of_an_answer_is_one() -> None:
    plain, hostile = drawn(["a b"]), drawn([HOSTILE])
    assert hostile.screen.titles == plain.screen.titles == []
    hostile.display.thinking(HOSTILE)
    hostile.display.status(HOSTILE)
    hostile.display.note(HOSTILE)
    hostile.flush()
    hostile.end()
    assert hostile.screen.titles == []
    assert "52;c;aGk=" in hostile.screen.all
    assert not [each for each in hostile.raw if each in "\x07\x9b\x9d\x90"]


def test_a_note_is_one_line_that_the_terminal_folds() -> None:
    seen = Seen()
    seen.display.note("To go on: " + "x" * 60)
    seen.flush()
    assert "".join(seen.screen.shown) == "To go on: " + "x" * 60
    assert len(seen.screen.shown) == 2


def test_an_answer_that_is_shown_anew_is_parted_from_what_was_shown() -> None:
    seen = Seen()
    hearing = Hearing(seen.display)
    for event in (Text("one two three"), Reset("one two"), Ended("interrupted")):
        hearing.hear(event)
        seen.flush()
    hearing.show_end()
    seen.end()
    assert seen.screen.shown == ["one two three", "The answer so far, anew:", "one two", "interrupted"]
