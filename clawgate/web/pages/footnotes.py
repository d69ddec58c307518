"""Footnotes: `[^x]` where `[^x]: …` is known, and the definition itself, each shown where it stands.

The page renders an answer's blocks apart, so nothing is numbered and nothing has an id here: both carry their label as
`data-footnote`, by which the page links them. A definition goes on in the lines below it up to a blank line, and in
blocks that are indented by four spaces. A label that no definition has stays text.
Source: GitHub's footnotes.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

FOOTNOTES = "footnotes"
"""The key in markdown-it's env of the known labels, in lower case."""
INDENT = 4
DEFINITION = re.compile(r"\[\^([^\s\[\]^]{1,80})\]:[ \t]*")
REFERENCE = re.compile(r"\[\^([^\s\[\]^]{1,80})\]")


def add_footnotes(markdown: MarkdownIt) -> None:
    """Add the rules to a parser. Its env must have the known labels, an empty mapping at first."""
    markdown.block.ruler.before("reference", "footnote", _definition, {"alt": ["paragraph", "reference"]})
    markdown.inline.ruler.before("link", "footnote", _reference)


def _definition(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    begin = state.bMarks[start] + state.tShift[start]
    if not state.src.startswith("[^", begin) or state.is_code_block(start):
        return False
    found = DEFINITION.match(state.src, begin, state.eMarks[start])
    if not found or silent:
        return found is not None
    label = found[1].lower()
    state.env[FOOTNOTES].setdefault(label, True)
    token = state.push("footnote_open", "div", 1)
    token.attrs = {"class": "footnote", "data-footnote": label}
    token.map = lines = [start, 0]
    kept = state.bMarks[start], state.tShift[start], state.sCount[start], state.parentType
    state.bMarks[start], state.tShift[start] = found.end(), 0
    state.blkIndent += INDENT
    state.sCount[start] = state.blkIndent
    state.md.block.tokenize(state, start, end)
    state.blkIndent -= INDENT
    state.bMarks[start], state.tShift[start], state.sCount[start], state.parentType = kept
    lines[1] = state.line
    state.push("footnote_close", "div", -1)
    return True


def _reference(state: StateInline, silent: bool) -> bool:
    if not state.src.startswith("[^", state.pos):
        return False
    found = REFERENCE.match(state.src, state.pos, state.posMax)
    if not found or found[1].lower() not in state.env[FOOTNOTES]:
        return False
    if not silent:
        token = state.push("footnote_reference", "sup", 0)
        token.content = found[1]
    state.pos = found.end()
    return True
