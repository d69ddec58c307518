"""Markdown in, harmless HTML out, in less than a second of CPU: a function of the text alone, for render.py.

markdown-it parses with HTML off, Pygments colours code, nh3 filters the result. The text is cut into its top-level
blocks, and each is rendered by itself: blocks that are finished in time stay, the rest follows as plain text. So the
rendering of a text is the renderings of its blocks, one after another, and a list item is rendered alone as it is in
its list. The HTML makes a browser fetch nothing from elsewhere: an image of another place becomes a link to it.
Source: CommonMark 0.31; GitHub's tables, strikethrough and task lists.
"""

from __future__ import annotations

import html
import logging
from collections import ChainMap, Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore, inline, normalize, text_join
from markdown_it.token import Token

from clawgate.emphasis import befriend_cjk
from clawgate.web.pages.budget import Budget, OutOfTime
from clawgate.web.pages.elements import add_elements
from clawgate.web.pages.fences import nest_fences
from clawgate.web.pages.footnotes import FOOTNOTES, add_footnotes
from clawgate.web.pages.formulas import add_formulas
from clawgate.web.pages.links import add_links, link_guessed
from clawgate.web.pages.rules import BUDGET, MAX_NESTING, TOKENS, USED, TooMuch, bound
from clawgate.web.pages.sanitiser import CLEANER
from clawgate.web.pages.writer import Writer

log = logging.getLogger(__name__)

CPU_S = 0.7
"""The CPU for a text. The last step may take up to 0.2 s more. 256 KiB of prose take 0.2 s in all, of nothing but
markup a second."""
MAX_AMPERSANDS = 50_000
"""The ampersands of a block; one with more stays text. nh3's time grows with their square: 0.6 s for 262,144."""
REFERENCES = "references"
"""The key under which markdown-it keeps link reference definitions; it reads and adds to what is there."""


class _Blocks(NamedTuple):
    """A text's lines and block tokens; where it is not whole, blocks are missing at its end."""

    lines: list[str]
    tokens: list[Token]
    is_whole: bool
    env: Any


class Renderer:
    """Turns Markdown into HTML that is safe to put into the page.

    Threads: a parse keeps its state to itself, so one renderer serves all threads.
    """

    def __init__(self) -> None:
        options = {"html": False, "breaks": True, "maxNesting": MAX_NESTING, "tasklists": True}
        self._markdown = MarkdownIt("commonmark", options, renderer_cls=Writer).enable(["table", "strikethrough"])
        for add in (nest_fences, add_formulas, add_footnotes, add_elements, add_links, befriend_cjk):
            add(self._markdown)
        bound(self._markdown)
        self.html_of("*")  # the rules are compiled once, before there are threads

    def html_of(self, text: str) -> str:
        """Render a text; blocks that take too long, or that the parser fails at, come back as plain text."""
        return self.htmls_of([text])[0]

    def htmls_of(self, texts: Sequence[str], definitions: str = "") -> list[str]:
        """Render texts, each by itself, within the bounds of one text.

        definitions: Markdown whose definitions hold for all texts; it makes no output.
        """
        budget, used = Budget(CPU_S), Counter[str]()
        known: dict[str, dict[str, Any]] = {REFERENCES: {}, FOOTNOTES: {}}
        shared = {BUDGET: budget, USED: used}
        if definitions:
            self._find_blocks(definitions, shared | known)
        envs = [shared | {key: ChainMap({}, given) for key, given in known.items()} for _ in texts]
        found = [self._find_blocks(text, env) for text, env in zip(texts, envs, strict=True)]
        return [self._html_of(blocks) for blocks in found]

    def _find_blocks(self, text: str, env: Any) -> _Blocks:
        """Parse a text into blocks."""
        state = StateCore(text, self._markdown, env)
        normalize(state)
        is_whole = False
        try:
            self._markdown.block.parse(state.src, self._markdown, state.env, state.tokens)
            is_whole = True
        except OutOfTime:
            pass
        except Exception:
            log.exception("a text of %d characters could not be parsed", len(state.src))
        env[USED][TOKENS] += len(state.tokens)
        return _Blocks(state.src.split("\n"), state.tokens, is_whole, env)

    def _html_of(self, blocks: _Blocks) -> str:
        lines, tokens, is_whole, env = blocks
        pieces: list[str] = []
        shown = 0  # lines of the text that are in the pieces
        for block in _top_level(tokens):
            begin, end = block[0].map or (shown, shown)
            try:
                pieces.append(self._rendered(block, env))
            except OutOfTime:
                is_whole = False
                break
            except TooMuch:
                pieces.append(_plain(lines[begin:end]))
            except Exception:  # no text leads to an empty page
                log.exception("a block of %d lines could not be rendered", end - begin)
                pieces.append(_plain(lines[begin:end]))
            shown = end
        if not is_whole:
            pieces.append(_plain(lines[shown:]))
        return "".join(pieces)

    def _rendered(self, block: list[Token], env: Any) -> str:
        """Render one block as clean HTML.

        Errors: OutOfTime, TooMuch, and any error of a rule.
        """
        env[BUDGET].check()
        state = StateCore("", self._markdown, env, block)
        inline(state)
        text_join(state)
        link_guessed(block)
        _open_paragraphs(block)
        _label_boxes(block)
        rendered = self._markdown.renderer.render(block, self._markdown.options, env)
        if rendered.count("&amp;") > MAX_AMPERSANDS:
            raise TooMuch
        return CLEANER.clean(rendered)


def _top_level(tokens: list[Token]) -> Iterator[list[Token]]:
    """Cut tokens into whole top-level blocks; an unfinished one is left out."""
    begin = 0
    for index, token in enumerate(tokens, 1):
        if token.level == 0 and token.nesting <= 0:
            yield tokens[begin:index]
            begin = index


def _open_paragraphs(block: list[Token]) -> None:
    """Keep the paragraphs of tight lists, so that an item does not depend on the other items of its list."""
    for token in block:
        token.hidden = False
        if token.type in ("bullet_list_open", "ordered_list_open"):
            token.attrs.pop("class", None)  # it says that one of the items is a task


def _label_boxes(block: list[Token]) -> None:
    """Move each task's box into a label around the item's first line, which names the box to screen readers."""
    for item, _, line in zip(block, block[1:], block[2:], strict=False):
        if item.type == "list_item_open" and "checked" in item.meta and line.type == "inline":
            checked = ' checked=""' if item.meta.pop("checked") else ""
            box = f'<label><input disabled="" type="checkbox"{checked}> '
            begin, end = (Token("html_inline", "", 0, content=tag) for tag in (box, "</label>"))
            line.children = [begin, *(line.children or ()), end]


def _plain(lines: list[str]) -> str:
    text = html.escape("\n".join(lines).strip("\n"))
    return f"<pre><code>{text}</code></pre>\n"
