"""The shipped unit runs the artefacts as it runs an installed package, in a real systemd, locked down as it is."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from clawgate import __version__
from tests.deploy.test_systemd import ADDRESS, PROGRAM, SERVICE, SOCKET
from tests.support import client, sse
from tests.support.artefact import BINARY, ONEFILE, artefact
from tests.support.client import StreamClient
from tests.support.gateway import write_config
from tests.support.ollama import ScriptedOllama, done, text, wait
from tests.support.systemd import PLACE, Box
from tests.support.tools import DEADLINE_S, free_port, wait_for

pytestmark = pytest.mark.deadline(180)

UNITS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"
"""Where a service finds `python3`."""


def require_python() -> None:
    """Skip the test where no Python of the system's own is one that the file is for."""
    python = shutil.which("python3", path=UNITS_PATH)
    if python is None:
        pytest.skip(f"there is no python3 in {UNITS_PATH}")
    code = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))"
    if subprocess.run([python, "-c", code], timeout=DEADLINE_S, check=False).returncode:
        pytest.skip(f"{python} is not Python 3.10 to 3.13")


@pytest.mark.parametrize("name", [ONEFILE, BINARY])
def test_the_unit_runs_it_behind_the_socket_unit(name: str, ollama: ScriptedOllama, tmp_path: Path) -> None:
    program = artefact(name)
    if name == ONEFILE:
        require_python()
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    config = {"model": {"endpoint": ollama.base_url}, "server": {"port": 1, "graceful_seconds": 5}}
    binds = {"clawgate": program, "config.yaml": write_config(config, tmp_path)}
    units = tmp_path / "units"
    units.mkdir()
    texts = {
        "clawgate.service": SERVICE.replace(PROGRAM, f"{PLACE}/clawgate serve --config {PLACE}/config.yaml"),
        "clawgate.socket": SOCKET.replace(ADDRESS, f"127.0.0.1:{port}"),
        "clawgate.service.d/log.conf": f"[Service]\nStandardError=append:{tmp_path}/log\n",
    }
    released = threading.Event()
    ollama.default(text("Half"), wait(released), text(" and whole"), done())
    with Box(units, texts, binds) as systemd:
        systemd.systemctl("start", "clawgate.socket", "clawgate.service")
        assert 'Status: "Serving"' in systemd.systemctl("status", "clawgate.service")
        assert client.get(base_url, "/api/status").json["version"] == __version__
        with StreamClient(base_url, {"message": "Hi"}) as stream:
            stream.read_text("Half")
            systemd.systemctl("reload", "clawgate.service")
            wait_for(lambda: "reloaded: nothing has changed" in (tmp_path / "log").read_text(), "it has reloaded")
            released.set()
            stream.read_all()
            sse.check(stream.events)
            assert sse.text_of(stream.events) == "Half and whole"
        systemd.systemctl("restart", "clawgate.service")
        assert client.get(base_url, "/healthz").status == 200
        systemd.systemctl("stop", "clawgate.socket", "clawgate.service")
        assert "Result=success" in systemd.systemctl("show", "--property=Result", "clawgate.service")
