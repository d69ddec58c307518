"""The table of operations: the body that each handler takes, the types that it answers, the errors that it raises.

`openapi.py` makes the document from it. Tests hold it against every route and against real answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from clawgate import errors
from clawgate.errors import ClawgateError
from clawgate.telemetry.metrics import OPENMETRICS, PLAIN
from clawgate.web.anthropic import answers as anthropic
from clawgate.web.anthropic.errors import AnthropicFailed
from clawgate.web.anthropic.requests import MessagesBody
from clawgate.web.api import answers, sse
from clawgate.web.api.requests import InterruptBody
from clawgate.web.door.accepting import EVENT_STREAM
from clawgate.web.door.chat_body import ChatBody
from clawgate.web.door.naming import SESSION_HEADER, SESSION_ID
from clawgate.web.door.places import IDEMPOTENCY_KEY, LAST_EVENT_ID, PLACE_ID
from clawgate.web.door.places import KEY as KEY_PATTERN
from clawgate.web.door.reading import JSON
from clawgate.web.door.responses import Failed
from clawgate.web.ollama import answers as ollama
from clawgate.web.ollama.frames import MIMETYPE as NDJSON
from clawgate.web.ollama.requests import EmbedBody, EmbeddingsBody, GenerateBody, ShowBody
from clawgate.web.ollama.routes import MANAGED
from clawgate.web.openai import answers as completions
from clawgate.web.openai import responses_events as responses
from clawgate.web.openai.embeddings import EmbeddingBody
from clawgate.web.openai.errors import OpenAIFailed
from clawgate.web.openai.requests import CompletionBody
from clawgate.web.openai.responses_answers import Response
from clawgate.web.openai.responses_requests import ResponseBody
from clawgate.web.pages.render import RenderBody, Rendered

HTML = "text/html; charset=utf-8"


class Operation(NamedTuple):
    """A handler's body and answers: `answers` are types by status and media type, None where there is no type.

    A tuple of types in place of one is a stream of such events, or the alternatives of a document or a line.
    `parameters` are those beside the path's. `failed` has the alternatives of an error's shape. `statuses` are those of
    errors that have another one in this wire format.
    """

    answers: dict[int, dict[str, Any]]
    errors: tuple[type[ClawgateError], ...] = ()
    body: type[msgspec.Struct] | None = None
    parameters: tuple[dict[str, Any], ...] = ()
    failed: tuple[type[msgspec.Struct], ...] = (Failed,)
    statuses: Mapping[type[ClawgateError], int] = MappingProxyType({})


Errors = tuple[type[ClawgateError], ...]
BODY: Errors = (errors.BadRequest, errors.TooLarge, errors.UnsupportedMediaType, errors.Busy)
NO_SESSION: Errors = (errors.UnknownSession, errors.NotFound, errors.SessionStoreUnavailable)
UPSTREAM: Errors = (errors.UpstreamRefused, errors.ShuttingDown, *errors.UpstreamFailure.__subclasses__())
CHAT: Errors = (
    errors.ModelNotAllowed,
    errors.UnknownSession,
    errors.BusySession,
    errors.NothingToContinue,
    errors.CannotContinue,
    errors.SessionStoreUnavailable,
    *UPSTREAM,
)
EVENT_ID = {"type": "string", "pattern": f"^({PLACE_ID.pattern})?$", "examples": ["run_" + 8 * "0a1b" + ":12"]}
PLACE = {"name": LAST_EVENT_ID, "in": "header", "required": False, "schema": EVENT_ID}
AFTER = {"name": "after", "in": "query", "required": False, "schema": EVENT_ID}
KEY = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{KEY_PATTERN.pattern}$"},
}
CALL: Errors = (errors.Busy, *UPSTREAM)
SESSION = {
    "name": SESSION_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{SESSION_ID.pattern}$"},
}


def of_openai(
    given: dict[str, Any],
    raised: Errors,
    body: type[msgspec.Struct] | None = None,
    parameters: tuple[dict[str, Any], ...] = (),
) -> Operation:
    """Describe an operation of OpenAI's API."""
    return Operation({200: given}, raised, body, parameters, (OpenAIFailed,), {errors.ModelNotFound: 404})


OLLAMA = (ollama.OllamaFailed,)
PASSED = Operation({200: {JSON: dict[str, Any]}}, CALL, failed=OLLAMA)
"""A call that is passed through to Ollama, whose answers have a type of its own."""
FILE = Operation({200: {"*/*": None}, 206: {"*/*": None}, 304: {}, 416: {JSON: None}}, (errors.NotFound,))
OPERATIONS = {
    "describe": Operation({200: {JSON: answers.Endpoint}}),
    "chat": Operation(
        {
            200: {
                sse.MIMETYPE: answers.EVENTS,
                JSON: (answers.Whole, ollama.ChatFrame),
                NDJSON: (ollama.ChatFrame, ollama.OllamaFailed),
            },
            204: {},
        },
        (*BODY, *CHAT),
        ChatBody,
        (KEY, PLACE),
        (Failed, ollama.OllamaFailed),
    ),
    "follow": Operation(
        {200: {sse.MIMETYPE: answers.EVENTS}, 204: {}},
        (errors.BadRequest, *NO_SESSION, errors.Busy),
        parameters=(PLACE, AFTER),
    ),
    "anthropic_messages": Operation(
        {200: {EVENT_STREAM: anthropic.EVENTS, JSON: anthropic.AnthropicMessage}},
        (*BODY, *CHAT),
        MessagesBody,
        (SESSION, KEY),
        (AnthropicFailed,),
        {errors.ModelNotFound: 404},
    ),
    "interrupt": Operation(
        {200: {JSON: answers.Interrupted}},
        (*BODY, errors.UnknownSession, errors.SessionStoreUnavailable),
        InterruptBody,
    ),
    "session": Operation({200: {JSON: answers.SessionView}}, (*NO_SESSION, errors.Busy)),
    "forget": Operation({204: {}}, NO_SESSION),
    "openai_chat": of_openai(
        {EVENT_STREAM: completions.EVENTS, JSON: completions.ChatCompletion},
        (*BODY, *CHAT),
        CompletionBody,
        (SESSION, KEY),
    ),
    "openai_responses": of_openai(
        {EVENT_STREAM: responses.EVENTS, JSON: Response}, (*BODY, *CHAT), ResponseBody, (SESSION, KEY)
    ),
    "openai_models": of_openai({JSON: completions.ModelList}, CALL),
    "openai_model": of_openai({JSON: completions.ListedModel}, (*CALL, errors.NotFound, errors.ModelNotFound)),
    "openai_embeddings": of_openai(
        {JSON: completions.EmbeddingList}, (*BODY, errors.ModelNotAllowed, *CALL), EmbeddingBody
    ),
    "status": Operation({200: {JSON: answers.Status}}),
    "healthz": Operation({200: {JSON: answers.Health}}),
    "readyz": Operation({200: {JSON: answers.Ready}, 503: {JSON: answers.NotReady}}),
    "metrics": Operation({200: {PLAIN: str, OPENMETRICS: str}}, (errors.Busy,)),
    "render": Operation({200: {JSON: Rendered}}, BODY, RenderBody),
    "page": Operation({200: {HTML: str}}),
    "setup": Operation({200: {HTML: str}}),
    "openapi": Operation({200: {JSON: dict[str, Any]}}),
    "ollama_generate": Operation(
        {200: {NDJSON: (ollama.GenerateFrame, ollama.OllamaFailed), JSON: ollama.GenerateFrame}, 204: {}},
        (*BODY, *CHAT),
        GenerateBody,
        (KEY, PLACE),
        OLLAMA,
    ),
    "ollama_chat": Operation(
        {200: {NDJSON: (ollama.ChatFrame, ollama.OllamaFailed), JSON: ollama.ChatFrame}, 204: {}},
        (*BODY, *CHAT),
        ChatBody,
        (KEY, PLACE),
        OLLAMA,
    ),
    "ollama_running": Operation({200: {"text/plain; charset=utf-8": str}}, failed=OLLAMA),
    "ollama_tags": PASSED,
    "ollama_ps": PASSED,
    "ollama_version": PASSED,
    "ollama_show": PASSED._replace(errors=(*BODY, errors.ModelNotAllowed, *UPSTREAM), body=ShowBody),
    "ollama_embed": PASSED._replace(errors=(*BODY, errors.ModelNotAllowed, *UPSTREAM), body=EmbedBody),
    "ollama_embeddings": PASSED._replace(errors=(*BODY, errors.ModelNotAllowed, *UPSTREAM), body=EmbeddingsBody),
    **{name: Operation({}, failed=OLLAMA) for name in MANAGED},
    "static": FILE,
    "lasting": FILE,
}
"""The operations by the names of their endpoints."""
NULL = {"type": "null"}
TEXT = {"type": "string"}
NAME = {**TEXT, "minLength": 1}


def _given(**schemas: dict[str, Any]) -> dict[str, Any]:
    return {"properties": schemas, "required": [name for name, schema in schemas.items() if schema != NULL]}


EITHER = {
    "ChatBody": [
        _given(messages={"type": "array"}, message=NULL, **{"continue": NULL}),
        _given(message={"type": ["string", "object"]}, messages=NULL, **{"continue": NULL}),
        _given(session_id=TEXT, messages=NULL, message=NULL, **{"continue": {"const": True}}),
    ],
    "ShowBody": [_given(model=NAME), _given(name=NAME)],
    "InterruptBody": [_given(session_id=TEXT), _given(run_id=TEXT)],
    "RenderBody": [_given(text=TEXT, texts=NULL), _given(texts={"type": "array"}, text=NULL)],
    "Rendered": [_given(html=TEXT), _given(htmls={"type": "array"})],
}
"""The alternatives of a body, which its type does not say: one of them applies. A null counts as absent."""
