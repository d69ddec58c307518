"""TeX becomes MathML that browsers draw by themselves, for writer.py.

A formula that latex2mathml does not know, or that is made to take long, is none: the caller shows its source.
latex2mathml is not made for hostile text: the length and the depth of a formula, its elements, the commands that copy
their arguments, and the budget, looked at between two groups, bound it. latex2mathml's own text of a tree escapes
nothing; the tree is written out here.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element

from latex2mathml.converter import Converter
from latex2mathml.walker import Node

from clawgate.web.pages.budget import Budget
from clawgate.web.pages.mathml_core import fit
from clawgate.web.pages.tex import Unknown, prepared

KEPT_S = 0.15
"""The CPU of a request's budget that formulas leave to the rest: a later one stays source."""
MAX_ELEMENTS = 4000
"""The elements of a formula. One of 4,000 characters has some 2,000."""
MAX_DEPTH = 100
"""The elements in one another. Browsers cut a page's tree at 512."""


def mathml_of(tex: str, is_display: bool, budget: Budget) -> str | None:
    """Convert a formula, or return None where it stays source."""
    try:
        budget.check(KEPT_S)
        tree = _Converter(budget, is_display).convert_to_element(prepared(tex, is_display))
        fit(tree)
        tree.attrib = {"alttext": tex, **({"display": "block"} if is_display else {})}
        pieces: list[str] = []
        _write(tree, pieces)
        return "".join(pieces)
    except Exception:  # noqa: BLE001 latex2mathml raises its own kinds and any other: the source is shown
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
