"""Fixtures of the HTTP tests: a real gateway for a whole module, and a scripted Ollama of its own for each test.

A gateway takes half a second to start, so tests that want the same configuration share one:

    pytestmark = configured(stream={"smoothing_ms": 0})

    def test_something(gate: Gateway, upstream: ScriptedOllama) -> None: ...

The gateway keeps the port of its Ollama for its whole life; each test's Ollama comes up on it, and is gone after.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.http.asking import streams_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import wait_for

IDLE_S = 5.0
"""The time that the gateway gets after a test to end every answer. Each reader has left by then."""


@pytest.fixture(scope="module")
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The module's gateway; `configured` says how it is configured."""
    sections: dict[str, dict[str, Any]] = getattr(request, "param", {})
    with socket.socket() as holder:  # bound, never listening: the port refuses, and no other process gets it
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        config = {
            **sections,
            "model": {"endpoint": f"http://127.0.0.1:{holder.getsockname()[1]}", **sections.get("model", {})},
            "server": {"graceful_seconds": 1, **sections.get("server", {})},
        }
        with Gateway(config, tmp_path_factory.mktemp("gate")) as gateway:
            gateway.get("/healthz")
            yield gateway
            gateway.stop(signal.SIGKILL)  # a proper end takes a second; other tests look at that
            print(f"--- the gateway's log ---\n{gateway.log}")
        assert "Traceback" not in gateway.log, gateway.log


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind the module's gateway; afterwards no answer is left in flight and none is still played."""
    port = urlsplit(gate.config["model"]["endpoint"]).port
    with ScriptedOllama(port or 0) as scripted:
        yield scripted
        wait_for(lambda: all(chat.finished.is_set() for chat in scripted.chats), "no chat is left upstream", IDLE_S)
        wait_for(lambda: streams_of(gate) == 0, "the gateway has no answer in flight", IDLE_S)
    assert not scripted.problems, "the scripted Ollama:\n" + "\n".join(scripted.problems)


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:  # noqa: ARG001
    """Name a parametrised gateway by what is configured."""
    if argname != "gate":
        return None
    sections: dict[str, dict[str, object]] = val  # type: ignore[assignment]
    return ",".join(f"{key}={value}" for section in sections.values() for key, value in section.items())
