"""Tokens become HTML, for markdown.py: markdown-it's own writer, with rules of our own for some of the tokens."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from markdown_it.common.utils import unescapeAll
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from clawgate.web.pages.highlight import highlighted
from clawgate.web.pages.mathml import mathml_of
from clawgate.web.pages.rules import BUDGET, USED, TooMuch
from clawgate.web.pages.sanitiser import EMBEDDED_IMAGE

MAX_LINKED = 1 << 20
"""The characters of addresses and titles in a request; a block with more stays text. A definition is written out at
each of its uses: 100 KiB of address and 1,000 times `[a]` made 100 MB of HTML, and 1.9 s of CPU."""
LINKED_CHARS = "linked_chars"


class Writer(RendererHTML):
    """The renderer of tokens with rules of our own. Each method is the rule for the type of its name."""

    def text(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """Look at the budget: most of a long block's tokens are text."""
        env[BUDGET].check()
        return super().text(tokens, idx, options, env)

    def fence(self, tokens: Sequence[Token], idx: int, _options: Any, env: Any) -> str:
        """Colour code while there is time for it."""
        code = tokens[idx].content
        language = next(iter(unescapeAll(tokens[idx].info).split(maxsplit=1)), "")
        shown = highlighted(code, language, env[BUDGET]) or html.escape(code)
        named = f' class="language-{html.escape(language)}"' if language else ""
        return f"<pre><code{named}>{shown}</code></pre>\n"

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """Write a link out while there is room for its address."""
        _count_linked(tokens[idx], env)
        return self.renderToken(tokens, idx, options, env)

    def image(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """Show an image that is in the text itself; make a link of any other, which is fetched on a click only."""
        token = tokens[idx]
        _count_linked(token, env)
        source = str(token.attrs.get("src", ""))
        words = self.renderInlineAsText(token.children or [], options, env)
        if EMBEDDED_IMAGE.match(source):
            return f'<img src="{html.escape(source)}" alt="{html.escape(words)}">'
        return f'<a class="remote-image" href="{html.escape(source)}">{html.escape(words or source)}</a>'

    def th_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        """Write a cell's alignment as a class: the page's CSP allows no style attributes."""
        token = tokens[idx]
        style = str(token.attrs.pop("style", ""))
        if style:
            token.attrSet("class", style.removeprefix("text-align:"))
        return self.renderToken(tokens, idx, options, env)

    td_open = th_open

    def formula(self, tokens: Sequence[Token], idx: int, _options: Any, env: Any) -> str:
        """Draw a formula in a line."""
        token = tokens[idx]
        drawn = mathml_of(token.content, token.meta["is_display"], env[BUDGET])
        return f'<span class="math">{drawn}</span>' if drawn else _source(token)

    def formula_block(self, tokens: Sequence[Token], idx: int, _options: Any, env: Any) -> str:
        """Draw a formula that is a block."""
        token = tokens[idx]
        drawn = mathml_of(token.content, True, env[BUDGET])
        return f'<div class="math">{drawn or _source(token)}</div>\n'

    def footnote_reference(self, tokens: Sequence[Token], idx: int, _options: Any, _env: Any) -> str:
        """Name a footnote; the page makes a link of it."""
        label = html.escape(tokens[idx].content)
        return f'<sup class="footnote" data-footnote="{label.lower()}">{label}</sup>'


def _source(token: Token) -> str:
    return f'<code class="math">{html.escape(token.markup)}</code>'


def _count_linked(token: Token, env: Any) -> None:
    """Count the characters of a link or an image.

    Errors: TooMuch.
    """
    env[USED][LINKED_CHARS] += sum(len(str(value)) for value in token.attrs.values())
    if env[USED][LINKED_CHARS] > MAX_LINKED:
        raise TooMuch
