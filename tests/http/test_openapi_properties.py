"""The gateway does what its description says, for right and wrong bodies that are made from it.

schemathesis makes them and judges each answer: there is no 500, no status, type or field that is not described, no
wrong body that is accepted and no right one that is refused.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from clawgate import create_app
from clawgate.web.door.chat_body import PASSED_ON
from clawgate.web.door.naming import SESSION_HEADER
from clawgate.web.door.places import IDEMPOTENCY_KEY, KEY, LAST_EVENT_ID
from clawgate.web.door.reading import MAX_NAME_BYTES
from clawgate.web.door.tools import MAX_NAME_BYTES as MAX_TOOL_BYTES
from tests.http.asking import configured, streams_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, Step, chunk, done, drop, end, error_line, hang, status, text
from tests.support.ollama import thinking as thought
from tests.support.ollama import tool_calls as called
from tests.support.pictures import TINY_GIF
from tests.support.tools import wait_for
from tests.support.tries import TRIES

pytestmark = configured(
    stream={"smoothing_ms": 0, "retry_seconds": 0.2, "stall_seconds": 0.2, "first_frame_seconds": 0.5}
)
schemathesis.openapi.format(
    "byte", st.sampled_from(["", "data:image/gif;base64,"]).map(lambda prefix: prefix + TINY_GIF)
)
schemathesis.openapi.format("json-object", st.sampled_from(["{}", '{"a": [1]}', ""]))


def operations(schema: Any) -> list[Any]:
    """Return all operations of a description."""
    return [found.ok() for found in schema.get_all_operations()]


OPERATIONS = [
    operation
    for operation in operations(schemathesis.openapi.from_wsgi("/openapi.json", create_app()))
    if ("200" in operation.definition.raw["responses"] or "204" in operation.definition.raw["responses"])
    and not operation.path.startswith("/ollama/")
]
"""All but those that are always refused, and those that are the same below `/ollama`."""
PASSED = ("POST /api/show", "POST /api/embed", "POST /api/embeddings")
"""The operations whose bodies are passed on to Ollama; the same readers refuse what is wrong in a chat's."""
CASES = [
    *((operation.label, GenerationMode.POSITIVE) for operation in OPERATIONS),
    *(
        (operation.label, GenerationMode.NEGATIVE)
        for operation in OPERATIONS
        if operation.body and operation.label not in PASSED
    ),
    ("GET /api/sessions/{session_id}", GenerationMode.NEGATIVE),
    ("DELETE /api/sessions/{session_id}", GenerationMode.NEGATIVE),
]


def operation_of(gate: Gateway, label: str) -> Any:
    """Return an operation as the running gateway describes it."""
    schema = schemathesis.openapi.from_dict(gate.get("/openapi.json").json)
    return next(operation for operation in operations(schema) if operation.label == label)


def send(gate: Gateway, case: Any) -> Any:
    """Send a case and judge the answer; a key that is right is a new one, since one in use is refused.

    A session is named in one place: two names would have to be the same. A key stands beside no place: a request that
    comes back is not looked at any further.
    """
    if LAST_EVENT_ID in (case.headers or {}):
        case.headers.pop(IDEMPOTENCY_KEY, None)
    if isinstance(case.body, dict) and "session_id" in case.body:
        (case.headers or {}).pop(SESSION_HEADER, None)
    if KEY.fullmatch((case.headers or {}).get(IDEMPOTENCY_KEY, "")):
        case.headers[IDEMPOTENCY_KEY] = str(uuid.uuid4())
    response = case.call(base_url=gate.base_url, headers={"Connection": "close"}, timeout=20)
    case.validate_response(response)
    return response


def longest_name(value: Any) -> int:
    """Return the length of the longest name in a body, in bytes as they are sent."""
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    names = [len(json.dumps(name)) for name in value] if isinstance(value, dict) else []
    return max([0, *names, *map(longest_name, inner)])


def is_within_bounds(body: Any) -> bool:
    """Tell whether a body keeps the limits in bytes, which no schema says: those of names, and of a called tool's."""

    def names_in(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (name for key, name in value.items() if key == "name" and isinstance(name, str))
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from names_in(inner)

    return longest_name(body) <= MAX_NAME_BYTES and all(
        len(json.dumps(name)) <= MAX_TOOL_BYTES for name in names_in(body)
    )


@pytest.mark.parametrize(("label", "mode"), CASES)
def test_whatever_is_sent_the_answer_is_as_described(
    gate: Gateway, upstream: ScriptedOllama, label: str, mode: GenerationMode
) -> None:
    upstream.default(thought("hm"), text("春"), called([{"function": {"name": "f", "arguments": {}}}]), done())
    operation = operation_of(gate, label)

    @settings(
        max_examples=max(TRIES, 20),
        deadline=None,
        database=None,
        derandomize=not TRIES,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def judge(case: Any) -> None:
        if is_within_bounds(case.body):
            send(gate, case)

    judge()
    for chat in upstream.chats:
        assert set(chat.json) <= {"model", "messages", "stream", *PASSED_ON}
        assert (chat.json["model"], chat.json["stream"]) == ("qwen3:32b", True)
    wait_for(lambda: streams_of(gate) == 0, "no answer is left in flight")


ENDS: dict[str, tuple[Step, ...]] = {
    "stop": (text("a"), done()),
    "cut": (text("a"), end()),
    "error": (error_line("out of memory"),),
    "late error": (text("a"), error_line("out of memory")),
    "dropped": (drop(),),
    "silent": (hang(),),
    "stalled": (text("a"), hang()),
    "bad frames": (chunk(b"x\nx\nx\n"), end()),
    "busy": (status(503, {"error": "queue is full"}),),
    "missing": (status(404, {"error": "model 'x' not found"}),),
    "refused": (status(400, {"error": "bad"}),),
}


@pytest.mark.parametrize("is_streamed", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("name", ENDS)
def test_however_ollama_fails_the_answer_is_as_described(
    gate: Gateway, upstream: ScriptedOllama, name: str, is_streamed: bool
) -> None:
    upstream.default(*ENDS[name])
    operation = operation_of(gate, "POST /api/chat")
    case = operation.Case(body={"message": "hi", "stream": is_streamed}, media_type="application/json")
    response = case.call(base_url=gate.base_url, headers={"Connection": "close"}, timeout=20)
    case.validate_response(response, excluded_checks=[schemathesis.checks.not_a_server_error])
    assert response.status_code == (200 if is_streamed or name in ("stop", "cut") else response.status_code)
    assert response.status_code != 500
