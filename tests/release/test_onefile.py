"""`dist/clawgate.pyz` does what an installed clawgate does, on every Python that it is for."""

from __future__ import annotations

import hashlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clawgate import __version__
from tests.release.onefile import Onefile
from tests.support import client, sse
from tests.support.command import assert_is_one_line
from tests.support.gateway import Gateway, write_config
from tests.support.ollama import ScriptedOllama, hang, text
from tests.support.pythons import require_python
from tests.support.redis import RedisServer

pytestmark = pytest.mark.deadline(120)

VERSION = f"clawgate {__version__}\n"


def planted(folder: Path) -> Path:
    """Make a folder with modules that end whatever imports them."""
    folder.mkdir()
    (folder / "clawgate").mkdir()
    for name in ("clawgate/__init__.py", "flask.py", "yaml.py", "runpy.py"):
        (folder / name).write_text("raise SystemExit('planted')\n")
    return folder


def test_its_sum_is_beside_it(onefile: Onefile) -> None:
    said = onefile.path.with_name(f"{onefile.path.name}.sha256").read_text()
    assert said == f"{hashlib.sha256(onefile.path.read_bytes()).hexdigest()}  {onefile.path.name}\n"
    assert os.access(onefile.path, os.X_OK)


@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_it_starts_under_every_python_that_it_is_for(onefile: Onefile, minor: int) -> None:
    python = require_python(minor)
    assert onefile.run("--version", before=[python]) == (0, VERSION, "")
    onefile.assert_left_nothing()


def test_the_gateway_in_it_serves_reloads_and_ends(
    onefile: Onefile, gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    started = gateway(command=(str(onefile.path), "serve"), env=onefile.environment, cwd=planted(tmp_path / "cwd"))
    page = started.get("/")
    assert (page.status, page.headers.get_content_type()) == (200, "text/html")
    script = re.search(r"/static/v-\w+/page/chat.js", page.json)
    assert script
    assert started.get(script[0]).status == 200
    assert "<math" in started.post("/render", {"text": "$x^2$\n\n```python\nx = 1\n```"}).json["html"]
    ollama.default(text("Half"), hang())
    with started.stream("Hi") as stream:
        stream.read_text("Half")
        run_id = stream.events[0].data["run_id"]
        assert started.post("/api/interrupt", {"run_id": run_id}).json["partial"] == "Half"
        stream.read_all()
        sse.check(stream.events)
    started.signal(signal.SIGUSR1)
    started.signal(signal.SIGHUP)
    started.wait_for_line("reloaded: nothing has changed")
    assert started.get("/healthz").status == 200
    assert started.terminate() == 0
    onefile.assert_left_nothing()


def test_a_gateway_in_it_keeps_sessions_in_redis(
    onefile: Onefile, gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        kept = {"backend": "redis", "redis_url": redis.url}
        started = gateway(command=(str(onefile.path), "serve"), env=onefile.environment, session=kept)
        with started.stream("Hi") as stream:
            session_id = stream.read_all()[0].data["session_id"]
        assert started.get(f"/api/sessions/{session_id}").json["turns"] == 1
        assert redis.client().dbsize()
        started.signal(signal.SIGINT)
        assert started.wait() == 0


def test_up_starts_its_processes_out_of_it(onefile: Onefile, ollama: ScriptedOllama, tmp_path: Path) -> None:
    config = write_config({"model": {"endpoint": ollama.base_url}, "server": {"port": 0}}, tmp_path)
    with onefile.started("up", "--config", str(config), cwd=planted(tmp_path / "cwd")) as up:
        url = up.wait_for_line(r"^Open (http://127\.0\.0\.1:\d+)/ in your browser\.", stdout_only=True)[1]
        assert client.get(url, "/healthz").status == 200
        up.signal(signal.SIGINT)
        assert up.wait() == 0
        up.wait_for_end_of_output()
    onefile.assert_left_nothing()


def test_its_messages_are_those_of_the_command(onefile: Onefile) -> None:
    assert onefile.run("serve", "--help").stdout.startswith("usage: clawgate serve ")
    assert "see `clawgate --help`" in assert_is_one_line(onefile.run("serv"), 2)
    assert "carries no model and no engine: take the one whose name ends in -with-model" in assert_is_one_line(
        onefile.run("embedded"), 1
    )
    assert "ok: configuration (all defaults)" in onefile.run("check").stdout


def test_what_is_meant_for_other_programs_does_not_disturb_it(onefile: Onefile, tmp_path: Path) -> None:
    others = {
        "PEX_MODULE": "http.server",
        "PEX_SCRIPT": "flask",
        "PEX_INTERPRETER": "1",
        "PEX_PATH": "/nonsense",
        "PEX_PYTHON": "/nonsense",
        "PEX_EXTRA_SYS_PATH": str(tmp_path / "planted"),
        "PEX_TOOLS": "1",
        "PEX_INHERIT_PATH": "prefer",
        "PYTHONPATH": str(planted(tmp_path / "planted")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "error",
    }
    (onefile.place / ".pexrc").write_text("PEX_INTERPRETER=1\n")
    assert onefile.run("--version", env=others, cwd=tmp_path / "planted") == (0, VERSION, "")


def test_another_python_of_the_machine_is_taken(onefile: Onefile) -> None:
    python = require_python(9)
    (onefile.place / "bin").mkdir()
    (onefile.place / "bin" / "python3.13").write_text("#!/bin/sh\nexit 127\n")  # as a shim of pyenv's may
    (onefile.place / "bin" / "python3.13").chmod(0o755)
    (onefile.place / "bin" / "python3.11").symlink_to(require_python(11))
    assert onefile.run("--version", before=[python], env={"PATH": f"{onefile.place}/bin"}) == (0, VERSION, "")
