"""Coloured code: Pygments' tokens as spans with class names, for the languages that are safe to colour.

Pygments' expressions are not made for hostile text. The list of languages, the length of a block and the text's budget,
looked at between two tokens, bound them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from pygments import format, lex
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_all_lexers, get_lexer_by_name

from clawgate.web.pages.budget import Budget, OutOfTime

T = TypeVar("T")

MAX_HIGHLIGHTED = 16 << 10
"""The characters of a code block; a longer one stays plain."""
HIGHLIGHTED = {
    *("bash", "c", "clojure", "cpp", "csharp", "css", "dart", "diff", "docker", "elixir", "erlang", "fsharp", "go"),
    *("graphql", "groovy", "haskell", "html", "http", "java", "javascript", "json", "julia", "kotlin", "lua", "make"),
    *("markdown", "nginx", "objective-c", "output", "perl", "php", "postgresql", "powershell", "protobuf", "pycon"),
    *("python", "ruby", "rust", "sql", "swift", "terraform", "tex", "text", "toml", "typescript", "xml", "yaml"),
}
"""The coloured languages, by Pygments' first name for each. Others are unsafe: 60,000 tabs as `easytrieve` are one
match of an expression that holds the interpreter for minutes. A test tries these with text that they dislike."""
NAMES = {name for _, names, _, _ in get_all_lexers(plugins=False) if {*names[:1]} & HIGHLIGHTED for name in names}
"""All their names. Pygments looks for an unknown one among its plugins, which reads the disk each time."""
FORMATTER = HtmlFormatter(nowrap=True)
"""One for all: to make it takes as long as to colour ten lines. It learns the classes of tokens, a fixed set."""
KEPT_S = 0.15
"""The CPU of the text's budget that colours leave to the rest: a later code block stays plain."""


def highlighted(code: str, language: str, budget: Budget) -> str | None:
    """Colour a code block as HTML, or None where it stays plain."""
    if language.lower() not in NAMES or len(code) > MAX_HIGHLIGHTED:
        return None
    try:
        budget.check(KEPT_S)
        tokens = lex(code, get_lexer_by_name(language, stripnl=False))
        return format(_in_time(tokens, budget), FORMATTER)
    except OutOfTime:
        return None


def _in_time(tokens: Iterable[T], budget: Budget) -> Iterator[T]:
    for token in tokens:
        budget.check(KEPT_S)
        yield token
