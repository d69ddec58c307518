"""The schemas of a `format` that the embedded model takes, and those that would hold the engine."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from clawgate.embedded.api import ChatRequest, Refused, job_of, read_body
from clawgate.embedded.pattern import pattern_ways
from clawgate.embedded.schema import MAX_BYTES, MAX_CHOICES, MAX_LEVELS, MAX_WAYS, fault

Schema = dict[str, Any]


def optional(count: int) -> Schema:
    """Return an object with so many properties that may be absent."""
    return {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(count)}}


def nested(levels: int) -> Schema:
    """Return a schema of so many levels, the innermost value included."""
    schema: Schema = {}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


def padded(size_bytes: int) -> Schema:
    """Return a schema of exactly so many bytes of compact JSON."""
    return {"description": "x" * (size_bytes - len('{"description":""}'))}


def doubling(count: int) -> Schema:
    """Return definitions of which each refers twice to the one before: two to the power of count ways."""
    definitions: Schema = {"x0": {"type": "integer"}}
    for number in range(count):
        inner = {"type": "array", "items": {"$ref": f"#/$defs/x{number}"}}
        definitions[f"x{number + 1}"] = {"anyOf": [inner, inner]}
    return {"$defs": definitions, "$ref": f"#/$defs/x{count}"}


def text(pattern: str) -> Schema:
    """Return the schema of a text with that pattern."""
    return {"type": "string", "pattern": pattern}


NODE = {"$ref": "#/$defs/a~1node"}
LIST_OF_TWO_KINDS = {
    "$defs": {"a/node": {"type": "object", "properties": {"next": {"anyOf": [NODE, {"type": "null"}]}, "all": {}}}},
    **NODE,
}
TREE = {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "name": {"type": ["string", "null"]}}}
AMBIGUOUS = {
    "$defs": {"a/node": {"oneOf": [{"type": "array", "items": NODE}, {"items": NODE}, {"type": "array"}]}},
    **NODE,
}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        padded(MAX_BYTES),
        nested(MAX_LEVELS),
        optional(MAX_WAYS),
        {**optional(MAX_CHOICES), "required": [f"p{number}" for number in range(MAX_CHOICES)]},
        {"enum": list(range(MAX_WAYS))},
        doubling(8),
        LIST_OF_TWO_KINDS,
        TREE,
        {"$ref": "#"},
        {"$ref": "https://example.com/schema"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 100_000},  # llama.cpp has bounds of its own
        {"type": "string", "maxLength": 2000},
        text(r"^\d{4}-\d{2}-\d{2}$"),
        text(r"^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$"),
        text(r"^[^@]+@[^@]+\.[^@]+$"),
        text(r"^[a-z0-9]+(-[a-z0-9]+)*$"),
    ],
)
def test_schemas_within_the_bounds_are_taken(schema: Schema) -> None:
    assert fault(schema) is None


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (padded(MAX_BYTES + 1), "has 16385 bytes as compact JSON, and at most 16384"),
        (nested(MAX_LEVELS + 1), "nested deeper than 64 levels"),
        ({"anyOf": [optional(300), optional(99)]}, "has 401 properties and alternatives, and at most 400"),
        ({"type": ["string"] * 401}, "has 401 properties and alternatives"),
        (optional(MAX_WAYS + 1), "more than 256 ways open"),
        ({"items": [{"prefixItems": [{"enum": list(range(MAX_WAYS + 1))}]}]}, "more than 256 ways open"),
        ({"additionalProperties": {"oneOf": [optional(200), optional(100)]}}, "more than 256 ways open"),
        (doubling(9), "more than 256 ways open"),
        (AMBIGUOUS, "more than 256 ways open"),
        (text("^(.*){100}$"), "more than 256 ways open"),
        (text("^(a?){2000}$"), "more than 256 ways open"),
        ({"allOf": [{"properties": {"a": text(".*" * 9)}}]}, "more than 256 ways open"),
    ],
)
def test_schemas_beyond_a_bound_are_refused_with_the_field_and_the_bound(schema: Schema, words: str) -> None:
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "format": schema}
    with pytest.raises(Refused, match=f"^format: the schema.*{words}") as refused:
        job_of(read_body(msgspec.json.encode(body), ChatRequest))
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("pattern", "ways"),
    [
        ("", 1),
        (r"a\+[+*?{]+\{9}", 2),
        ("a|b|c", 3),
        ("(a|b)(?:c|d)x", 4),
        ("a{3}b{0,4}", 5),
        ("a{2,}", 2),
        ("a{,3}", 4),
        ("(a|b){3}", 8),
        ("(a+)+", 8),
        ("((a|b", 2),
        (")(", 1),
        ("a{0,99999999999999999999999}", 257),
        ("a{9,2}", 1),
        ("(a?){8}", 256),
        ("(a?){9}", 257),
        ("(" * 5000 + "a?" + ")" * 5000, 2),
    ],
)
def test_ways_through_a_pattern_are_counted_or_overestimated(pattern: str, ways: int) -> None:
    assert pattern_ways(pattern, 256) == ways


@pytest.mark.parametrize(
    "schema",
    [
        text("(a{9}?|" * 2000),
        text("[" * 16000),
        text("{" + "1" * 16000),
        text("\\[" * 8000 + "\\"),
        {"$defs": {f"x{n}": {"$ref": f"#/$defs/x{n + 1}"} for n in range(450)}, "$ref": "#/$defs/x0"},
        {"$defs": {f"x{n}": {"items": {"$ref": f"#/$defs/x{n + 1}"}} for n in range(300)}, "$ref": "#/$defs/x0"},
        nested(900),
    ],
)
def test_the_look_at_a_schema_is_short_itself(schema: Schema) -> None:
    began = time.process_time()
    fault(schema)
    assert time.process_time() - began < 1.0
