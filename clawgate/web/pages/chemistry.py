r"""Chemical formulas: the content of `\ce{…}` becomes plain TeX, for tex.py.

Source: the mhchem manual; of it what models write: amounts, charges, states, arrows with words on them.
"""

from __future__ import annotations

import re

ARROWS = {"->": r"\rightarrow ", "<-": r"\leftarrow ", "<->": r"\leftrightarrow ", "<=>": r"\rightleftharpoons "}
LONG_ARROWS = {"->": r"\xrightarrow", "<-": r"\xleftarrow", "<->": r"\xleftrightarrow", "<=>": r"\xrightleftharpoons"}
PART = re.compile(
    r"(?P<arrow><=>|<->|->|<-)(?:\[(?P<over>[^\[\]]{0,80})\])?"
    r"|(?P<command>\\[A-Za-z]+|\\.)"
    r"|(?<=\s)(?P<fate>[v^])(?=\s|\Z)"
    r"|\^\{?(?P<charge>[0-9]*[+-]|[0-9]+)\}?"
    r"|_\{?(?P<index>[0-9A-Za-z]+)\}?"
    r"|(?<=[A-Za-z)\]])(?P<amount>[0-9]+)"
    r"|(?<=[A-Za-z0-9)\]])(?P<sign>[+-])(?=[\s,)\]]|\Z)"
    r"|(?P<letters>[A-Za-z]+)"
)


def chemical(content: str) -> str:
    """Write a chemical formula as TeX."""
    return "{" + PART.sub(_tex, content) + "}"


def _tex(found: re.Match[str]) -> str:
    value = found[found.lastgroup or 0] or ""
    match found.lastgroup:
        case "over":
            return rf"{LONG_ARROWS[found['arrow']]}{{\text{{{value}}}}}"
        case "arrow":
            return ARROWS[value]
        case "fate":
            return r"\downarrow " if value == "v" else r"\uparrow "
        case "charge" | "sign":
            return f"^{{{value}}}"
        case "amount" | "index":
            return f"_{{{value}}}"
        case "letters":
            return rf"\mathrm{{{value}}}"
    return found[0]
