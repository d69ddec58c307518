"""Texts of others, made safe for a terminal: no control character is left, so that no escape sequence is. Pure.

A model may be led to write one: it would set the title, write to the clipboard (OSC 52), clear the screen, or answer in
the user's place. A removed ESC leaves the rest of its sequence as visible text. Only line ends and tabs stay.
Source: ECMA-48 (C0, C1); U+2028 and U+2029 are line ends, and a lone surrogate cannot be encoded.
"""

from __future__ import annotations

from types import MappingProxyType

_KEPT = "\n\t"
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT}
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
_TABLE = MappingProxyType({**_CONTROLS, **_SURROGATES, 0x2028: "\n", 0x2029: "\n"})
_TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))
"""Unicode's embeddings, overrides and isolates (UAX #9): one in a model's name would turn the words around it, too."""


def clean(text: str) -> str:
    """Return a text, or any piece of one, without control characters."""
    return text if text.isascii() and text.isprintable() else text.translate(_TABLE)


def one_line(text: str) -> str:
    """Return a text without control characters, on one line, that leaves the direction of what is around it alone."""
    return " ".join(clean(text).translate(_TURNING).split())
