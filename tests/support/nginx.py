"""Nginx: a real nginx with the shipped `nginx/clawgate.conf`, as it is but for its ports and addresses.

Tests get a factory of these from the fixture `nginx`.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import signal
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.support.process import ChildProcess
from tests.support.tools import DEADLINE_S, ROOT, free_port, require, wait_for

SHIPPED = ROOT / "nginx" / "clawgate.conf"
LISTEN = "listen 8080"
UPSTREAM = "server 127.0.0.1:18789"

_MAIN = """\
daemon off;
master_process on;
worker_processes 1;
{user}
pid {prefix}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
    access_log {prefix}/access.log;
    client_body_temp_path {prefix}/client_body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
    include {prefix}/clawgate.conf;
}}
"""


class Nginx(ChildProcess):
    """A running nginx before one upstream. A context manager that ends it.

    Shape: `upstream` is "host:port"; `replace` holds further substitutions for `substituted`. The constructor returns
    once the port accepts.
    Errors: skips (fails in CI) without nginx; AssertionError with its log when it does not start.
    """

    def __init__(
        self, upstream: str, folder: Path, *, replace: Mapping[str, str] | None = None, shipped: Path = SHIPPED
    ) -> None:
        binary = require("nginx", "the test runs the shipped nginx configuration")
        self.port = free_port()
        self.prefix = folder
        changes = {LISTEN: f"listen 127.0.0.1:{self.port}", UPSTREAM: f"server {upstream}", **(replace or {})}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "clawgate.conf").write_text(substituted(shipped.read_text(encoding="utf-8"), changes))
        main = folder / "nginx.conf"
        main.write_text(_MAIN.format(prefix=folder, user=_user_directive()))
        super().__init__([binary, "-p", str(folder), "-e", "stderr", "-c", str(main)], cwd=folder, name="nginx")
        self._wait_until_it_accepts()

    def __enter__(self) -> Nginx:
        return self

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_log(self) -> str:
        """What it logged of its requests so far."""
        return (self.prefix / "access.log").read_text(encoding="utf-8")

    def reload(self) -> None:
        """SIGHUP: new workers, and old ones that finish their connections."""
        self.signal(signal.SIGHUP)

    def _wait_until_it_accepts(self) -> None:
        try:
            wait_for(lambda: not self.is_running or _accepts(self.port), "nginx accepts", DEADLINE_S)
            assert self.is_running, f"nginx did not start:\n{self.log}"
        except BaseException:
            self.stop(signal.SIGKILL)
            raise


def substituted(text: str, changes: Mapping[str, str]) -> str:
    """Replace each of these directives everywhere in a configuration.

    Shape: a key counts where it stands whole: "listen 8080" is not found in "listen 80801".
    Errors: AssertionError that names the key that is not there; then the shipped file and the tests have parted.
    """
    for old, new in changes.items():
        pattern = rf"(?<![\w.:]){re.escape(old)}(?![\w.:])"
        text, count = re.subn(pattern, new.replace("\\", r"\\"), text)
        assert count, f"the shipped configuration has no {old!r} to substitute"
    return text


def _user_directive() -> str:
    if os.geteuid() != 0:
        return ""
    return f"user {pwd.getpwuid(0).pw_name} {grp.getgrgid(0).gr_name};"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
