"""The wire formats, as a table: how each is asked, and where its errors have their words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.support.client import StreamClient
from tests.support.gateway import Gateway

USER = [{"role": "user", "content": "hi"}]


class Format(NamedTuple):
    """A way to ask: its address, its body without model and stream, and where its errors have their words."""

    path: str
    body: dict[str, Any]
    words: Callable[[Any], str]
    headers: Mapping[str, str] = MappingProxyType({})

    def ask(self, gate: Gateway, **more: Any) -> StreamClient:
        """Ask for a stream."""
        headers = {**self.headers, **more.pop("headers", {})}
        body = {"model": "qwen3:32b", "stream": True, **self.body, **more}
        return StreamClient(gate.base_url, body, path=self.path, headers=headers)


def ollamas(error: Any) -> str:
    assert error.keys() == {"error"}, error
    assert isinstance(error["error"], str), error
    return str(error["error"])


def openais(error: Any) -> str:
    assert error.keys() == {"error"}, error
    assert error["error"].keys() == {"message", "type", "param", "code"}, error
    return str(error["error"]["message"])


def anthropics(error: Any) -> str:
    assert error.keys() == {"type", "error"}, error
    assert error["type"] == "error", error
    assert error["error"].keys() - {"details"} == {"type", "message"}, error
    return str(error["error"]["message"])


def ours(error: Any) -> str:
    assert error["error"].keys() == {"code", "message"}, error
    return str(error["error"]["message"])


NDJSON = {"Accept": "application/x-ndjson"}
FORMATS = {
    "ours": Format("/api/chat", {"messages": USER}, ours),
    "ollama-chat": Format("/api/chat", {"messages": USER}, ollamas, NDJSON),
    "ollama-chat-below": Format("/ollama/api/chat", {"messages": USER}, ollamas),
    "ollama-generate": Format("/api/generate", {"prompt": "hi"}, ollamas),
    "openai-chat": Format("/v1/chat/completions", {"messages": USER}, openais),
    "openai-responses": Format("/v1/responses", {"input": "hi"}, openais),
    "anthropic": Format("/v1/messages", {"messages": USER, "max_tokens": 100}, anthropics),
}
FOREIGN = {name: given for name, given in FORMATS.items() if name != "ours"}
every = pytest.mark.parametrize("wire", FORMATS.values(), ids=FORMATS)
every_foreign = pytest.mark.parametrize("wire", FOREIGN.values(), ids=FOREIGN)
