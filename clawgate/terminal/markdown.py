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

from clawgate.terminal.blocks import MAX_NESTING, Part
from clawgate.terminal.clean import clean
from clawgate.terminal.wrapping import breaks

Line = list[Segment]
CODE_THEME = "ansi_dark"
"""The terminal's own colours: legible on any background."""
MAX_HIGHLIGHTED = 1 << 16
FENCE = "```"
COLUMNS_OF = {
    **dict.fromkeys(("blockquote_open", "blockquote_close"), 4),
    **dict.fromkeys(("list_item_open", "list_item_close"), 6),
}
"""The columns that a quote or an item of a list takes from what is in it."""
LEAST_COLUMNS = 5
"""The columns of text that has room; a table's cell has as many, with what parts it from the next."""


class Rendering:
    """Renders parts for a console; parser is that of blocks.py."""

    def __init__(self, console: Console, parser: MarkdownIt) -> None:
        self._console = console
        self._parser = parser

    def lines(self, part: Part) -> list[Line]:
        """Return the lines of a part, without blank ones around them; those of code may be wider than the terminal."""
        if part.kind == "code":
            return list(self._code(part))
        renderable: Text | _Answer = Wide(clean(part.text).rstrip("\n"))
        if part.kind == "markdown":
            tokens = self._parser.parse(part.text)
            if _has_room(tokens, self._console.width):
                renderable = _Answer(part.text, tokens)
        lines = self._console.render_lines(renderable, pad=False)
        return _without_blank_ends([_cleaned(line) for line in lines])

    def _code(self, part: Part) -> Iterator[Line]:
        if not part.is_joined:
            yield [self._dim(FENCE + part.info)]
        for line in _highlighted(clean(part.text), part.info, part.first_line):
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
            for part in line.divide(breaks(line.plain, width, columns_of)):
                part.rstrip()
                lines.extend(part.wrap(console, width, **options))
        return lines


def columns_of(text: str) -> int:
    """Return the columns that a text takes at most.

    One terminal shows an emoji of several characters as one, and another each by itself. A line that is wider than was
    thought is folded, and what is drawn over it misses its first row.
    """
    return cell_len(text) if len(text) < 2 or text.isascii() else max(cell_len(text), sum(map(cell_len, text)))


def language_of(info: str) -> str:
    """Return the language that a fence names."""
    return info.split(maxsplit=1)[0] if info.strip() else "text"


def _highlighted(code: str, info: str, first_line: int = 0) -> list[Text]:
    """Return the lines of code from one on, coloured where its language is known; each has its end in `code`."""
    plain = code.split("\n")[:-1]
    if len(code) > MAX_HIGHLIGHTED:
        return [Text(line) for line in plain[first_line:]]
    text = Syntax("", language_of(info), theme=CODE_THEME, background_color="default").highlight(code)
    return list(text.split("\n", allow_blank=True))[first_line : len(plain)]


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

    @classmethod
    def create(cls, markdown: Markdown, token: Token) -> _Code:  # noqa: ARG003
        return cls(token.info.strip(), token.markup)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        info, fence = self.lexer_name, self.theme  # as `create` has it
        lines = _highlighted(str(self.text).rstrip("\n") + "\n", info)
        if fence:
            lines = [Text(fence + info, "dim"), *lines, Text(fence, "dim")]
        yield Text("\n").join(lines)


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

    def __init__(self, markup: str, tokens: list[Token]) -> None:
        super().__init__("", hyperlinks=False)
        self.markup = markup
        self.parsed = tokens
        for token in self.parsed:
            if token.children:
                token.children = [_as_text(each) for each in token.children]


def _has_room(tokens: list[Token], width: int) -> bool:
    """Tell whether a text fits beside the marks of all the quotes and lists that it is in; rich would leave it out."""
    room, columns = width, 0
    for token in tokens:
        room -= COLUMNS_OF.get(token.type, 0) * token.nesting
        columns = 0 if token.type == "tr_open" else columns + (token.type in ("th_open", "td_open"))
        if room < (columns or 1) * LEAST_COLUMNS or token.level >= MAX_NESTING - 1:
            return False
    return True


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
