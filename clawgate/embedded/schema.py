"""The schemas that an answer's `format` may have: llama.cpp works through one without letting anybody interrupt it.

Pure; api.py asks before it makes a job. llama.cpp turns a schema into a grammar, and follows at each token every way
through it that the text so far leaves open. Bytes alone bound neither: `^(.*){100}$` is a schema's pattern of 11 bytes
and held the engine for more than 30 s. Hence four bounds, each on something that takes time by itself. With SmolLM2
on two busy cores, the first token after a schema at a bound took 1.6 s at most; between tokens an answer can be ended.

Source: llama.cpp common/json-schema-to-grammar.cpp, src/llama-grammar.cpp.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from clawgate.embedded.pattern import pattern_ways

MAX_BYTES = 16 * 1024
MAX_LEVELS = 64
MAX_CHOICES = 400
MAX_WAYS = 256

_LISTS = ("anyOf", "oneOf", "enum", "type", "allOf")
_ROUNDS = 10
_KINDS = {"integer": "number", "float": "number", "int": "number", "str": "string"}
_Ways = Mapping[str, int]
"""How many ways are open at once in a value of each kind, of which the first character tells."""


def fault(schema: Mapping[str, Any]) -> str | None:
    """Say which bound a schema is beyond, or None where it is within all of them."""
    try:
        size = len(msgspec.json.encode(schema))
        if size > MAX_BYTES:
            return f"format: the schema has {size} bytes as compact JSON, and at most {MAX_BYTES} are taken"
        if _levels(schema) > MAX_LEVELS:
            return f"format: the schema is nested deeper than {MAX_LEVELS} levels"
        choices = sum(_choices(schema))
        if choices > MAX_CHOICES:
            return f"format: the schema has {choices} properties and alternatives, and at most {MAX_CHOICES} are taken"
        if not _WaysOpen(schema).are_few():
            return f"format: the schema's alternatives, $ref and pattern leave more than {MAX_WAYS} ways open at once"
    except RecursionError:
        return f"format: the schema is nested deeper than {MAX_LEVELS} levels"
    return None


def _levels(schema: object) -> int:
    level, inner = 0, [schema]
    while inner and level <= MAX_LEVELS:
        level += 1
        inner = [child for node in inner for child in _children(node)]
    return level


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return list(node.values())
    return list(node) if isinstance(node, list) else []


def _choices(node: object) -> Iterator[int]:
    """Yield the number of properties and alternatives at each place of a schema."""
    if isinstance(node, dict):
        yield sum(len(node[name]) for name in _LISTS if isinstance(node.get(name), list))
        yield len(_properties(node))
    for child in _children(node):
        yield from _choices(child)


def _properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


class _WaysOpen:
    """The ways through a schema that one text can leave open at once.

    Alternatives of different kinds are told apart by one character. Those of one kind stay open side by side, and each
    doubling inside of them doubles them again. A `$ref` that leads back to itself begins at one way; the ways are
    counted until they stay as they are, and those that go on growing have no bound.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._root = schema
        self._before: dict[str, _Ways] = {}
        self._now: dict[str, _Ways] = {}

    def are_few(self) -> bool:
        """Say whether they are at most MAX_WAYS, in the schema and all that it refers to."""
        for _ in range(_ROUNDS):
            self._now = {}
            if _most(self._of(self._root)) > MAX_WAYS:
                return False
            if self._now == self._before:
                return True
            self._before = self._now
        return False

    def _of(self, schema: object) -> _Ways:
        if not isinstance(schema, dict):
            return {"any": 1}
        if isinstance(schema.get("$ref"), str):
            return self._referred(schema["$ref"])
        ways: Counter[str] = Counter()
        for name in ("anyOf", "oneOf", "allOf"):
            for alternative in _list(schema.get(name)):
                _add(ways, self._of(alternative))
        _add(ways, Counter(_kind(type(value).__name__) for value in _list(schema.get("enum"))))
        _add(ways, Counter(_kind(str(name)) for name in _list(schema.get("type"))))
        _add(ways, self._of_its_own(schema))
        return ways

    def _of_its_own(self, schema: Mapping[str, Any]) -> _Ways:
        properties, required = _properties(schema), _list(schema.get("required"))
        inner = [*properties.values(), schema.get("additionalProperties")]
        elements = [schema.get("items"), *_list(schema.get("items")), *_list(schema.get("prefixItems"))]
        pattern = schema.get("pattern")
        ways: Counter[str] = Counter({_kind(str(schema.get("type"))): 1})
        ways["object"] = max(len([name for name in properties if name not in required]), self._most_of(inner))
        ways["array"] = self._most_of(elements)
        if isinstance(pattern, str):
            ways["string"] = pattern_ways(pattern, MAX_WAYS)
        return ways

    def _most_of(self, schemas: list[object]) -> int:
        return max((_most(self._of(schema)) for schema in schemas if isinstance(schema, dict)), default=0)

    def _referred(self, address: str) -> _Ways:
        if address not in self._now:
            self._now[address] = self._before.get(address, {"any": 1})
            self._now[address] = self._of(self._at(address))
        return self._now[address]

    def _at(self, address: str) -> object:
        """Find what a `$ref` refers to; llama.cpp refuses one that leads nowhere, or out of the schema."""
        found: object = self._root
        for name in address.removeprefix("#").split("/")[1:]:
            step = name.replace("~1", "/").replace("~0", "~")
            found = found.get(step) if isinstance(found, dict) else None
        return found


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _kind(name: str) -> str:
    return _KINDS.get(name, name)


def _add(ways: Counter[str], more: _Ways) -> None:
    for kind, count in more.items():
        ways[kind] = min(ways[kind] + count, MAX_WAYS + 1)


def _most(ways: _Ways) -> int:
    return max(ways.values(), default=0)
