"""Gateway: the real gateway as a process of its own, on a free port, in front of a scripted Ollama.

Tests get a factory of these from the fixture `gateway`.
"""

from __future__ import annotations

import json as jsonlib
import os
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import client
from tests.support.client import Reply, StreamClient
from tests.support.command import CLAWGATE
from tests.support.proc import children_of, is_of_a_binary, resources_of
from tests.support.process import ChildProcess
from tests.support.tools import DEADLINE_S, ROOT, wait_for

_REST_S = 0.1
_READY = r"^Server started on (?::(\d+)|(unix:.+))$"
SERVE = (*CLAWGATE, "serve")


class Gateway(ChildProcess):
    """A running gateway. A context manager that ends it, with everything it started.

    Shape: `config` is the nested configuration, written as YAML to `folder`; `server.port` is 0 unless given. The
    constructor returns once the ready line came. `command` is what the `--config` option is added to.
    Errors: AssertionError with the log when the ready line does not come.
    """

    def __init__(
        self,
        config: Mapping[str, Mapping[str, Any]],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = SERVE,
        cwd: Path = ROOT,
        is_ready_awaited: bool = True,
    ) -> None:
        self.config = {**config, "server": {"port": 0, **config.get("server", {})}}
        self.config_file = write_config(self.config, folder)
        self.port = 0
        self.socket = ""
        super().__init__([*command, "--config", str(self.config_file)], cwd=cwd, env=env, name="gateway")
        if is_ready_awaited:
            self.wait_until_ready()

    def __enter__(self) -> Gateway:
        return self

    @property
    def base_url(self) -> str:
        """Its address; "unix:" and a path where it listens there."""
        return self.socket or f"http://127.0.0.1:{self.port}"

    @property
    def worker_pids(self) -> list[int]:
        """The pids of gunicorn's workers, oldest first."""
        return [pid for master in self._master_pids for pid in children_of(master)]

    @property
    def _master_pids(self) -> list[int]:
        """The pid of gunicorn's master: `pid`, or of the binary, which unpacks itself first, its only child."""
        children = children_of(self.pid)
        return children if any(is_of_a_binary(pid) for pid in children) else [self.pid]

    @property
    def worker_pid(self) -> int:
        """The pid of the only worker, once there is one."""
        pids = wait_for(lambda: self.worker_pids, "the gateway has a worker")
        assert len(pids) == 1, f"expected one worker, found {pids}"
        return pids[0]

    @property
    def streams(self) -> int:
        """The number of answers in flight, by its own count."""
        headers = {"Authorization": f"Bearer {self.config['server'].get('auth_token', '')}"}
        return int(self.get("/api/status", headers).json["streams"])

    def wait_until_ready(self, timeout: float = DEADLINE_S) -> None:
        """Wait for the ready line and take the port from it; ends the process when it does not come."""
        try:
            port, self.socket = self.wait_for_line(_READY, timeout, stdout_only=True).groups(default="")
            self.port = int(port or 0)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def terminate(self, timeout: float = DEADLINE_S) -> int:
        """Send SIGTERM, wait for the end, and return the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill_worker(self) -> int:
        """Kill the only worker (SIGKILL), wait for its successor and return the successor's pid."""
        killed = self.worker_pid
        os.kill(killed, signal.SIGKILL)
        return wait_for(lambda: [pid for pid in self.worker_pids if pid != killed], "a new worker is there")[0]

    def resources(self) -> dict[str, int]:
        """Return what the only worker holds now: `threads`, `fds`, `sockets`, `rss_bytes`."""
        return resources_of(self.worker_pid)

    def baseline(self) -> dict[str, int]:
        """Return what the only worker holds once it has booted, answered one request and come to rest.

        The ready line comes before the worker has booted, so `resources` right after it says too little.
        """
        self.get("/healthz")
        return wait_for(self._resting_resources, "the worker's resources stay the same")

    def wait_until_resources_settle(
        self, baseline: Mapping[str, int], *, only: Collection[str] = ("fds", "sockets"), deadline_s: float = DEADLINE_S
    ) -> dict[str, int]:
        """Wait until the worker holds no more than the baseline, and return what it holds.

        Shape: threads are not compared unless asked for: a thread pool grows to its size and stays there.
        """
        held: dict[str, int] = {}

        def has_settled() -> bool:
            held.update(self.resources())
            return all(held[name] <= baseline[name] for name in only)

        try:
            wait_for(has_settled, "the worker's resources settle", deadline_s)
        except AssertionError:
            raise AssertionError(f"the worker holds {held}, the baseline was {dict(baseline)}") from None
        return held

    def stream(self, json: Any = None, **options: Any) -> StreamClient:
        """Ask for a stream; a string is short for `{"message": …}`. Options are `StreamClient`'s."""
        return StreamClient(self.base_url, {"message": json} if isinstance(json, str) else json, **options)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET a path."""
        return client.get(self.base_url, path, headers=headers)

    def post(self, path: str, json: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """POST JSON (or bytes) to a path."""
        return client.post(self.base_url, path, json, headers)

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """DELETE a path."""
        return client.delete(self.base_url, path, headers=headers)

    def _resting_resources(self) -> dict[str, int] | None:
        before = self.resources()
        time.sleep(_REST_S)
        after = self.resources()
        return after if (before["fds"], before["sockets"]) == (after["fds"], after["sockets"]) else None


def write_config(config: Mapping[str, Any], folder: Path) -> Path:
    """Write a configuration file of its own into a folder; JSON's flow style is YAML too."""
    folder.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in folder.glob("config*.yaml"))
    file = folder / f"config{number or ''}.yaml"
    file.write_text(jsonlib.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file
