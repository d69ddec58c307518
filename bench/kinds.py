"""The ways in which a target is asked and answers: clawgate's SSE, Ollama's raw NDJSON, OpenAI's SSE.

`follow` asks clawgate for nothing new: it reads the answer of a session that is in flight.

A kind says how a request looks as bytes and by which marks an event and an end are known. Marks are searched for in
the raw bytes: parsing the JSON of 20,000 frames a second would make the load generator the slowest part.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.script import Script


@dataclass(frozen=True)
class Kind:
    """One wire format. `ends` are the marks of an end; a complete answer has exactly one of them, once."""

    name: str
    path: str
    accept: str
    event: bytes
    ends: tuple[bytes, ...]

    def request(self, script: Script, session: str, host: str, token: str = "", history_bytes: int = 0) -> bytes:
        """Return the whole HTTP request that asks for this answer."""
        if self.name == "follow":
            return f"GET {self.path.format(session)} HTTP/1.1\r\nHost: {host}\r\nAccept: {self.accept}\r\n\r\n".encode()
        messages = [{"role": "user", "content": f"{script.prompt()} go on"}]
        if history_bytes:
            messages.insert(0, {"role": "system", "content": "x" * history_bytes})
        body: dict[str, Any] = {"messages": messages, "stream": True}
        if self.name == "clawgate":
            body["session_id"] = session
        elif self.name == "openai":
            body |= {"model": "qwen3:32b", "user": session}
        else:
            body["model"] = "qwen3:32b"
        return post(self.path, body, host, token, self.accept)


def post(path: str, body: object, host: str, token: str = "", accept: str = "application/json") -> bytes:
    """Return a POST of JSON as bytes, on a connection that stays open."""
    data = json.dumps(body).encode()
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{bearer}Accept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    ).encode() + data


_DONE = (b'"done":true', b'"done": true')
KINDS = {
    kind.name: kind
    for kind in (
        Kind("clawgate", "/api/chat", "text/event-stream", b"data: ", _DONE),
        Kind("follow", "/api/sessions/{}/stream", "text/event-stream", b"data: ", _DONE),
        Kind("ndjson", "/api/chat", "application/x-ndjson", b"\n", _DONE),
        Kind("openai", "/v1/chat/completions", "text/event-stream", b"data: ", (b"data: [DONE]",)),
    )
}
