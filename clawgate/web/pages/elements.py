"""The HTML that models write in Markdown: `<br>`, `<sub>x</sub>` and `<sup>x</sup>`, without attributes.

They are read as Markdown of our own, so HTML stays off. A tag that has no partner in its paragraph stays text.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline

BREAK = re.compile(r"<br[ \t]*/?>", re.IGNORECASE)
RAISED = re.compile(r"<(su[bp])>([^<\n]{1,200})</\1>", re.IGNORECASE)


def add_elements(markdown: MarkdownIt) -> None:
    """Add the rule to a parser."""
    markdown.inline.ruler.before("autolink", "elements", _element)


def _element(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] != "<":
        return False
    if found := BREAK.match(state.src, state.pos, state.posMax):
        if not silent:
            state.push("hardbreak", "br", 0)
        state.pos = found.end()
        return True
    found = RAISED.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        tag, end = found[1].lower(), state.posMax
        state.push("raised_open", tag, 1)
        state.pos, state.posMax = found.span(2)
        state.md.inline.tokenize(state)
        state.posMax = end
        state.push("raised_close", tag, -1)
    state.pos = found.end()
    return True
