r"""Formulas in Markdown: `$…$` and `\(…\)` in a line, `$$…$$`, `\[…\]` and `\begin{align}…\end{align}` as blocks.

A block begins on a line of its own, may interrupt a paragraph, and ends with its closing sign at the end of a line. A
blank line ends the attempt, and the text stays as it is: so no formula reaches over a place where blocks may be cut.
The page's words keep their dollars: prices (`$5 and $6`) and a shell's names (`$HOME`) are text. `mathml.py` converts.
Source: Pandoc's rule for dollars, stricter at the closing one.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

MAX_FORMULA = 4000
"""The characters of a formula; a longer one stays text."""
ENVIRONMENTS = (
    "align|aligned|alignat|alignedat|array|cases|dcases|eqnarray|equation|flalign|gather|gathered|matrix|bmatrix|"
    "Bmatrix|pmatrix|vmatrix|Vmatrix|smallmatrix|multline|split"
)
OPENING = re.compile(rf"\$\$|\\\[|\\begin\{{((?:{ENVIRONMENTS})\*?)\}}")
SINGLE = re.compile(rf"\$(?![\s$])((?:[^$\\`\n]|\\[^\n`]){{1,{MAX_FORMULA}}})(?<!\s)\$(?![A-Za-z0-9${{])")
DOUBLE = re.compile(rf"\$\$(?!\$)((?:[^$\\`]|\\[^`]){{1,{MAX_FORMULA}}})\$\$")
ROUND = re.compile(rf"\\\(((?:[^\\`]|\\[^()`]){{1,{MAX_FORMULA}}})\\\)")
SQUARE = re.compile(rf"\\\[((?:[^\\`]|\\[^\[\]`]){{1,{MAX_FORMULA}}})\\\]")
PRICE = re.compile(r"\d[\d.,]*(?:[–—，。；、：！？）]|[,.;:!?)]*\s+(?:[a-z]{3,}|and|or|to|in|for|per|at|a)\b)")
"""The beginning of a content that speaks of money."""
FORMULA = re.compile(r"[\\=^_+<>]|\b[a-zA-Z]\b\s*[-*/]")
r"""The signs of a formula: `\[1\]` in a line is a pair of brackets that Markdown would take for a link's."""


def add_formulas(markdown: MarkdownIt) -> None:
    """Add the rules to a parser."""
    markdown.block.ruler.before("fence", "formula", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    markdown.inline.ruler.before("escape", "formula", _inline)


def _inline(state: StateInline, silent: bool) -> bool:
    sign = state.src[state.pos]
    if sign not in "$\\":
        return False
    found = _dollars(state) if sign == "$" else _brackets(state)
    if not found:
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.markup, token.content = found[0], found[1].strip()
        token.meta = {"is_display": found[0][:2] in ("$$", r"\[")}
    state.pos = found.end()
    return True


def _dollars(state: StateInline) -> re.Match[str] | None:
    found = DOUBLE.match(state.src, state.pos, state.posMax)
    if found:
        return found if found[1].strip() else None
    if state.pos and re.match(r"[A-Za-z0-9$]", state.src[state.pos - 1]):
        return None
    found = SINGLE.match(state.src, state.pos, state.posMax)
    return found if found and not PRICE.match(found[1]) else None


def _brackets(state: StateInline) -> re.Match[str] | None:
    sign = state.src[state.pos + 1 : state.pos + 2]
    if sign == "(":
        found = ROUND.match(state.src, state.pos, state.posMax)
        return found if found and found[1].strip() else None
    if sign == "[":
        found = SQUARE.match(state.src, state.pos, state.posMax)
        return found if found and FORMULA.search(found[1]) else None
    return None


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    begin = state.bMarks[start] + state.tShift[start]
    if state.src[begin : begin + 1] not in ("$", "\\") or state.is_code_block(start):
        return False
    opening = OPENING.match(state.src, begin, state.eMarks[start])
    if not opening:
        return False
    closing = rf"\end{{{opening[1]}}}" if opening[1] else {"$$": "$$", r"\[": r"\]"}[opening[0]]
    last = _last_line(state, start, end, opening.end(), closing)
    if last is None:
        return False
    if silent:
        return True
    token = state.push("formula_block", "math", 0)
    token.block, token.map = True, [start, last + 1]
    token.markup = state.getLines(start, last + 1, state.blkIndent, False).strip()
    token.content = token.markup if opening[1] else token.markup[len(opening[0]) : -len(closing)].strip()
    state.line = last + 1
    return True


def _last_line(state: StateBlock, start: int, end: int, inside: int, closing: str) -> int | None:
    """Find the line that ends with the closing sign, where no other such sign and no blank line comes before."""
    if state.src.find(closing, inside, inside + MAX_FORMULA) < 0:
        return None
    indent = min(state.blkIndent, state.sCount[start])  # a formula below an item that is not indented ends the list
    for line in range(start, end):
        first = inside if line == start else state.bMarks[line] + state.tShift[line]
        last = state.eMarks[line]
        if line > start and (first >= last or state.sCount[line] < indent):
            return None
        if last - inside > MAX_FORMULA:
            return None
        found = state.src.find(closing, first, last)
        if found >= 0:
            is_all = not state.src[found + len(closing) : last].strip()
            has_content = bool(state.src[inside:found].strip())
            return line if is_all and has_content else None
    return None
