"""The wheel: built from what is in the checkout, installed into a fresh environment, run from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from clawgate import __version__
from release.wheel import copied_source
from tests.support import sse
from tests.support.gateway import Gateway
from tests.support.tools import DEADLINE_S, ROOT, require

BUILD_S = 120

pytestmark = pytest.mark.deadline(2 * BUILD_S)


class Environment:
    """A virtual environment of its own."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.python = folder / "bin" / "python"
        self.clawgate = folder / "bin" / "clawgate"

    def run(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its Python to the end."""
        command = [str(self.python), *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=BUILD_S, check=False)

    def pip(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run its pip to the end."""
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments, cwd=cwd)

    def borrow_dependencies(self) -> None:
        """Let it find what the tests' own environment has installed, after its own."""
        site = next((self.python.parent.parent / "lib").glob("python*")) / "site-packages"
        (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A fresh environment that can build."""
    folder = tmp_path_factory.mktemp("environment")
    made = Environment(folder / "venv")
    done = made.pip("install", "--quiet", "setuptools>=68", "wheel", cwd=folder)
    if done.returncode:
        require("setuptools-from-the-registry", f"the test builds the wheel: {done.stderr[-300:]}")
    return made


@pytest.fixture(scope="module")
def wheel(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    source = copied_source(folder)
    built = environment.pip("wheel", ".", "--no-deps", "--no-build-isolation", "-w", str(folder), cwd=source)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "Warning" not in built.stdout + built.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(environment: Environment, wheel: Path) -> Environment:
    """The environment, with the wheel."""
    done = environment.pip("install", "--no-deps", "--no-index", str(wheel), cwd=wheel.parent)
    assert done.returncode == 0, done.stderr
    environment.borrow_dependencies()
    return environment


def test_wheel_carries_every_file_of_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        carried = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert carried == expected_files()
    assert {
        "clawgate/py.typed",
        "clawgate/templates/chat.html",
        "clawgate/static/page/chat.js",
        "clawgate/nginx/clawgate.conf",
        "clawgate/systemd/clawgate.service",
        "clawgate/systemd/clawgate.socket",
        "clawgate/embedded/__main__.py",
    } <= carried


def expected_files() -> set[str]:
    """Return what the checkout has, as the wheel names it."""
    package = (path for path in (ROOT / "clawgate").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    beside = (path for name in ("nginx", "systemd", "templates") for path in (ROOT / name).iterdir())
    return {path.relative_to(ROOT).as_posix() for path in package} | {
        f"clawgate/{path.relative_to(ROOT).as_posix()}" for path in beside
    }


def test_wheel_names_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"clawgate-{__version__}.dist-info/METADATA").decode()
        scripts = archive.read(f"clawgate-{__version__}.dist-info/entry_points.txt").decode()
    assert "Requires-Python: >=3.10" in metadata
    for name in ("Flask", "gunicorn", "msgspec", "PyYAML", "requests"):
        assert f"Requires-Dist: {name}" in metadata
    assert "Provides-Extra: embedded" in metadata
    assert "clawgate = clawgate.cli:main" in scripts


def test_installed_command_prints_each_file_of_the_checkout(installed: Environment, tmp_path: Path) -> None:
    listed = command(installed, "files", cwd=tmp_path).decode().split()
    assert {"config.yaml", "nginx/clawgate.conf", "systemd/clawgate.service"} <= set(listed)
    for name in listed[::5]:
        assert command(installed, "files", name, cwd=tmp_path) == (ROOT / name).read_bytes(), name


def command(installed: Environment, *arguments: str, cwd: Path) -> bytes:
    """Run the installed command to its end and return what it prints."""
    given = [str(installed.clawgate), *arguments]
    return subprocess.run(given, cwd=cwd, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S).stdout


def test_installed_command_serves_from_anywhere(
    installed: Environment, gateway: Callable[..., Gateway], tmp_path: Path
) -> None:
    where = installed.run("-c", "import clawgate; print(clawgate.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed.python.parent.parent), where
    started = gateway(command=(str(installed.clawgate), "serve"), cwd=tmp_path)
    page = started.get("/")
    assert (page.status, page.headers.get_content_type()) == (200, "text/html")
    for name in ("page/chat.js", "page/chat.css"):
        found = re.search(rf"/static/v-\w+/{name}", page.json)
        assert found, name
        assert started.get(found[0]).status == 200
    with started.stream("Hi") as stream:
        sse.check(stream.read_all())
        assert sse.text_of(stream.events) == "Hello."
    assert started.get("/api/status").json["version"] == __version__
