"""Nginx: a real nginx with one of the shipped files, as they are but for their ports and paths.

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

FOLDER = ROOT / "nginx"
SHIPPED = FOLDER / "clawgate.conf"
SNIPPET = FOLDER / "clawgate-locations.conf"
FRONTEND, TLS, SEVERAL = (FOLDER / f"clawgate-{name}.conf" for name in ("frontend", "tls", "several"))
VARIANTS = tuple(path for path in sorted(FOLDER.glob("*.conf")) if path != SNIPPET)
LISTEN = "listen 8080"
UPSTREAM = "server 127.0.0.1:18789"
ACCESS_LOG = "/var/log/nginx/clawgate.log"

MIME_TYPES = (Path("/etc/nginx/mime.types"), Path("/usr/local/etc/nginx/mime.types"))

_MAIN = """\
daemon off;
master_process on;
worker_processes 1;
{user}
pid {prefix}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {types}
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

    Shape: `upstream` is "host:port"; `replace` holds further substitutions for `substituted`, in the file and in its
    snippet; `port` is the one to wait for where `replace` says what it listens on. The constructor returns once the
    port accepts.
    Errors: skips (fails in CI) without nginx; AssertionError with its log when it does not start.
    """

    def __init__(
        self,
        upstream: str,
        folder: Path,
        *,
        replace: Mapping[str, str] | None = None,
        shipped: Path = SHIPPED,
        port: int = 0,
    ) -> None:
        binary = require("nginx", "the test runs the shipped nginx configuration")
        self.port = port or free_port()
        self.prefix = folder
        changes = {UPSTREAM: f"server {upstream}", ACCESS_LOG: str(folder / "access.log"), **(replace or {})}
        if ACCESS_LOG not in shipped.read_text(encoding="utf-8"):  # a recipe's, which has no log
            del changes[ACCESS_LOG]
        if not port:
            changes[LISTEN] = f"listen 127.0.0.1:{self.port}"
        main = write_config(folder, shipped, changes)
        super().__init__([binary, "-p", str(folder), "-e", "stderr", "-c", str(main)], cwd=folder, name="nginx")
        self._wait_until_it_accepts()

    def __enter__(self) -> Nginx:
        return self

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def access_log(self) -> str:
        """The lines of its access log so far."""
        return (self.prefix / "access.log").read_text(encoding="utf-8")

    def reload(self) -> None:
        """Send SIGHUP: new workers start, and the old ones finish their connections."""
        self.signal(signal.SIGHUP)

    def _wait_until_it_accepts(self) -> None:
        try:
            wait_for(lambda: not self.is_running or _accepts(self.port), "nginx accepts", DEADLINE_S)
            if not self.is_running:
                self.stop()  # its last words are read then
                raise AssertionError(f"nginx did not start:\n{self.log}")
        except BaseException:
            self.stop(signal.SIGKILL)
            raise


def write_config(folder: Path, shipped: Path, changes: Mapping[str, str]) -> Path:
    """Write a shipped file, its snippet and a main file around them into a folder, and return the main file."""
    texts = {"clawgate.conf": shipped, "snippets/clawgate-locations.conf": SNIPPET}
    whole = {name: path.read_text(encoding="utf-8") for name, path in texts.items()}
    (folder / "snippets").mkdir(parents=True, exist_ok=True)
    substituted("".join(whole.values()), changes)  # each must be somewhere
    for name, text in whole.items():
        here = {old: new for old, new in changes.items() if _pattern(old).search(text)}
        (folder / name).write_text(substituted(text, here), encoding="utf-8")
    main = folder / "nginx.conf"
    types = next((path for path in MIME_TYPES if path.is_file()), None)
    include = f"include {types};" if types else ""
    main.write_text(_MAIN.format(prefix=folder, user=_user_directive(), types=include), encoding="utf-8")
    return main


def _pattern(directive: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.:]){re.escape(directive)}(?![\w.:])")


def substituted(text: str, changes: Mapping[str, str]) -> str:
    """Replace each of these directives everywhere in a configuration.

    Shape: a key counts where it stands whole: "listen 8080" is not found in "listen 80801".
    Errors: AssertionError that names the key that is not there; then the shipped file and the tests have parted.
    """
    for old, new in changes.items():
        text, count = _pattern(old).subn(new.replace("\\", r"\\"), text)
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
