"""The language and the charset that the environment's locale asks for, as C programs read it: pure.

Source: POSIX, "Environment Variables", LC_ALL before the category before LANG; GNU gettext, "The LANGUAGE variable".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Language = Literal["en", "zh"]
UNTRANSLATED = ("", "C", "POSIX")
SAMPLE = "简体，中文。"
"""Characters that a charset for Chinese has: Big5 lacks the first ones, and its readers get English."""
CHOSEN = ("PYTHONIOENCODING", "PYTHONUTF8")
"""The variables by which Python itself is told what to write: they count more than the locale."""
COERCED = ("C.UTF-8", "C.utf8", "UTF-8")
"""Python sets LC_CTYPE to one of these where the system lacks the locale's data. Source: PEP 538."""


def language_of(environment: Mapping[str, str]) -> Language:
    """Choose the language: of LANGUAGE's list the first that there is, else the locale's own; English for any other.

    All of Chinese is written in simplified characters, as on the page. LANGUAGE does not count in the locales `C` and
    `C.UTF-8`.
    """
    locale = _locale_of(environment, "LC_MESSAGES")
    if locale.partition(".")[0] in UNTRANSLATED:
        return "en"
    asked = environment.get("LANGUAGE", "") or locale
    return next((language for each in asked.split(":") if (language := _known(each)) is not None), "en")


def charset_of(environment: Mapping[str, str]) -> str | None:
    """Return the charset that the locale names, where Python is not told another; None where it names none."""
    if any(environment.get(name) for name in CHOSEN):
        return None
    is_coerced = environment.get("LC_CTYPE") in COERCED
    locale = _locale_of(environment, "LANG" if is_coerced else "LC_CTYPE")
    return locale.partition(".")[2].partition("@")[0] or None


def can_write(charset: str) -> bool:
    """Tell whether a charset is known, has what Chinese lines need, and is a terminal's: ASCII stays as it is in it.

    Python knows others by such names, too: `hex` takes no text, UTF-16 is no terminal's.
    """
    try:
        written = f"a{SAMPLE}".encode(charset)
    except (LookupError, UnicodeError):
        return False
    return written[0] == ord("a") and written[1] >= 0x80


def _locale_of(environment: Mapping[str, str], category: str) -> str:
    return next(filter(None, (environment.get(name) for name in ("LC_ALL", category, "LANG"))), "")


def _known(locale: str) -> Language | None:
    word = locale.partition(".")[0].partition("@")[0].partition("_")[0].lower()
    return "zh" if word == "zh" else "en" if word in ("en", "c", "posix") else None
