"""The letters of mathematical fonts, which Unicode has as characters of their own, for mathml_core.py."""

from __future__ import annotations

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


def in_font(text: str, font: str) -> str:
    """Write a text in a font; a letter that the font does not have stays."""
    return "".join(_letter(each, font) for each in text)


def _letter(letter: str, font: str) -> str:
    capital, small, digit = FONTS.get(font, (0, 0, 0))
    greek_capital, greek_small = GREEK.get(font, (0, 0))
    for first, last, base in (
        ("A", "Z", capital),
        ("a", "z", small),
        ("0", "9", digit),
        ("Α", "Ω", greek_capital),
        ("α", "ω", greek_small),
    ):
        if base and first <= letter <= last:
            code = base + ord(letter) - ord(first)
            return HOLES.get(code, chr(code))
    return letter
