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
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

LINE = "LINE"
"""The group of whole lines."""
MOST = 1000
"""A longer line, of an enormous path, stays English."""
_FIELD = re.compile(r"\{(\w+)\}")


class Catalogue:
    """Translates lines; groups has the templates of each group in their order.

    A regular expression would be shorter, and took minutes for a path of 1,000 hostile characters.
    """

    def __init__(self, groups: Mapping[str, Mapping[str, str]]) -> None:
        self.groups = groups

    def translated(self, line: str, group: str = LINE) -> str | None:
        """Return a line of a group in this language; None where no template fits."""
        if len(line) > MOST:
            return None
        for english, other in self.groups[group].items():
            if line.startswith(english.partition("{")[0]) and (words := self._fitted(english, line)) is not None:
                return _FIELD.sub(lambda field, words=words: words[field[1]], other)  # type: ignore[misc]
        return None

    def _fitted(self, template: str, line: str) -> dict[str, str] | None:
        """Return the words of each field, translated; None where the line does not fit."""
        literal, *fields = _FIELD.split(template)
        return self._filled(fields, line[len(literal) :]) if line.startswith(literal) else None

    def _filled(self, fields: list[str], line: str) -> dict[str, str] | None:
        """Fill the fields from the left; each is a name and the literal behind it, and has at least one character."""
        if not fields:
            return None if line else {}
        name, literal, *further = fields
        for end in _ends(line, literal, is_last=not further):
            said = self.translated(line[:end], name) if name in self.groups else line[:end]
            if said is None:
                continue
            rest = self._filled(further, line[end + len(literal) :])
            if rest is not None:
                return {name: said, **rest}
            if further[0] not in self.groups:  # any words would do there: what is too short now stays too short
                return None
        return None


def _ends(line: str, literal: str, *, is_last: bool) -> Iterator[int]:
    """Yield the places at which a field can end: before each of the literals, or before the line's last one."""
    if is_last:
        end = len(line) - len(literal)
        if end > 0 and line.endswith(literal):
            yield end
        return
    end = line.find(literal, 1)
    while end > 0:
        yield end
        end = line.find(literal, end + 1)


@cache
def catalogue(language: str) -> Catalogue:
    """Read a language's catalogue, once."""
    text = files("clawgate.language").joinpath(f"{language}.json").read_text(encoding="utf-8")
    return Catalogue(json.loads(text))
