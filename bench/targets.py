"""Starts what is measured: the scripted Ollama, clawgate, the naive relay, nginx; or names a program by its URL.

Everything listens on loopback, on a port that was free. clawgate is started as its users start it, by its command.
"""

from __future__ import annotations

import json
import shutil
import socket
import string
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.answers import Address
from bench.child import Child, python
from bench.kinds import KINDS
from bench.proc import Usage, usage

PROGRAMS = ("clawgate", "naive", "nginx")
NGINX_PLACES = "/usr/sbin:/usr/local/sbin:/sbin:/usr/bin:/usr/local/bin"


@dataclass(frozen=True)
class Target:
    """A program under test. Without a process (pid 0), as one that only a URL names, its CPU is not known.

    beside_pid: the process of a service that it uses, whose CPU is counted apart.
    """

    name: str
    address: Address
    pid: int = 0
    child: Child | None = None
    beside_pid: int = 0

    def check(self) -> None:
        """Raise RuntimeError, with the end of its log, when a program that was started here is no longer there."""
        if self.child is not None and self.child.process.poll() is not None:
            raise RuntimeError(self.child.trouble("ended while it was measured"))

    def usage(self) -> Usage:
        """Read what it has used so far."""
        return usage(self.pid) if self.pid else Usage()


@dataclass(frozen=True)
class Redis:
    """A running redis-server, and its address as `session.redis_url` has it."""

    url: str
    pid: int


class Bed:
    """The test bed: the upstream, and the programs started beside it.

    Always holds: leaving its `with` block (made by `bed`) ends every one of them and removes their files.
    """

    def __init__(self, stack: ExitStack, folder: Path, port: int) -> None:
        self._stack, self.folder = stack, folder
        self.upstream = self._start("upstream", python("bench.upstream", "--port", str(port)))
        self.upstream_url = f"http://127.0.0.1:{self.upstream.wait_for_port()}"

    @contextmanager
    def fresh(self) -> Iterator[None]:
        """End with the `with` block what is started inside it; the upstream goes on."""
        outer = self._stack
        with ExitStack() as inner:
            self._stack = inner
            try:
                yield
            finally:
                self._stack = outer

    def start(self, name: str, streams: int, settings: dict[str, Any]) -> Target:
        """Start a program of that name (clawgate, naive, nginx) with room for so many streams.

        Shape: settings are clawgate's own, as ``{"stream.smoothing_ms": 50}``.
        """
        if name == "naive":
            return self._naive(streams)
        return self._nginx() if name == "nginx" else self.clawgate(streams, settings)

    def clawgate(
        self, streams: int, settings: dict[str, Any], endpoint: str = "", name: str = "clawgate", beside_pid: int = 0
    ) -> Target:
        """Start clawgate with `python -m clawgate serve`; several at a time need a name each."""
        keys = {"model.endpoint": endpoint or self.upstream_url, "server.port": 0, "server.max_streams": streams}
        keys |= {"logging.level": "warning"} | settings
        config = self.folder / f"{name}.yaml"
        config.write_text(_as_yaml(keys))
        child = self._start(name, python("clawgate", "serve", "--config", str(config)))
        return _listening(name, "clawgate", child.wait_for_port(), child, beside_pid)

    def redis(self) -> Redis:
        """Start a redis-server that writes nothing to the disk.

        Errors: RuntimeError where none is installed.
        """
        program, port = shutil.which("redis-server"), _free_port()
        if program is None:
            raise RuntimeError("redis-server is not installed")
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(self.folder)]
        child = self._start("redis", [program, *where, "--save", "", "--appendonly", "no"])
        _wait_until_connectable(port, child)
        return Redis(f"redis://127.0.0.1:{port}/0", child.pid)

    def ask(self, path: str) -> Any:
        """Ask the upstream for one of its own paths."""
        with urllib.request.urlopen(f"{self.upstream_url}{path}", timeout=10) as response:
            return json.load(response)

    def wait_until_idle(self, seconds: float = 15.0) -> None:
        """Wait until the upstream has no answer in flight, as after a target that could not keep up."""
        deadline = time.monotonic() + seconds
        while self.ask("/bench/stats")["answering"] and time.monotonic() < deadline:
            time.sleep(0.1)

    def _naive(self, streams: int) -> Target:
        command = python("gunicorn", "-c", "python:bench.peers.naive_conf", "bench.peers.naive:app")
        child = self._start("naive", command, {"OLLAMA": self.upstream_url, "THREADS": str(streams + 8)})
        return _listening("naive", "clawgate", child.wait_for_port(), child)

    def _nginx(self) -> Target:
        program, folder, port = nginx(), self.folder / "nginx", _free_port()
        if program is None:
            raise RuntimeError("nginx is not installed; leave it out with --only")
        folder.mkdir(exist_ok=True)
        template = string.Template((Path(__file__).parent / "peers" / "nginx.conf").read_text())
        config = folder / "nginx.conf"
        config.write_text(template.substitute(folder=folder, port=port, upstream=self.upstream_url))
        child = self._start("nginx", [program, "-p", str(folder), "-e", "stderr", "-c", str(config)])
        _wait_until_connectable(port, child)
        return _listening("nginx", "ndjson", port, child)

    def _start(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> Child:
        return self._stack.enter_context(Child(name, command, self.folder, environment))


@contextmanager
def bed(port: int = 0) -> Iterator[Bed]:
    """Start the upstream on that port (0: a free one) and end everything afterwards."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clawgate-bench-"))
        yield Bed(stack, Path(folder), port)


def nginx() -> str | None:
    """Find nginx, which for many users is not on the path."""
    return shutil.which("nginx") or shutil.which("nginx", path=NGINX_PLACES)


def parse_settings(words: list[str]) -> dict[str, Any]:
    """Read clawgate's settings from words such as ``stream.smoothing_ms=50``."""
    settings: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _as_yaml(keys: dict[str, Any]) -> str:
    sections: dict[str, dict[str, Any]] = {}
    for key, value in keys.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return json.dumps(sections, indent=2) + "\n"  # JSON is YAML


def _listening(name: str, kind: str, port: int, child: Child, beside_pid: int = 0) -> Target:
    return Target(name, Address(KINDS[kind], "127.0.0.1", port), child.pid, child, beside_pid)


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_until_connectable(port: int, child: Child) -> None:
    while child.is_starting():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(child.trouble("did not start"))
