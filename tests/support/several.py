"""Several: gateways of several workers each, as processes of their own, on one Redis."""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import client
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama
from tests.support.redis import RedisServer


class Several:
    """Gateways that share their sessions; a door is the address of one of them, or of what stands before them.

    Shape: `stream`, `session` and `server` are sections of the configuration, beside what all of them need.
    """

    def __init__(
        self,
        redis: RedisServer,
        ollama: ScriptedOllama,
        folder: Path,
        *,
        gateways: int = 2,
        workers: int = 2,
        **sections: dict[str, Any],
    ) -> None:
        self.redis = redis
        self.gateways: list[Gateway] = []
        self._stack = ExitStack()
        config = {
            "model": {"endpoint": ollama.base_url, **sections.get("model", {})},
            "stream": {"smoothing_ms": 0, "stall_seconds": 60, **sections.get("stream", {})},
            "session": {"backend": "redis", "redis_url": redis.url, **sections.get("session", {})},
            "server": {"workers": workers, "graceful_seconds": 1, **sections.get("server", {})},
        }
        try:
            for number in range(gateways):
                self.gateways.append(Gateway(config, folder / f"gateway{number}"))
                self._stack.callback(self._end, self.gateways[-1])
        except BaseException:
            self._stack.close()
            raise
        self.doors = [gateway.base_url for gateway in self.gateways]

    def __enter__(self) -> Several:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def any_door(self, chance: random.Random) -> str:
        """Choose a door."""
        return chance.choice(self.doors)

    def ask(self, body: Any, door: str = "") -> StreamClient:
        """Ask for a stream, at the first door or this one."""
        return StreamClient(door or self.doors[0], body)

    def interrupt(self, session_id: str, door: str = "") -> Reply:
        """Interrupt a session's answer."""
        return client.post(door or self.doors[0], "/api/interrupt", {"session_id": session_id})

    def session(self, session_id: str, door: str = "") -> Reply:
        """Return a session's view."""
        return client.get(door or self.doors[0], f"/api/sessions/{session_id}")

    def workers(self) -> list[int]:
        """Return the pids of all workers."""
        return [pid for gateway in self.gateways for pid in gateway.worker_pids]

    def kill_worker(self, pid: int) -> None:
        """Kill one worker at once."""
        os.kill(pid, signal.SIGKILL)

    @staticmethod
    def _end(gateway: Gateway) -> None:
        gateway.stop(signal.SIGKILL)
        print(f"--- {gateway.name}'s log ---\n{gateway.log}")
