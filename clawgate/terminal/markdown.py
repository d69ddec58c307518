"""Parts of a Markdown text as lines for a terminal, by rich.

It differs from rich's own Markdown where that loses text or reads badly: an address stands behind its link, a line
break breaks the line, lines of Chinese end where they may, a heading stands at the left, and code has no background and
no frame, so that it can be copied as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.containers import Lines
from rich.markdown import CodeBlock, Heading, ListElement, Markdown, MarkdownContext, Paragraph, TableDataElement
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text

from clawgate.terminal.blocks import Part
from clawgate.terminal.clean import clean
from clawgate.terminal.wrapping import breaks

Line = list[Segment]
CODE_THEME = "ansi_dark"
"""The terminal's own colours: legible on any background."""
MAX_HIGHLIGHTED = 1 << 16
FENCE = "```"


class Rendering:
    """Renders parts for a console; parser is that of blocks.py."""

    def __init__(self, console: Console, parser: MarkdownIt) -> None:
        self._console = console
        self._parser = parser

    def lines(self, part: Part) -> list[Line]:
        """Return the lines of a part, without blank ones around them; those of code may be wider than the terminal."""
        if part.kind == "code":
            return list(self._code(part))
        renderable = Wide(clean(part.text)) if part.kind == "plain" else _Answer(part.text, self._parser)
        lines = self._console.render_lines(renderable, pad=False)
        return _without_blank_ends([_cleaned(line) for line in lines])

    def _code(self, part: Part) -> Iterator[Line]:
        if part.first_line == 0:
            yield [self._dim(FENCE + part.language)]
        code = clean(part.text)
        for line in _highlighted(code, part.language)[part.first_line :]:
            yield list(line.render(self._console))
        if part.is_closed:
            yield [self._dim(FENCE)]

    def _dim(self, text: str) -> Segment:
        return Segment(clean(text), self._console.get_style("dim"))


class Wide(Text):
    """A text whose lines end where its script allows it."""

    def wrap(self, console: Console, width: int, **options: Any) -> Lines:
        """Cut the text into lines."""
        lines = Lines()
        for line in self.split(allow_blank=True):
            line.expand_tabs(4)
            for part in line.divide(breaks(line.plain, width, cell_len)):
                part.rstrip()
                lines.extend(part.wrap(console, width, **options))
        return lines


def _highlighted(code: str, language: str) -> list[Text]:
    """Return the lines of code, coloured where its language is known."""
    plain = code.split("\n") if code else []
    if len(code) > MAX_HIGHLIGHTED:
        return [Text(line) for line in plain]
    text = Syntax("", language or "text", theme=CODE_THEME, background_color="default").highlight(code)
    return list(text.split("\n", allow_blank=True))[: len(plain)]


class _Paragraph(Paragraph):
    def on_enter(self, context: MarkdownContext) -> None:
        super().on_enter(context)
        self.text = Wide(justify="left")


class _Heading(Heading):
    def on_enter(self, context: MarkdownContext) -> None:
        super().on_enter(context)
        self.text = Wide()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _Cell(TableDataElement):
    def __init__(self, justify: Any) -> None:
        super().__init__(justify)
        self.content = Wide("", justify=justify)


class _Code(CodeBlock):
    """Code within a list or a quote; that of the top level is Part's."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n").join(_highlighted(str(self.text).rstrip("\n"), self.lexer_name))


class _List(ListElement):
    """A list whose numbers take the same room whether the next item is there or not."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, item in enumerate(self.items, self.list_start or 0):
            if self.list_type == "bullet_list_open":
                yield from item.render_bullet(console, options)
            else:
                yield from item.render_number(console, options, number, number)


class _Answer(Markdown):
    elements: ClassVar = {
        **Markdown.elements,
        "paragraph_open": _Paragraph,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "td_open": _Cell,
        "th_open": _Cell,
        "bullet_list_open": _List,
        "ordered_list_open": _List,
    }

    def __init__(self, markup: str, parser: MarkdownIt) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = markup
        self.parsed = parser.parse(markup)
        for token in self.parsed:
            if token.children:
                token.children = [_as_text(each) for each in token.children]


def _as_text(token: Token) -> Token:
    if token.type == "softbreak":
        return Token("hardbreak", "br", 0)
    if token.type == "image":
        return Token("text", "", 0, content=f"{token.content} ({token.attrs.get('src', '')})")
    return token


def _cleaned(line: Line) -> Line:
    """Clean once more, since Markdown makes characters of entities; drop the blanks that fill the line."""
    kept = [each._replace(text=clean(each.text).replace("\n", " ")) for each in line if not each.control]
    while kept and not kept[-1].text.strip():
        kept.pop()
    if kept:
        kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
    return kept


def _without_blank_ends(lines: list[Line]) -> list[Line]:
    blank = [not "".join(segment.text for segment in line).strip() for line in lines]
    first = next((index for index, is_blank in enumerate(blank) if not is_blank), len(lines))
    last = next((index for index in range(len(lines), first, -1) if not blank[index - 1]), first)
    return lines[first:last]
