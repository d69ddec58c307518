"""`make onefile`: `dist/clawgate.pyz`, clawgate with all that it needs for Python 3.10 to 3.13 on two machines.

It is a pex file: at its first start it makes an environment of its own in a cache folder, later ones run in that.
release/onefile_start.py runs before pex does. The same commit makes the same bytes, in any folder and at any time, with
the versions in setup.cfg's extra `build` and the same Python, whose zlib packs them.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from release.requirements import CARRIED, ROOT, carried
from release.steps import publish, run
from release.wheel import built

NAME = "clawgate.pyz"
SHEBANG = "#!/usr/bin/env python3"
TARGETS = [(minor, machine) for minor in (10, 11, 12, 13) for machine in ("x86_64", "aarch64")]
SYSTEM = "manylinux2014"
"""The oldest system whose wheels all of them have: glibc 2.17, of 2012."""
_MAIN = "__main__.py"
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)


def main() -> None:
    """Build the file, and write its sum beside it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheels = folder / "wheels"
        _download(wheels)
        own = built(folder)
        own.rename(wheels / own.name)
        made = folder / NAME
        _pack(wheels, made, folder / "root")
        new = ROOT / "build" / NAME
        new.parent.mkdir(exist_ok=True)
        _write(made, new)
    publish(new, ROOT / "dist" / NAME)


def _download(wheels: Path) -> None:
    """Get the wheels for every target; a pure one is the same for all."""
    wanted = carried()
    for minor, machine in TARGETS:
        target = ["--platform", f"{SYSTEM}_{machine}", "--python-version", f"3.{minor}", "--implementation", "cp"]
        abis = [part for abi in (f"cp3{minor}", "abi3", "none") for part in ("--abi", abi)]
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(wheels)]
        run([sys.executable, "-m", "pip", "download", *options, *target, *abis, *wanted])
        wanted = list(_native(wanted, wheels))


def _native(wanted: Iterable[str], wheels: Path) -> Iterable[str]:
    for line in wanted:
        name, _, version = line.partition("==")
        if not list(wheels.glob(f"{name.replace('-', '_')}-{version}-*-none-any.whl")):
            yield line


def _pack(wheels: Path, made: Path, root: Path) -> None:
    """Run pex on wheels alone; it checks that every target has all that it needs."""
    command = [sys.executable, "-m", "pex", f"clawgate[{','.join(CARRIED)}]", "--pre-resolved-dists", str(wheels)]
    for minor, machine in TARGETS:
        command += ["--platform", f"{SYSTEM}_{machine}-cp-3.{minor}.0-cp3{minor}"]
    command += ["--venv", "prepend", "--console-script", "clawgate", "--python-shebang", SHEBANG]
    run([*command, "--pex-root", str(root), "--no-emit-warnings", "--output-file", str(made)])


def _write(made: Path, new: Path) -> None:
    """Copy pex's file with our beginning, and without what differs between machines: order, times, modes."""
    start = (ROOT / "release" / "onefile_start.py").read_bytes()
    with new.open("wb") as file:
        file.write(f"{SHEBANG}\n".encode())
        with zipfile.ZipFile(made) as source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry in sorted(source.infolist(), key=lambda each: each.filename):
                data = source.read(entry)
                written = zipfile.ZipInfo(entry.filename, _FIRST_TIME)
                is_program = entry.is_dir() or entry.external_attr >> 16 & 0o100
                written.external_attr = (entry.external_attr >> 28 << 12 | (0o755 if is_program else 0o644)) << 16
                archive.writestr(written, start + data if entry.filename == _MAIN else data, zipfile.ZIP_DEFLATED)
    new.chmod(0o755)


if __name__ == "__main__":
    main()
