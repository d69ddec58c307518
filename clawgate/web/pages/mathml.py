"""TeX becomes MathML that browsers draw by themselves: latex2mathml's tree, made fit for MathML Core.

Browsers know no fonts, boxes, columns or named spaces of older MathML: letters of a font become their Unicode letters,
the rest classes for markdown.css. A formula that latex2mathml does not know, or that is made to take long, is none: the
caller shows its source. latex2mathml is not made for hostile text: the length, the depth, commands that copy their
arguments, and the budget between two groups bound it. The tree is written out here, so a text in it is always escaped.
Source: MathML Core, W3C.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Iterable
from typing import Any
from unicodedata import category
from xml.etree.ElementTree import Element

from latex2mathml.converter import Converter
from latex2mathml.walker import Node

from clawgate.web.pages.budget import Budget, OutOfTime
from clawgate.web.pages.tex import Unknown, prepared

log = logging.getLogger(__name__)

KEPT_S = 0.15
"""The CPU of a request's budget that formulas leave to the rest: a later one stays source."""
MAX_ELEMENTS = 4000
"""The elements of a formula. One of 4,000 characters has some 2,000."""
MAX_DEPTH = 100
"""The elements in one another. Browsers cut a page's tree at 512."""
ENTITY = re.compile(r"&#x([0-9A-Fa-f]{1,6});")
KEPT = {
    *("accent", "accentunder", "depth", "display", "displaystyle", "fence", "form", "height", "largeop", "linethickness"),
    *("lspace", "maxsize", "minsize", "movablelimits", "rspace", "scriptlevel", "separator", "stretchy", "voffset"),
    *("width", "mathcolor"),
}
OPERATORS = ("Sm", "Po", "Ps", "Pe", "Pd")
"""Unicode's categories of characters that take the space of an operator."""
SPACES = {
    "negativethinmathspace": "-0.167em",
    "negativemediummathspace": "-0.222em",
    "negativethickmathspace": "-0.278em",
    "thinmathspace": "0.167em",
    "thickmathspace": "0.278em",
}
ENCLOSED = {
    "box": "boxed",
    "updiagonalstrike": "cancel",
    "downdiagonalstrike": "bcancel",
    "updiagonalstrike downdiagonalstrike": "xcancel",
    "horizontalstrike": "sout",
}
FONTS = {
    "bold": (0x1D400, 0x1D41A, 0x1D7CE),
    "italic": (0x1D434, 0x1D44E, 0),
    "bold-italic": (0x1D468, 0x1D482, 0x1D7CE),
    "script": (0x1D49C, 0x1D4B6, 0),
    "fraktur": (0x1D504, 0x1D51E, 0),
    "double-struck": (0x1D538, 0x1D552, 0x1D7D8),
    "sans-serif": (0x1D5A0, 0x1D5BA, 0x1D7E2),
    "sans-serif-italic": (0x1D608, 0x1D622, 0),
    "monospace": (0x1D670, 0x1D68A, 0x1D7F6),
}
"""Unicode's first capital, small letter and digit of each font, 0 where it has none."""
GREEK = {"bold": (0x1D6A8, 0x1D6C2), "bold-italic": (0x1D71C, 0x1D736), "italic": (0x1D6E2, 0x1D6FC)}
HOLES = dict(
    zip(
        (0x1D455, 0x1D49D, 0x1D4A0, 0x1D4A1, 0x1D4A3, 0x1D4A4, 0x1D4A7, 0x1D4A8, 0x1D4AD, 0x1D4BA, 0x1D4BC, 0x1D4C4),
        "ℎℬℰℱℋℐℒℳℛℯℊℴ",
        strict=True,
    )
) | dict(
    zip(
        (0x1D506, 0x1D50B, 0x1D50C, 0x1D515, 0x1D51D, 0x1D53A, 0x1D53F, 0x1D545, 0x1D547, 0x1D548, 0x1D549, 0x1D551),
        "ℭℌℑℜℨℂℍℕℙℚℝℤ",
        strict=True,
    )
)
"""The letters that Unicode had before."""


def mathml_of(tex: str, is_display: bool, budget: Budget) -> str | None:
    """Convert a formula, or return None where it stays source."""
    try:
        budget.check(KEPT_S)
        tree = _Converter(budget, is_display).convert_to_element(prepared(tex, is_display))
        for element in tree.iter():
            _fit(element)
        tree.attrib = {"alttext": tex, **({"display": "block"} if is_display else {})}
        pieces: list[str] = []
        _write(tree, pieces)
        return "".join(pieces)
    except (OutOfTime, Unknown, RecursionError):
        return None
    except Exception as error:  # latex2mathml has many, of its own and others
        log.debug("a formula of %d characters stays source: %r", len(tex), error)
        return None


class _Converter(Converter):
    def __init__(self, budget: Budget, is_display: bool) -> None:
        super().__init__(display="block" if is_display else "inline")
        self._budget = budget
        self._groups = 0

    def _convert_group(self, nodes: Iterable[Node], parent: Element, font: Any = None) -> None:
        """Look at the budget."""
        self._budget.check(KEPT_S)
        self._groups += 1
        if self._groups > MAX_ELEMENTS:
            raise Unknown
        super()._convert_group(nodes, parent, font)


def _fit(element: Element) -> None:
    """Make an element of the tree one of MathML Core.

    Errors: Unknown for a command that latex2mathml has left in place.
    """
    given, element.attrib = element.attrib, {}
    text = ENTITY.sub(lambda found: chr(int(found[1], 16)), element.text or "")
    if text.startswith("\\") and len(text) > 1:
        raise Unknown
    element.text = text
    if element.tag == "mi" and len(text) == 1 and category(text) in OPERATORS:
        element.tag = "mo"
    elif element.tag == "mo" and text in "∞∅":
        element.tag = "mi"
    for name, value in given.items():
        if name in KEPT:
            element.set(name, SPACES.get(value, value))
        elif name == "mathvariant":
            _set_font(element, value)
        elif name == "columnalign":
            element.set("class", value)
        elif name == "notation" and value in ENCLOSED:
            element.tag = "mrow"
            element.set("class", ENCLOSED[value])


def _set_font(element: Element, font: str) -> None:
    """Write an element's letters in a font; words keep their letters and take a class, for they can be Chinese."""
    text = element.text or ""
    if element.tag == "mtext":
        element.set("class", font)
    elif font == "normal":
        if len(text) == 1:
            element.set("mathvariant", "normal")
    else:
        element.text = "".join(_letter(each, font) for each in text)


def _letter(letter: str, font: str) -> str:
    capital, small, digit = FONTS.get(font, (0, 0, 0))
    greek_capital, greek_small = GREEK.get(font, (0, 0))
    for first, last, base in (("A", "Z", capital), ("a", "z", small), ("0", "9", digit), ("Α", "Ω", greek_capital), ("α", "ω", greek_small)):
        if base and first <= letter <= last:
            code = base + ord(letter) - ord(first)
            return HOLES.get(code, chr(code))
    return letter


def _write(element: Element, pieces: list[str], depth: int = 0) -> None:
    """Write an element out.

    Errors: Unknown for a tree that is deeper than browsers take.
    """
    if depth > MAX_DEPTH:
        raise Unknown
    attributes = "".join(f' {name}="{html.escape(value)}"' for name, value in element.attrib.items())
    pieces.append(f"<{element.tag}{attributes}>{html.escape(element.text or '', quote=False)}")
    for child in element:
        _write(child, pieces, depth + 1)
    pieces.append(f"</{element.tag}>")
