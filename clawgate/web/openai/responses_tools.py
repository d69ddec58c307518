"""The `tools` of a response, written as Ollama's, and the two names of a function that stands in a namespace.

Codex declares all of its tools in each request: functions, namespaces of functions (one for each MCP server), and
tools of other kinds (`web_search`, `custom`), which are left out, since nothing here runs them. Ollama knows a function
by one name, so a namespace's function has both names in one there; a call is told with both apart, by which Codex finds
the function.
Source: OpenAI API reference, "Create a model response", `tools`; Ollama openai/responses.go, convertTools.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from msgspec import Raw

from clawgate.errors import BadRequest
from clawgate.web.door import shapes
from clawgate.web.door.parts import shown
from clawgate.web.door.reading import Members
from clawgate.web.door.shapes import Fields
from clawgate.web.door.tools import function, listed

BETWEEN = "__"
"""Stands between a namespace and a name: models and templates take a dot for something else."""
EXPECTED = {
    "tools": "a list of tools",
    "tools[]": 'an object like {"type": "function", "name": "…", "parameters": {…}}',
    "tools[].tools": "a list of functions",
    "tools[].tools[]": 'an object like {"type": "function", "name": "…", "parameters": {…}}',
    "type": '"function" (only tools that the client runs are known here)',
    "description": "a text",
    "parameters": "a JSON schema",
}
"""The words for what a field of a tool should have been, in a refusal."""


FUNCTION = {
    "type": "object",
    "properties": {
        "type": {"const": "function"},
        "name": {"type": "string", "minLength": 1},
        "description": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"]},
    },
    "required": ["type", "name"],
}
SCHEMA = {
    "anyOf": [
        FUNCTION,
        {
            "type": "object",
            "properties": {
                "type": {"const": "namespace"},
                "name": {"type": "string", "minLength": 1},
                "tools": {"type": "array", "items": FUNCTION},
            },
            "required": ["type", "name", "tools"],
        },
    ]
}
"""A tool as JSON Schema; one of another kind is taken beside these."""


class Qualified(NamedTuple):
    """A function's name, and the namespace in which it stands."""

    namespace: str
    name: str


class Tools(NamedTuple):
    """The functions in Ollama's form, and the namespaces of some of them, by the names that the model knows."""

    listed: Raw | tuple[()] = ()
    qualified: Mapping[str, Qualified] = MappingProxyType({})


class _Function(NamedTuple):
    """A function as it was declared; `namespace` is empty for one that stands alone."""

    given: Members
    path: str
    namespace: str


def known_name(namespace: str, name: str) -> str:
    """Return the name by which the model knows a namespace's function."""
    return f"{namespace.removesuffix(BETWEEN)}{BETWEEN}{name}"


def read_tools(value: Raw, path: str, fields: Fields) -> Tools:
    """Read the tools of a request: its functions.

    Errors: BadRequest, also where there are tools and none of them is a function: that one is asked for.
    """
    others: list[BadRequest] = []
    declared = list(_declared(value, path, fields, others))
    if others and not declared:
        raise others[0]
    qualified: dict[str, Qualified] = {}
    written = []
    for given, where, namespace in declared:
        name = shapes.name(given, "name", where, fields)
        if namespace:
            own = _short_text(name, f"{where}name", fields)
            known = known_name(namespace, own)
            qualified[known] = Qualified(namespace, own)
            name = Raw(msgspec.json.encode(known))
        written.append(_written(given, name, where, fields))
    return Tools(listed(written), qualified)


def _declared(
    value: Raw, path: str, fields: Fields, others: list[BadRequest], namespace: str = ""
) -> Iterator[_Function]:
    """Yield the functions, also those of namespaces; for a tool of another kind, note the refusal."""
    for index, each in enumerate(shapes.items(value, path, fields)):
        where = f"{path}[{index}]"
        given = shapes.members(each, where, fields)
        where += "."
        kind = _short_text(shapes.required(given, "type", "str", where, fields), f"{where}type", fields)
        if kind == "function":
            yield _Function(given, where, namespace)
        elif kind == "namespace" and not namespace:
            name = _short_text(shapes.name(given, "name", where, fields), f"{where}name", fields)
            inner = shapes.required(given, "tools", "array", where, fields)
            yield from _declared(inner, f"{where}tools", fields, others, name)
        else:
            others.append(fields.wrong(f"{where}type", f'"{shown(kind)}"'))


def _written(given: Members, name: Raw, path: str, fields: Fields) -> bytes:
    described = {
        member: shapes.required(given, member, kind, path, fields)
        for member, kind in (("description", "str"), ("parameters", "object"))
        if member in given and not shapes.is_null(given[member])
    }
    return function(name, described.get("description"), described.get("parameters"))


_short_text = shapes.short(str)
