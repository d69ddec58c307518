"""The bounds of markdown-it's own rules, each with its measured cost.

Rules in front of all others look at the budget: one for each line of each block, in lookahead too, and one for each
inline token. So a rule that is slow because it is called often (`link` and `image` walk to the end of their paragraph
for each bracket, `reference` and `lheading` look ahead line by line) ends in time. The other bounds limit a rule's work
in one go, between two such looks. html_block and html_inline are off.
Source: markdown-it-py 4.3, the first that is linear in runs of `&` and `<`: 256 KiB took 4.2 up to 2.9 s, copying.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_inline import StateInline

from clawgate.web.pages.budget import OutOfTime

BUDGET = "budget"
"""The key under which the rules find the budget of a request in markdown-it's env."""
USED = "used"
"""The key of a request's counters, which all its texts share."""
TOKENS = "tokens"
"""The counter of the block tokens of the texts before."""
KEPT_S = 0.3
"""The CPU that finding the blocks leaves to their contents."""
MAX_NESTING = 100
"""The depth of blocks as markdown-it counts: a list is two. markdown-it drops deeper blocks, and all that follows in
the block; here the text from there on stays text."""
MAX_BLOCK_TOKENS = 50_000
"""The block tokens of a request; the rest stays text. Each is held until the last is rendered and takes half a KiB, and
freeing 300,000 at once holds the interpreter for 0.1 s."""
MAX_INLINE_TOKENS = 20_000
"""The inline tokens of a paragraph. `balance_pairs`, `emphasis`, `strikethrough` and `fragments_join` take all of
them in one go."""
MAX_RUN = 100
"""A run of `*`, `_` or `~`. `emphasis` makes a token of each in one go: 131,071 on both sides of a letter
took 0.7 s."""
MAX_COLUMNS = 200
"""The columns of a `table`. It makes up to 65,536 cells that the text does not have, a row's in one go."""


class TooMuch(Exception):
    """The rules would take too long for a paragraph in one go."""


def bound(markdown: MarkdownIt) -> None:
    """Add the bounds to a parser. Its env must have a budget."""
    block, inline = markdown.block.ruler, markdown.inline.ruler
    block.at("table", _narrow_table, {"alt": ["paragraph", "reference"]})
    block.before("table", "budget", _look_at_line, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    inline.before("text", "budget", _look_at_token)
    inline.before("strikethrough", "long_run", _long_run)
    markdown.disable(["html_block", "html_inline"])


def _look_at_line(state: StateBlock, _start: int, _end: int, _silent: bool) -> bool:
    state.env[BUDGET].check(KEPT_S)
    if len(state.tokens) + state.env[USED][TOKENS] > MAX_BLOCK_TOKENS or state.level >= MAX_NESTING - 2:
        raise OutOfTime
    return False


def _look_at_token(state: StateInline, _silent: bool) -> bool:
    state.env[BUDGET].check()
    if len(state.tokens) > MAX_INLINE_TOKENS:
        raise TooMuch
    return False


def _long_run(state: StateInline, silent: bool) -> bool:
    """Leave a long run of one delimiter as the text that it is."""
    marker = state.src[state.pos]
    if marker not in "*_~" or not state.src.startswith(marker * MAX_RUN, state.pos, state.posMax):
        return False
    end = state.pos + MAX_RUN
    while end < state.posMax and state.src[end] == marker:
        end += 1
    if not silent:
        state.append_pending(state.src[state.pos : end])
    state.pos = end
    return True


def _narrow_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Find a table of few columns whose head begins no other block: markdown-it takes `- a | b` for one, GitHub not."""
    below = start + 1
    if below < end and state.src.count("|", state.bMarks[below], state.eMarks[below]) > MAX_COLUMNS:
        return False
    is_lazy = state.sCount[start] < state.blkIndent
    if is_lazy or not table(state, start, end, True) or _begins_other(state, start, end):
        return False
    return silent or table(state, start, end, silent)


def _begins_other(state: StateBlock, start: int, end: int) -> bool:
    """Tell whether a line begins what would end a quote, wherever it stands."""
    parent, state.parentType = state.parentType, "table"
    begins = any(rule(state, start, end, True) for rule in state.md.block.ruler.getRules("blockquote"))
    state.parentType = parent
    return begins
