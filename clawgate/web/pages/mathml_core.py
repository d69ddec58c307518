"""The tree that latex2mathml makes becomes one that browsers draw: MathML Core, for mathml.py.

Core has no fonts, boxes, columns or named spaces. Letters of a font become their Unicode letters, the rest classes for
markdown.css; names of functions take TeX's spaces, and limits stand below where TeX puts them.
Source: MathML Core, W3C; The TeXbook, chapter 18.
"""

from __future__ import annotations

import re
from itertools import pairwise
from unicodedata import category
from xml.etree.ElementTree import Element

from clawgate.web.pages.letters import in_font
from clawgate.web.pages.sanitiser import ATTRIBUTES
from clawgate.web.pages.tex import Unknown

ENTITY = re.compile(r"&#x([0-9A-Fa-f]{1,6});")
ESCAPED = re.compile(r"\\([_%#&${}])")
CHILDREN = {"mfrac": 2, "mover": 2, "mroot": 2, "msub": 2, "msubsup": 3, "msup": 2, "munder": 2, "munderover": 3}
"""The children that an element must have; browsers draw one with others as an error."""
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
OPERATORS = ("Sm", "Po", "Ps", "Pe", "Pd")
"""Unicode's categories of characters that take the space of an operator."""
ORDINARY = "∞∅"
"""The ones among them that take none."""
ACCENTS = {"mover": "accent", "munder": "accentunder"}
LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
WITH_LIMITS = {
    *("max", "min", "sup", "inf", "lim", "det", "gcd", "Pr", "lim\u2006sup", "lim\u2006inf", "inj\u2006lim"),
    *("proj\u2006lim", "arg\u2009max", "arg\u2009min", *"∑∏∐⋃⋂⨁⨂⋁⋀"),
}
BARS = "|‖"
RIGID = "⟨⟩⌊⌋⌈⌉↑↓↕⇑⇓"
"""The signs that would grow with their row; only \\left and its like let them."""
UPRIGHT = "ΓΔΘΛΞΠΣΥΦΨΩ"
SCRIPTS = {"msub", "msup", "msubsup", "munder", "mover", "munderover"}


def fit(tree: Element) -> None:
    """Make a tree one of MathML Core.

    Errors: Unknown for a command that latex2mathml has left in place, or that lacks an argument.
    """
    for element in tree.iter():
        if len(element) != CHILDREN.get(element.tag, len(element)):
            raise Unknown
        element.text = _text_of(element)
        given, element.attrib = element.attrib, {}
        if element.tag in LIMITS and len(element) and _has_limits(element[0]):
            element.tag = LIMITS[element.tag]
        if element.tag in ACCENTS and element[1].get("accent"):
            element.set(ACCENTS[element.tag], "true")
        if element.tag == "mtable":
            _draw_lines(element, given)
        elif element.tag in ("mo", "mi"):
            _sort(element)
        elif element.tag == "mpadded":
            given = _pad(element, given)
        for name, value in given.items():
            _set(element, name, value)
    for element in tree.iter():
        if element.tag not in SCRIPTS:
            _stretch_bars(element)
            _space_functions(element)


def _text_of(element: Element) -> str:
    text = ENTITY.sub(lambda found: chr(int(found[1], 16)), element.text or "")
    if element.tag == "mtext":
        text = ESCAPED.sub(r"\1", text)
    if text.startswith("\\") and len(text) > 1:
        raise Unknown
    return text.replace("⧵", "∖")  # most fonts lack the first


def _has_limits(base: Element) -> bool:
    is_made = base.tag == "mo" and len(base) > 0  # \mathop
    is_named = base.tag == "mo" and base.get("movablelimits") == "true"  # \operatorname*
    return is_made or is_named or (base.tag in ("mo", "mi") and _text_of(base) in WITH_LIMITS)


def _sort(element: Element) -> None:
    """Tell operators from names: latex2mathml takes an arrow of text for an operator, and a sign for a name."""
    text = element.text or ""
    if len(element):
        element.tag = "mrow"
    elif len(text) == 1 and text not in ORDINARY and category(text) in OPERATORS:
        element.tag = "mo"
    elif text in ORDINARY or (element.tag == "mo" and text[:1].isalpha()):
        element.tag = "mi"
    if element.tag == "mo" and text in BARS:
        element.attrib = {"lspace": "0", "rspace": "0"}
    elif element.tag == "mo" and text in RIGID:
        element.set("stretchy", "false")
    elif element.tag == "mi" and text in UPRIGHT:
        element.set("mathvariant", "normal")


def _set(element: Element, name: str, value: str) -> None:
    if name == "mathvariant":
        _set_font(element, value)
    elif name == "columnalign":
        element.set("class", value)
    elif name == "notation" and value in ENCLOSED:
        element.tag = "mrow"
        element.set("class", ENCLOSED[value])
    elif name != "class" and name in ATTRIBUTES.get(element.tag, ()):
        element.set(name, SPACES.get(value, value))


def _set_font(element: Element, font: str) -> None:
    """Write an element's letters in a font; words keep their letters and take a class, for they can be Chinese."""
    text = element.text or ""
    if element.tag == "mtext":
        element.set("class", font)
    elif font == "normal":
        if len(text) == 1:
            element.set("mathvariant", "normal")
    else:
        element.text = in_font(text, font)


def _pad(element: Element, given: dict[str, str]) -> dict[str, str]:
    """Pad the words on an arrow with spaces: Core knows no widths that add to one's own."""
    if given.get("width", "").startswith("+"):
        element.insert(0, Element("mspace", {"width": "0.4em"}))
        element.append(Element("mspace", {"width": "0.4em"}))
    return {name: value for name, value in given.items() if value[:1].isdigit()}


def _draw_lines(table: Element, given: dict[str, str]) -> None:
    """Mark the rows below a line, and the cells left of one."""
    for row, line in zip(table[1:], given.get("rowlines", "").split(), strict=False):
        for cell in row if line == "solid" else ():
            cell.set("columnalign", f"{cell.get('columnalign', '')} ruled")
    for column, line in enumerate(given.get("columnlines", "").split()):
        for row in table if line == "solid" else ():
            if column < len(row):
                row[column].set("columnalign", f"{row[column].get('columnalign', '')} barred")


def _stretch_bars(row: Element) -> None:
    """Make the bars around a matrix as high as it is; between other elements they are read as infix, which is not."""
    for before, after in pairwise(row):
        for bar, table, form in ((before, after, "prefix"), (after, before, "postfix")):
            if table.tag == "mtable" and bar.tag == "mo" and (bar.text or "") in BARS:
                bar.attrib |= {"form": form, "stretchy": "true", "fence": "true"}


def _space_functions(row: Element) -> None:
    """Set a thin space between the name of a function and what is no operator beside it."""
    children = list(row)
    for index in range(len(children) - 1, 0, -1):
        pair = children[index - 1], children[index]
        if any(map(_is_function, pair)) and not any(each.tag in ("mo", "mspace") for each in pair):
            row.insert(index, Element("mspace", {"width": "0.167em"}))


def _is_function(element: Element) -> bool:
    base = element[0] if element.tag in SCRIPTS and len(element) else element
    return base.tag == "mi" and len(base.text or "") > 1
