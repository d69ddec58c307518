"""The network between one of two hosts and Redis is cut: nothing comes, and nobody is told. Then it is mended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.http.asking import opening
from tests.support import client
from tests.support.client import StreamClient
from tests.support.gateway import Gateway
from tests.support.netns import OtherMachine
from tests.support.ollama import ScriptedOllama, done, every, text
from tests.support.redis import RedisServer
from tests.support.sse import end_of, text_of
from tests.support.tools import wait_for

FREE_S = 10.0
"""A host that is cut off loses its sessions to the others by then."""
NOTICED_S = 5.0
WORD_S = 0.01
LOST_WORDS = int(1.5 / WORD_S)
"""The words of the second before the cut, on a busy machine."""


def status_of(gateway: Gateway, path: str) -> int:
    """The HTTP status of a GET."""
    return client.get(gateway.base_url, path).status


def session(gateway: Gateway, session_id: str) -> Any:
    """A session's view."""
    return client.get(gateway.base_url, f"/api/sessions/{session_id}").json


def begin(gateway: Gateway, session_id: str) -> StreamClient:
    """Ask, and read the first words."""
    stream = gateway.stream(opening(session_id))
    while not text_of(stream.events):
        assert stream.read_event() is not None
    return stream


def test_a_host_that_is_cut_off_goes_on_alone_and_takes_nothing_from_the_others(
    tmp_path: Path, ollama: ScriptedOllama, gateway: Callable[..., Gateway]
) -> None:
    ollama.default(every(WORD_S, 100_000, lambda index: text(f"w{index} ")), done())
    with (
        OtherMachine() as machine,
        RedisServer(tmp_path / "redis", is_on_a_port=True, host="0.0.0.0", wrapper=machine.wrapper) as redis,
    ):
        here, there = (
            gateway(
                session={"backend": "redis", "redis_url": f"redis://{address}:{redis.port}/0"},
                stream={"smoothing_ms": 0, "stall_seconds": 60},
            )
            for address in machine.addresses
        )
        with begin(there, "cut") as stream, begin(there, "own") as own:
            read_until = time.monotonic() + 1.5
            while time.monotonic() < read_until:
                assert stream.read_event() is not None
            before = text_of(stream.events)
            machine.cut(1)
            cut_at = time.monotonic()
            wait_for(lambda: status_of(there, "/readyz") == 503, "the host notices", NOTICED_S)
            refused = there.post("/api/chat", {"message": "hi"})
            assert (refused.status, refused.json["error"]["code"]) == (503, "session_store_unavailable")
            assert status_of(there, "/healthz") == 200
            asked_at = time.monotonic()
            done_here = there.post("/api/interrupt", {"session_id": "own"}).json
            assert done_here["interrupted"]
            assert time.monotonic() - asked_at < 2.0
            assert end_of(own.read_all())["done_reason"] == "interrupted"
            while len(text_of(stream.events)) < len(before) + 100:
                assert stream.read_event() is not None, "the answer goes on"
            wait_for(lambda: not session(here, "cut")["streaming"], "the session is free", FREE_S)
            print(f"free after {time.monotonic() - cut_at:.1f} s")
            kept = session(here, "cut")["messages"][-1]
            assert kept["interrupted"]
            assert text_of(stream.events).startswith(kept["content"])
            assert len(before.split()) - len(kept["content"].split()) <= LOST_WORDS
            with begin(here, "cut") as second:
                machine.mend(1)
                assert end_of(stream.read_all())["done_reason"] == "superseded"
                wait_for(lambda: status_of(there, "/readyz") == 200, "the host is back", FREE_S)
                reply = there.post("/api/interrupt", {"session_id": "cut"}).json
                second.read_all()
            assert reply["partial"] == text_of(second.events)
            assert session(there, "cut")["messages"] == session(here, "cut")["messages"]
        assert session(here, "own")["messages"][-1]["interrupted"]
