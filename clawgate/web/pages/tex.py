r"""TeX as models write it becomes TeX that latex2mathml knows; what it cannot, or must not, convert is refused.

Environments take their nearest relative's name, what numbers or places equations goes, lines outside of an environment
become one. `\newcommand` and its like could make one formula out of 2 to the power of its length.
"""

from __future__ import annotations

import re

from clawgate.web.pages.chemistry import chemical

MAX_DEPTH = 40
"""The groups and environments in one another, as many as a formula can show."""
REFUSED = re.compile(
    r"\\(?:(?:re)?newcommand|providecommand|def|let|newenvironment|DeclareMathOperator|sideset|mathchoice|unicode|href"
    r"|class|style|verb|require|includegraphics|input|write|genfrac|rule)(?![A-Za-z])"
)
ALIGNED = "align|aligned|alignat|alignedat|eqnarray|flalign|split"
GATHERED = "gather|gathered|multline|displaylines"
ENVIRONMENTS = {
    *("align*", "array", "cases", "displaylines", "matrix", "matrix*", "pmatrix", "pmatrix*", "bmatrix", "bmatrix*"),
    *("Bmatrix", "Bmatrix*", "vmatrix", "vmatrix*", "Vmatrix", "Vmatrix*", "smallmatrix"),
}
"""The ones that are left after the replacements."""
REPLACED = [
    (re.compile(r"(?<!\\)%[^\n]*"), ""),
    (
        re.compile(
            r"\\(?:label|eqref|ref)\s*\{[^{}]*\}|\\(?:nonumber|notag|allowbreak|nobreak|relax|hfill)(?![A-Za-z])"
        ),
        "",
    ),
    (re.compile(r"\\\\\s*\[\s*-?[\d.]+\s*[a-z]{2}\s*\]|\\(?:newline|cr)(?![A-Za-z])|\\tabularnewline"), r"\\\\"),
    (re.compile(rf"\\(begin|end)\s*\{{(?:{ALIGNED})\*?\}}(?:\s*\[[tbc]\])?"), r"\\\1{align*}"),
    (re.compile(rf"\\(begin|end)\s*\{{(?:{GATHERED})\*?\}}(?:\s*\[[tbc]\])?"), r"\\\1{displaylines}"),
    (re.compile(r"\\(begin|end)\s*\{equation\*?\}"), ""),
    (re.compile(r"\\(begin|end)\s*\{dcases\*?\}"), r"\\\1{cases}"),
    (re.compile(r"(\\begin\{align\*\})\s*\{\d+\}"), r"\1"),
    (re.compile(r"\\mathrm\{"), r"\\mathrm {"),  # without the space a letter would lose its font
    (re.compile(r"\\arg(?![A-Za-z])"), r"\\operatorname{arg}"),
    (re.compile(r"\\not\s*="), r"\\neq "),
    (re.compile(r"\\tag\*\s*\{([^{}]*)\}"), r"\\qquad\\text{\1}"),
    (re.compile(r"\\tag\s*\{([^{}]*)\}"), r"\\qquad\\text{(\1)}"),
]
CHEMISTRY = re.compile(r"\\ce\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
TOKEN = re.compile(r"\\begin\s*\{(\w+\*?)\}|\\end\s*\{(\w+\*?)\}|\\\\|\\.|[{}]", re.DOTALL)


class Unknown(Exception):
    """A formula that stays source."""


def prepared(tex: str, is_display: bool) -> str:
    """Rewrite a formula for latex2mathml.

    Errors: Unknown.
    """
    if REFUSED.search(tex):
        raise Unknown
    tex = CHEMISTRY.sub(lambda found: chemical(found[1]), tex)
    for pattern, replacement in REPLACED:
        tex = pattern.sub(replacement, tex)
    has_lines = _check_groups(tex)
    return rf"\begin{{displaylines}}{tex}\end{{displaylines}}" if has_lines and is_display else tex


def _check_groups(tex: str) -> bool:
    """Tell whether there is a line end outside of all groups.

    Errors: Unknown for an unknown environment, and where a group is open at the end, or too many are.
    """
    groups: list[str] = []
    has_lines = False
    for found in TOKEN.finditer(tex):
        if found[1]:
            if found[1] not in ENVIRONMENTS:
                raise Unknown
            groups.append(found[1])
        elif found[0] == "{":
            groups.append("}")
        elif found[2] or found[0] == "}":
            if not groups or groups.pop() != (found[2] or "}"):
                raise Unknown
        elif found[0] == r"\\":
            has_lines = has_lines or not groups
        if len(groups) > MAX_DEPTH:
            raise Unknown
    if groups:
        raise Unknown
    return has_lines
