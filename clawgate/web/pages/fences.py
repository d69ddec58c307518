"""Code blocks in code blocks: a block of Markdown may hold blocks of its own, with no longer fence around them.

Models that are asked for a README write it so. In a block whose language is Markdown, a fence with a language opens a
block, and the next bare fence closes that one. CommonMark ends the outer block there, and the rest of the document
leaves its box. A fence without a language closes, as everywhere. A longer outer fence holds shorter ones as ever.
"""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.rules_block import StateBlock, fence

DOCUMENTS = {"markdown", "md", "mdx"}
MAX_NESTED = 20
"""The blocks that are open in a block; a fence that would open one more is text."""
FENCE = re.compile(r"(`{3,}|~{3,})(.*)")


def nest_fences(markdown: MarkdownIt) -> None:
    """Put the rule in the place of markdown-it's own."""
    markdown.block.ruler.at("fence", _fence, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def _fence(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if not fence(state, start, end, silent):
        return False
    token = state.tokens[-1] if not silent else None
    if token and next(iter(unescapeAll(token.info).lower().split(maxsplit=1)), "") in DOCUMENTS:
        last, is_closed = _last_line(state, start, end, token.markup)
        token.content = state.getLines(start + 1, last, state.sCount[start], True)
        state.line = last + is_closed
        token.map = [start, state.line]
    return True


def _last_line(state: StateBlock, start: int, end: int, markup: str) -> tuple[int, bool]:
    """Find the line that ends a block, and tell whether that is its closing fence."""
    open_fences = [markup]
    for line in range(start + 1, end):
        begin = state.bMarks[line] + state.tShift[line]
        if begin < state.eMarks[line] and state.sCount[line] < state.blkIndent:
            return line, False
        found = None if state.is_code_block(line) else FENCE.match(state.src, begin, state.eMarks[line])
        if not found or not found[1].startswith(markup):
            continue
        if not found[2].strip(" \t"):
            if found[1].startswith(open_fences[-1]):
                open_fences.pop()
        elif len(open_fences) <= MAX_NESTED and (markup[0] == "~" or "`" not in found[2]):
            open_fences.append(found[1])
        if not open_fences:
            return line, True
    return end, False
