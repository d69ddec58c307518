"""RedisServer: a real redis-server for a module of tests, which can be restarted, killed and made to hang."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from tests.support.process import ChildProcess
from tests.support.tools import free_port, on_a_free_port, require

if TYPE_CHECKING:
    import redis

LONGEST_SOCKET = 100
"""A Unix socket's path has room for 107 bytes on Linux, and for 103 on macOS."""
OWNER = "user default on nopass ~* &* +@all"


class RedisServer:
    """A running redis-server with a folder of its own. A context manager that ends it.

    is_on_a_port: it listens on a free port of `host`, else on a Unix socket in its folder.
    is_persistent: each write is on the disk before its answer, so that all is there after `restart` and after a kill.
    users: lines of an ACL file, like `user gateway on >secret ~clawgate:* +@all`; without a name in its URL, a client
    may do anything.
    options: further options, like `["--maxmemory", "100mb"]`. wrapper: a command that runs it, like `ip netns exec`.
    Errors: skips (fails in CI) without redis-server; AssertionError with its log when it does not start.
    """

    def __init__(
        self,
        folder: Path,
        *,
        is_on_a_port: bool = False,
        host: str = "127.0.0.1",
        is_persistent: bool = False,
        users: Sequence[str] = (),
        options: Sequence[str] = (),
        wrapper: Sequence[str] = (),
    ) -> None:
        binary = require("redis-server", "the test keeps sessions in a real one")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host
        self.port = 0
        self._clients: list[redis.Redis] = []
        self.socket = folder / "redis.sock"
        if len(str(self.socket)) > LONGEST_SOCKET:
            self.socket = Path(tempfile.mkdtemp(prefix="redis")) / "redis.sock"
        # An end by SIGTERM waits for the next of `hz` ticks.
        self._command = [*wrapper, binary, "--dir", str(folder), "--save", "", "--hz", "100", "--daemonize", "no"]
        self._command += ["--appendonly", "yes", "--appendfsync", "always"] if is_persistent else []
        self._command += ["--aclfile", str(_write_users(folder, users))] if users else []
        self._command += options
        self._child = on_a_free_port(lambda: self._start(free_port() if is_on_a_port else 0))

    def __enter__(self) -> RedisServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its address, as `session.redis_url` has it."""
        return self.url_of()

    def url_of(self, user: str = "", password: str = "") -> str:
        """Return its address for one of its users."""
        who = f"{user}:{password}@" if user or password else ""
        return f"redis://{who}{self.host}:{self.port}/0" if self.port else f"unix://{who}{self.socket}?db=0"

    @property
    def pid(self) -> int:
        """The pid of the server that runs now."""
        return self._child.pid

    @property
    def log(self) -> str:
        """All that the server that runs now has printed."""
        return self._child.log

    def client(self, url: str = "") -> redis.Redis:
        """Return a client of the test's own, which is closed with the server."""
        import redis

        client = redis.Redis.from_url(url or self.url, protocol=2)
        self._clients.append(client)
        return client

    def restart(self, *, is_killed: bool = False) -> None:
        """End the server, by SIGKILL or properly, and start it at the same address; it is empty but for persistence."""
        self.end(is_killed=is_killed)
        self.start()

    def end(self, *, is_killed: bool = False) -> None:
        """End the server, to be started again."""
        self.resume()
        self._child.stop(signal.SIGKILL if is_killed else signal.SIGTERM)

    def start(self) -> None:
        """Start the server that has been ended."""
        self._child = self._start(self.port)

    def pause(self) -> None:
        """Make it hang: the kernel takes connections, and nothing answers."""
        self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Make it go on."""
        if self._child.is_running:
            self._child.signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it for good; its folder stays."""
        for client in self._clients:
            client.close()
        self.end(is_killed=True)
        if self.socket.parent != self.folder:
            shutil.rmtree(self.socket.parent)

    def _start(self, port: int) -> ChildProcess:
        self.port = port
        where = ["--bind", self.host, "--protected-mode", "no"] if port else ["--unixsocket", str(self.socket)]
        child = ChildProcess([*self._command, "--port", str(port), *where], cwd=self.folder, name="redis-server")
        try:
            child.wait_for_line("eady to accept connections")
        except BaseException:
            child.stop(signal.SIGKILL)
            raise
        return child


def _write_users(folder: Path, users: Sequence[str]) -> Path:
    path = folder / "users.acl"
    path.write_text("".join(f"{line}\n" for line in (OWNER, *users)), encoding="utf-8")
    return path
