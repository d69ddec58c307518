"""Fixtures of the HTTP tests: a real gateway for a whole module, and a scripted Ollama of its own for each test.

A gateway takes half a second to start, so tests that want the same configuration share one:

    pytestmark = configured(stream={"smoothing_ms": 0})

    def test_something(gate: Gateway, upstream: ScriptedOllama) -> None: ...

The gateway keeps the port of its Ollama for its whole life; each test's Ollama comes up on it, and is gone after.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.shared import ollama_of, shared_gateway


@pytest.fixture(scope="module")
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The module's gateway; `configured` says how it is configured."""
    sections: dict[str, dict[str, Any]] = getattr(request, "param", {})
    config = {**sections, "server": {"graceful_seconds": 1, **sections.get("server", {})}}
    with shared_gateway(tmp_path_factory.mktemp("gate"), config) as gateway:
        gateway.get("/healthz")
        yield gateway
        gateway.stop(signal.SIGKILL)  # a proper end takes a second; others test that


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind the module's gateway; afterwards no answer is left in flight and none is still played."""
    with ollama_of(gate) as scripted:
        yield scripted


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:  # noqa: ARG001
    """Name a parametrised gateway by what is configured."""
    if argname != "gate":
        return None
    sections: dict[str, dict[str, object]] = val  # type: ignore[assignment]
    return ",".join(f"{key}={value}" for section in sections.values() for key, value in section.items())
