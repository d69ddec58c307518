"""`GET /openapi.json`: the API described from its own parts: routes, body types, the error tree, the settings.

The document names neither models nor addresses, so it wants no token.
Source: OpenAPI 3.1.1; JSON Schema 2020-12.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
from flask import Blueprint, Response, current_app, request
from werkzeug.routing import Rule

from clawgate import errors
from clawgate.config import ServerConfig
from clawgate.config.options import SCHEMA as OPTIONS
from clawgate.errors import ClawgateError
from clawgate.web.api import answers
from clawgate.web.described.operations import EITHER, NULL, OPERATIONS, Operation
from clawgate.web.door.accepting import EVENT_STREAM
from clawgate.web.door.guard import is_open
from clawgate.web.door.hosts import Hosts
from clawgate.web.door.images import SCHEMA as IMAGES
from clawgate.web.door.naming import SESSION_ID
from clawgate.web.door.reading import JSON
from clawgate.web.door.responses import TOKEN_HEADER, Failed
from clawgate.web.ollama.answers import OllamaFailed

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
"""The methods that are described: HEAD is GET without a body, OPTIONS answers a CORS preflight."""
VERSION = "1"
"""The version of the API; clawgate's own is not public."""
COMPONENTS = "#/components/schemas/"
PARAMETERS = {
    "session_id": {"type": "string", "pattern": f"^{SESSION_ID.pattern}$"},
    "filename": {"type": "string"},
    "model": {"type": "string"},
    "digest": {"type": "string"},
    "version": {"type": "string"},
}
TOKEN: dict[str, dict[str, str]] = {
    "token": {"type": "http", "scheme": "bearer"},
    "tokenHeader": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
}
"""The two ways to give the token; either will do."""
EVENT = {
    "description": "Each event; an error's has the type `error`, a ping has no id.",
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["message", "error"]},
        "data": {"type": "string", "contentMediaType": JSON, "contentSchema": {"$ref": COMPONENTS + "Event"}},
    },
    "required": ["data"],
}


class OpenApiRoutes:
    """`GET /openapi.json`."""

    def __init__(self, server: ServerConfig, hosts: Hosts) -> None:
        self._server = server
        self._hosts = hosts
        self._last = (("", ""), b"")

    def install(self, blueprint: Blueprint) -> None:
        """Add the route to the blueprint."""
        blueprint.add_url_rule("/openapi.json", "openapi", self.openapi)

    def openapi(self) -> Response:
        """Describe this API."""
        ours, root = f"{request.blueprint}.", request.script_root
        place, document = self._last
        if place != (ours, root):  # some 10 ms of CPU for a document that is the same at one place
            rules = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint.startswith(ours)]
            document = msgspec.json.encode(describe(rules, self._server, self._hosts, root))
            self._last = ((ours, root), document)
        return Response(document, mimetype=JSON)


def describe(rules: list[Rule], server: ServerConfig, hosts: Hosts, root: str = "") -> dict[str, Any]:
    """Describe these routes as a gateway with these settings answers them, as an OpenAPI document."""
    types = sorted(set(_types()), key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(types, ref_template=COMPONENTS + "{name}")
    schemas = _plain(components)
    for name, either in EITHER.items():
        schemas[name]["anyOf"] = either
    del schemas["Message"]["additionalProperties"]  # the start event names others in `ignored`
    members = schemas["Message"]["properties"]
    members["images"] |= IMAGES
    members |= {name: {"anyOf": [schema, NULL]} for name, schema in members.items() if name != "role"}
    schemas["GenerateBody"]["properties"]["images"]["anyOf"][0] |= IMAGES
    schemas["Options"] |= OPTIONS
    schemas["Event"] = {"oneOf": [{"$ref": COMPONENTS + kind.__name__} for kind in answers.EVENTS]}
    paths: dict[str, Any] = {}
    told: set[str] = set()
    for rule in sorted(rules, key=lambda rule: rule.rule):
        if _name_of(rule) not in OPERATIONS:  # the blueprint's owner has added it
            continue
        for method in sorted(set(METHODS) & (rule.methods or set())):
            path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
            operation = _operation(rule, server, hosts)
            if operation["operationId"] in told:
                operation["operationId"] += "_below_ollama"
            told.add(operation["operationId"])
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.1",
        "info": {"title": "clawgate", "version": VERSION},
        "servers": [{"url": root or "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": schemas,
            "securitySchemes": TOKEN if server.auth_token else {},
        },
    }


def _types() -> Iterator[type[msgspec.Struct]]:
    for operation in OPERATIONS.values():
        kinds = [each for given in operation.answers.values() for kind in given.values() for each in _each(kind)]
        yield from filter(_is_struct, (operation.body, *kinds, *operation.failed))


def _each(kind: Any) -> tuple[Any, ...]:
    """Return the alternatives of a type."""
    return kind if isinstance(kind, tuple) else (kind,)


def _is_struct(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, msgspec.Struct)


def _name_of(rule: Rule) -> str:
    return str(rule.endpoint).rpartition(".")[2]


def _operation(rule: Rule, server: ServerConfig, hosts: Hosts) -> dict[str, Any]:
    name = _name_of(rule)
    operation = OPERATIONS[name]
    raised = [*operation.errors, errors.Forbidden, errors.InternalError]
    described: dict[str, Any] = {"operationId": name}
    doc = inspect.getdoc(current_app.view_functions[rule.endpoint])
    described["summary"] = (doc or "").partition("\n")[0]
    in_path = [
        {"name": argument, "in": "path", "required": True, "schema": PARAMETERS[argument]}
        for argument in sorted(rule.arguments)
    ]
    if in_path or operation.parameters:
        described["parameters"] = [*in_path, *operation.parameters]
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {JSON: {"schema": _schema(operation.body)}}}
    if server.auth_token is not None and not is_open(rule.endpoint):
        described["security"] = [{name: []} for name in TOKEN]
        raised.append(errors.Unauthorized)
    if hosts.is_checked:
        raised.append(errors.UntrustedHost)
    described["responses"] = dict(sorted({**_failures(raised, operation), **_successes(operation)}.items()))
    return described


def _successes(operation: Operation) -> dict[str, Any]:
    responses = {}
    for status, given in operation.answers.items():
        content = {media: {} if kind is None else {"schema": _sent(kind, media)} for media, kind in given.items()}
        whole = [kind for media, kind in given.items() if media != EVENT_STREAM]
        kinds = dict.fromkeys(each for kind in whole for each in _each(kind))
        descriptions = [kind.__doc__ or "" for kind in kinds if _is_struct(kind)]
        responses[str(status)] = {"description": " ".join(descriptions) or "As asked."} | (
            {"content": content} if given else {}
        )
    return responses


def _failures(raised: list[type[ClawgateError]], operation: Operation) -> dict[str, Any]:
    """Describe the errors by their status; Ollama's own may come with any other."""

    def status_of(kind: type[ClawgateError]) -> int:
        return operation.statuses.get(kind, kind.status)

    responses = {}
    for status, kinds in groupby(sorted(raised, key=lambda kind: (status_of(kind), kind.code)), status_of):
        codes = [kind.code for kind in kinds]
        ours = {"$ref": COMPONENTS + "Failed", "properties": {"error": {"properties": {"code": {"enum": codes}}}}}
        forms = [ours if form is Failed else _schema(form) for form in operation.failed]
        responses[str(status)] = {"description": ", ".join(codes), "content": {JSON: {"schema": _any_of(forms)}}}
    if operation.failed[-1] is OllamaFailed:
        form = _schema(OllamaFailed)
        responses["default"] = {"description": "As Ollama refuses.", "content": {JSON: {"schema": form}}}
    return responses


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _sent(kind: Any, media: str) -> dict[str, Any]:
    """Describe what is sent: an event of a stream, or a document; each line of Ollama's stream is one."""
    if kind is answers.EVENTS:
        return EVENT
    return _events(kind) if media == EVENT_STREAM else _schema(kind)


def _schema(kind: Any) -> dict[str, Any]:
    if isinstance(kind, tuple):
        return _any_of([_schema(each) for each in kind])
    schema: dict[str, Any] = msgspec.json.schema(kind, ref_template=COMPONENTS + "{name}")
    return {name: value for name, value in schema.items() if name != "$defs"}


def _events(kinds: tuple[type[msgspec.Struct] | str, ...]) -> dict[str, Any]:
    """Describe a stream of another API's events: a type's tag is the event's name, and a text is data as it is."""
    structs = [kind for kind in kinds if not isinstance(kind, str)]
    content = {"oneOf": [{"$ref": COMPONENTS + kind.__name__} for kind in structs]}
    data: dict[str, Any] = {"type": "string", "contentMediaType": JSON, "contentSchema": content}
    texts = [kind for kind in kinds if isinstance(kind, str)]
    properties: dict[str, Any] = {"data": {"anyOf": [{"enum": texts}, data]} if texts else data}
    names = [kind.__struct_config__.tag for kind in structs if kind.__struct_config__.tag]
    if names:
        properties["event"] = {"enum": names}
    return {
        "description": "Each event; its type is that of its data.",
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
    }


def _plain(schema: Any) -> Any:
    r"""Rewrite patterns for JSON Schema, where \A and \Z are letters, and put docstrings on one line."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _plain(value) for name, value in schema.items()}
    if {} in plain.get("anyOf", ()):  # a msgspec.Raw: the JSON of one of the others
        others = [each for each in plain.pop("anyOf") if each != {}]
        plain |= others[0] if len(others) == 1 else {"anyOf": others}
    if isinstance(plain.get("pattern"), str):
        plain["pattern"] = plain["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    if isinstance(plain.get("description"), str):
        plain["description"] = " ".join(plain["description"].split("\n\n")[0].split())
    return plain
