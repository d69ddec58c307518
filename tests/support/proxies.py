"""Other proxies than nginx, run with the recipes of docs/proxies.md as they stand there, but for their ports."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from signal import SIGKILL

from tests.support.process import ChildProcess
from tests.support.tools import DEADLINE_S, ROOT, free_port, require

DOCUMENT = ROOT / "docs" / "proxies.md"
VITE = "vite@5"
"""The newest that runs on Node 18, which is Debian's."""
INSTALL_S = 120


def recipe(language: str, proxy_port: int, gateway: int | str, mark: str = "") -> str:
    """Return the first fenced block in a language that has this mark in it, with the ports put in.

    Shape: gateway is a port, or "unix:" and a path.
    Errors: AssertionError where the document has no such block, or a port is not in it.
    """
    text = recipe_of(language, mark)
    upstream = f"127.0.0.1:{gateway}" if isinstance(gateway, int) else gateway.replace("unix:", "unix/")
    for old, new in (("8080", proxy_port), ("127.0.0.1:18789", upstream)):
        assert old in text, f"the recipe in {language} has no {old}"
        text = text.replace(old, str(new))
    return text


def recipe_of(language: str, mark: str = "") -> str:
    """Return the first fenced block in a language that has this mark in it, as it stands in the document.

    Errors: AssertionError where there is none.
    """
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.M | re.S)
    found = [block for block in blocks if mark in block]
    assert found, f"docs/proxies.md has no block in {language} with {mark!r}"
    return str(found[0])


class Proxy(ChildProcess):
    """A running proxy; a context manager that ends it."""

    port: int

    def __enter__(self) -> Proxy:
        return self

    def wait_until_it_says(self, pattern: str) -> None:
        """Wait for the line that says that it serves; end the process when it does not come."""
        try:
            self.wait_for_line(pattern)
        except BaseException:
            self.stop(SIGKILL)
            raise

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


class Caddy(Proxy):
    """Caddy with a Caddyfile of the document's: the one that has `mark` in it.

    Shape: `insert` goes into its `reverse_proxy`, `site` into its site, and the first of `replace` becomes the second.
    The constructor returns once it serves.
    """

    def __init__(
        self,
        gateway: int | str,
        folder: Path,
        insert: str = "",
        site: str = "",
        mark: str = "",
        replace: tuple[str, str] = ("", ""),
    ) -> None:
        binary = require("caddy", "the test runs the recipe for Caddy")
        self.port = free_port()
        text = recipe("caddy", self.port, gateway, mark)
        text = text.replace("\t\theader_up", f"\t\t{insert}\n\t\theader_up")
        text = text.replace("{\n", f"{{\n{site}\n", 1).replace(*replace)
        (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)  # its port may be another Caddy's
        environment = {"HOME": str(folder), "XDG_DATA_HOME": str(folder)}
        command = [binary, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]
        super().__init__(command, cwd=folder, env=environment, name="caddy")
        self.wait_until_it_says("serving initial configuration")


class Vite(Proxy):
    """Vite's development server with the document's vite.config.js, in a folder where `install_vite` was."""

    def __init__(self, gateway_port: int, folder: Path) -> None:
        self.port = free_port()
        (folder / "vite.config.js").write_text(recipe("js", self.port, gateway_port))
        (folder / "index.html").write_text("<h1>mine</h1>")
        command = [require("node", "the test runs Vite"), "node_modules/vite/bin/vite.js", "--host", "127.0.0.1"]
        super().__init__([*command, "--strictPort"], cwd=folder, name="vite")
        self.wait_until_it_says(rf"127\.0\.0\.1:.*{self.port}")


def install_vite(folder: Path) -> None:
    """Install Vite from npm's registry.

    Errors: skips (fails in CI) without npm or its registry.
    """
    npm = require("npm", "the test installs Vite")
    (folder / "package.json").write_text('{"type": "module", "private": true}')
    command = [npm, "install", "--silent", "--no-audit", "--no-fund", VITE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        require("vite-from-the-registry", f"the test installs Vite: {done.stderr[-300:] or DEADLINE_S}")
