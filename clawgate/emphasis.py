"""Emphasis beside Chinese, Japanese and Korean: a paragraph's parser whose runs of `*`, `_` and `~~` know them.

CommonMark lets a run beside punctuation open or close emphasis only where a space or other punctuation is on its other
side. These scripts put no space there, so `**标题：**内容` would stay as typed. Here their punctuation counts as their
letters do, and beside other punctuation any of their characters counts as a space does. A run with none of them at its
sides is CommonMark's.
Source: CommonMark 0.31, "Emphasis and strong emphasis"; the public draft of CJK-friendly amendments to it.
"""

from __future__ import annotations

from unicodedata import east_asian_width

from markdown_it import MarkdownIt
from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace
from markdown_it.parser_inline import ParserInline
from markdown_it.rules_inline import StateInline
from markdown_it.rules_inline.state_inline import Scanned
from markdown_it.token import Token

FIRST = "\u1100"
"""The first such character; the scanner compares with it before it looks anything up."""
LAST_JAMO = "\u11ff"
WIDE = ("W", "F", "H")
EMOJI = (("\u231a", "\u2328"), ("\u23e9", "\u2604"), ("\u2614", "\u262f"), ("\u2648", "\u2689"), ("\u2693", "\u2b55"))
"""The ranges of wide characters that are no letters of these scripts, up to the plane of emoji."""
EMOJI_PLANE = ("\U0001f000", "\U0001faff")


def is_cjk(character: str) -> bool:
    """Tell whether a character belongs to a Chinese, Japanese or Korean text, punctuation included, emoji not."""
    if character < FIRST:
        return False
    if character <= LAST_JAMO:
        return True
    is_emoji = any(first <= character <= last for first, last in (*EMOJI, EMOJI_PLANE))
    return east_asian_width(character) in WIDE and not is_emoji


def befriend_cjk(markdown: MarkdownIt) -> None:
    """Give a parser this module's paragraphs; its rules stay."""
    markdown.inline = _Inline(markdown.inline)


class _Inline(ParserInline):
    def __init__(self, other: ParserInline) -> None:
        super().__init__()
        self.ruler, self.ruler2 = other.ruler, other.ruler2

    def parse(self, src: str, md: MarkdownIt, env: object, tokens: list[Token]) -> list[Token]:
        """Parse a paragraph, as the original does, but with a state that knows these scripts."""
        state = _State(src, md, env, tokens)  # type: ignore[arg-type]
        self.tokenize(state)
        for rule in self.ruler2.getRules(""):
            rule(state)
        return state.tokens


class _State(StateInline):
    def scanDelims(self, start: int, canSplitWord: bool) -> Scanned:  # noqa: N802, N803 the original's names
        """Scan a run of one marker, and determine whether it can open or close emphasis."""
        before = self.src[start - 1] if start > 0 else " "
        marker, end = self.src[start], start
        while end < self.posMax and self.src[end] == marker:
            end += 1
        after = self.src[end] if end < self.posMax else " "
        if before < FIRST and after < FIRST:
            return super().scanDelims(start, canSplitWord)
        cjk_before, cjk_after = is_cjk(before), is_cjk(after)
        space_before, space_after = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
        foreign_before = _is_punctuation(before) and not cjk_before
        foreign_after = _is_punctuation(after) and not cjk_after
        left = not space_after and (not foreign_after or space_before or foreign_before or cjk_before)
        right = not space_before and (not foreign_before or space_after or foreign_after or cjk_after)
        can_open = left and (canSplitWord or not right or _is_punctuation(before))
        can_close = right and (canSplitWord or not left or _is_punctuation(after))
        return Scanned(can_open, can_close, end - start)


def _is_punctuation(character: str) -> bool:
    return isMdAsciiPunct(ord(character)) or isPunctChar(character)
