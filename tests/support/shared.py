"""A gateway that several tests share: it keeps the port of its Ollama, and each test brings an Ollama of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.tools import wait_for

IDLE_S = 5.0
"""The time that the gateway has to end every answer after a test, when each reader has left."""


Config = Mapping[str, Mapping[str, Any]]
"""A configuration by sections, as Gateway takes it."""


@contextmanager
def endpoint() -> Iterator[str]:
    """Hold a port for Ollamas to come, and give its address. It refuses meanwhile, and nobody else gets it."""
    with socket.socket() as holder:  # bound, never listening
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


@contextmanager
def shared_gateway(folder: Path, config: Config) -> Iterator[Gateway]:
    """Run a gateway whose endpoint is held for Ollamas to come; its log, which has no traceback, is printed at the end.

    Errors: AssertionError for a traceback.
    """
    with endpoint() as address:
        model = {"endpoint": address, **config.get("model", {})}
        with Gateway({**config, "model": model}, folder) as gateway:
            yield gateway
            print(f"--- the gateway's log ---\n{gateway.log}")
        assert "Traceback" not in gateway.log, gateway.log


@contextmanager
def ollama_of(gateway: Gateway) -> Iterator[ScriptedOllama]:
    """Put an Ollama behind the gateway; afterwards no answer is in flight, and none is still played.

    Errors: AssertionError for what failed on the Ollama's threads, and where an answer does not end.
    """
    with ScriptedOllama(urlsplit(gateway.config["model"]["endpoint"]).port or 0) as scripted:
        yield scripted
        wait_for(lambda: all(chat.finished.is_set() for chat in scripted.chats), "no chat is left upstream", IDLE_S)
        wait_for(lambda: gateway.streams == 0, "the gateway has no answer in flight", IDLE_S)
    assert not scripted.problems, "the scripted Ollama:\n" + "\n".join(scripted.problems)
