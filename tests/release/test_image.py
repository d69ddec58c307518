"""The image, built by a real engine and run as docs/containers.md promises. It takes minutes, and is done on demand.

CONTAINER_ENGINE=podman CONTAINER_BASE=docker.io/library/python:3.13-slim python -m pytest tests/release
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clawgate import __version__
from tests.release.test_containers import health_check
from tests.support import sse
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, text, wait
from tests.support.tools import ROOT, free_port

BUILD_S = 1200
START_S = 120
ENGINE = shlex.split(os.environ.get("CONTAINER_ENGINE", ""))
BASE = os.environ.get("CONTAINER_BASE", "")
IMAGE = "localhost/clawgate-of-the-tests"
NAME = f"clawgate-{os.getpid()}"
LOOK = """
import os
for place in ("/", "/tmp", "/opt/clawgate"):
    try:
        open(os.path.join(place, "written"), "w")
    except OSError as error:
        print(place, error.strerror)
print(os.getuid(), os.getgid())
"""

pytestmark = [
    pytest.mark.skipif(not ENGINE or not BASE, reason="CONTAINER_ENGINE and CONTAINER_BASE ask for it"),
    pytest.mark.deadline(BUILD_S),
]


def engine(*arguments: str) -> bytes:
    """Run the engine to its end and return what it prints."""
    return subprocess.run([*ENGINE, *arguments], stdout=subprocess.PIPE, check=True, timeout=BUILD_S).stdout


@pytest.fixture(scope="module")
def image() -> list[str]:
    """Build the image; return the engine's options that leave a container nothing to write to."""
    is_podman = b"podman" in engine("--version").lower()
    kind = ["--format", "docker"] if is_podman else []
    engine("build", *kind, "--build-arg", f"BASE={BASE}", "-f", str(ROOT / "Containerfile"), "-t", IMAGE, str(ROOT))
    return ["--read-only", *(["--read-only-tmpfs=false"] if is_podman else [])]


def test_image_tells_what_it_is(image: list[str]) -> None:
    assert engine("run", "--rm", *image, IMAGE, "--version").decode() == f"clawgate {__version__}\n"
    name = "nginx/clawgate.conf"
    assert engine("run", "--rm", *image, IMAGE, "files", name) == (ROOT / name).read_bytes()
    (found,) = json.loads(engine("image", "inspect", IMAGE))
    assert found["Config"]["Labels"]["org.opencontainers.image.version"] == __version__
    assert found["Config"]["StopSignal"] == "SIGTERM"
    assert list(found["Config"]["ExposedPorts"]) == ["18789/tcp"]
    health = found["Config"].get("Healthcheck") or found["Healthcheck"]  # Docker, podman
    assert health["Test"] == ["CMD", "python3", *health_check()[1:]]


def test_container_serves_with_nothing_to_write_to_and_ends_an_answer_at_sigterm(
    image: list[str], gateway: Callable[..., Gateway], ollama: ScriptedOllama, tmp_path: Path
) -> None:
    released = threading.Event()
    ollama.script(text("Half"), wait(released), text(" and whole"), done())
    folder = tmp_path / "gateway"  # where the configuration will lie
    options = ["--rm", "--name", NAME, "--network", "host", *image, "--cap-drop", "all"]
    options += ["--security-opt", "no-new-privileges", "-v", f"{folder}:{folder}:ro"]
    options += ["-e", f"CLAWGATE_SERVER_PORT={free_port()}"]
    started = gateway(
        command=(*ENGINE, "run", *options, IMAGE, "serve"),
        server={"graceful_seconds": 30},
        stream={"stall_seconds": 600},
        is_ready_awaited=False,
    )
    started.wait_until_ready(START_S)
    engine("exec", NAME, "python3", *health_check()[1:])
    seen = engine("exec", NAME, "python3", "-c", LOOK).decode().splitlines()
    assert seen == [f"{place} Read-only file system" for place in ("/", "/tmp", "/opt/clawgate")] + ["10001 10001"]
    assert started.get("/").status == 200
    with started.stream("Hi") as stream:
        stream.read_text("Half")
        started.process.terminate()
        started.wait_for_line("Handling signal: term", START_S)
        released.set()
        stream.read_all()
        sse.check(stream.events)
        assert sse.text_of(stream.events) == "Half and whole"
    assert started.wait(START_S) == 0
    assert "Traceback" not in started.log
