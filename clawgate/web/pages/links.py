"""Bare addresses become links: `https://…`, `www.…` and `name@host.tld`; `example.com` and `file.py` stay text.

An address ends before Chinese, and before the punctuation that closes a sentence or a bracket around it. So one that
has Chinese in it is a link only where it is written as `<https://…>`, and one of more than 2,048 characters is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

MAX_ADDRESS = 2048
LETTERS = "A-Za-z0-9À-ɏͰ-ԯ"
"""Latin, Greek and Cyrillic ones, and the digits."""
REST = rf"(?::\d{{1,5}})?(?:[/?#][{LETTERS}/?#~:@!$&'()+,;=%._-]{{0,{MAX_ADDRESS}}})?"
HTTP = re.compile(rf"://[{LETTERS}][{LETTERS}.-]{{0,253}}{REST}")
USER = re.compile(r"://[A-Za-z0-9._~!$&'()*+,;=:%-]{0,128}@")
"""An address with a user's name in it, which hides where the address leads, stays text."""
SCHEME = re.compile(r"(?<![A-Za-z0-9+.-])https?\Z", re.IGNORECASE)
GUESSED = re.compile(
    rf"(?<![{LETTERS}./:@_-])www\.[{LETTERS}][{LETTERS}-]{{0,62}}\.[{LETTERS}.-]{{1,190}}{REST}"
    rf"|(?<![A-Za-z0-9._%+/:@-])[A-Za-z0-9._%+-]{{1,64}}@(?:[A-Za-z0-9-]{{1,63}}\.){{1,8}}[A-Za-z]{{2,24}}(?![A-Za-z0-9@-])",
    re.IGNORECASE,
)
"""The addresses without a scheme. Each try is bounded, and one begins at no letter but a word's first."""
CLOSING = "?!.,:;'_~&-"


def add_links(markdown: MarkdownIt) -> None:
    """Add the rule for addresses with a scheme to a parser: nothing in one is Markdown."""
    markdown.inline.ruler.before("newline", "address", _address)


def link_guessed(block: list[Token]) -> None:
    """Make links of the addresses without a scheme in parsed paragraphs."""
    for token in block:
        if token.type == "inline" and ("@" in token.content or "www." in token.content.lower()):
            token.children = list(_linked(token.children or []))


def _address(state: StateInline, silent: bool) -> bool:
    if not state.src.startswith("://", state.pos) or state.linkLevel > 0:
        return False
    scheme = SCHEME.search(state.src, max(0, state.pos - 6), state.pos)
    found = HTTP.match(state.src, state.pos, state.posMax) if scheme else None
    if (
        not scheme
        or not found
        or USER.match(state.src, state.pos)
        or (not silent and not state.pending.endswith(scheme[0]))
    ):
        return False
    rest = _trimmed(found[0])
    if not silent:
        state.pending = state.pending[: -len(scheme[0])]
        address = scheme[0] + rest
        state.push("link_open", "a", 1).attrs = {"href": state.md.normalizeLink(address)}
        state.push("text", "", 0).content = address
        state.push("link_close", "a", -1)
    state.pos += len(rest)
    return True


def _trimmed(address: str) -> str:
    """Leave out what belongs to the sentence around an address."""
    open_brackets = address.count("(") - address.count(")")
    end = len(address)
    while end and (address[end - 1] in CLOSING or (address[end - 1] == ")" and open_brackets < 0)):
        open_brackets += address[end - 1] == ")"
        end -= 1
    return address[:end]


def _linked(tokens: list[Token]) -> Iterator[Token]:
    depth = 0
    for token in tokens:
        depth += token.nesting if token.type in ("link_open", "link_close") else 0
        if token.type != "text" or depth:
            yield token
            continue
        shown = 0
        for found in GUESSED.finditer(token.content):
            address = _trimmed(found[0])
            yield from _text(token.content[shown : found.start()])
            yield Token(
                "link_open", "a", 1, attrs={"href": ("mailto:" if "@" in address[:65] else "http://") + address}
            )
            yield from _text(address)
            yield Token("link_close", "a", -1)
            shown = found.start() + len(address)
        yield from _text(token.content[shown:])


def _text(content: str) -> Iterator[Token]:
    if content:
        yield Token("text", "", 0, content=content)
