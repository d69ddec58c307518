"""The sentences of a language by the English ones, as templates: a line that fits one is made anew from it.

    "SAID": {"did not accept the connection within {seconds} s": "{seconds} 秒内没有接受连接"}
    "FINDING": {"no Ollama answers at {endpoint}: it {SAID}": "{endpoint} 处没有可用的 Ollama：{SAID}"}

A field in small letters stands for words that stay as they are: a name, an address, a value. One in capitals stands for
a phrase of the group of that name, which is translated too. The first template that fits counts. The rooms that make
the sentences know nothing of this; tests/test_language.py holds every sentence of theirs to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files

LINE = "LINE"
"""The group of whole lines."""
MOST = 1000
"""A longer line, of an enormous path, stays English: a match may take quadratic time."""
_FIELD = re.compile(r"\{(\w+)\}")


class Catalogue:
    """Translates lines; groups has the templates of each group in their order."""

    def __init__(self, groups: Mapping[str, Mapping[str, str]]) -> None:
        self.groups = groups

    def translated(self, line: str, group: str = LINE) -> str | None:
        """Return a line of a group in this language; None where no template fits."""
        if len(line) > MOST:
            return None
        for english, other in self.groups[group].items():
            if found := self._fitted(english, line):
                return _FIELD.sub(partial(self._filled, found), other)
        return None

    def _fitted(self, template: str, line: str) -> re.Match[str] | None:
        if not line.startswith(template.partition("{")[0]):  # most do not: a pattern takes milliseconds to compile
            return None
        return re.fullmatch(self._pattern(template, is_outer=True), line, re.DOTALL)

    def _filled(self, found: re.Match[str], field: re.Match[str]) -> str:
        name, words = field[1], found[f"_{field[1]}"]
        return (self.translated(words, name) if name in self.groups else None) or words

    def _pattern(self, template: str, *, is_outer: bool) -> str:
        """Write a template as a regular expression; the outermost fields are its groups, `_` before their names."""
        literal, *rest = _FIELD.split(template)
        pieces = [re.escape(literal)]
        for name, literal in zip(rest[::2], rest[1::2], strict=True):
            inner = ".+?"
            if name in self.groups:
                inner = "|".join(self._pattern(each, is_outer=False) for each in self.groups[name])
            pieces += [f"(?P<_{name}>{inner})" if is_outer else f"(?:{inner})", re.escape(literal)]
        return "".join(pieces)


@cache
def catalogue(language: str) -> Catalogue:
    """Read a language's catalogue, once."""
    text = files("clawgate.language").joinpath(f"{language}.json").read_text(encoding="utf-8")
    return Catalogue(json.loads(text))
