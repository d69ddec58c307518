"""`make constraints`: writes constraints.txt, the newest versions that setup.cfg's bounds allow.

They are the same for every Python and machine that the artefacts are for: pex resolves for all of them at once.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from release.requirements import FILE, bounds
from release.steps import run

PYTHONS = "CPython>=3.10,<3.14"
LAST_FOR_ALL = "websockets<17\n"
"""Bounds for the oldest of these Pythons: pex asks the one that runs it, and 17 of websockets wants 3.11."""
HEAD = """\
# The versions in what `make onefile` and `make binary` make, of all that clawgate needs to run: pip's constraints, one
# list for Python 3.10 to 3.13, x86-64 and aarch64. `make constraints` writes it. A part has what the ones above lack.
"""


def main() -> None:
    """Resolve, and write the file."""
    parts = bounds()
    with tempfile.TemporaryDirectory() as folder:
        lock, held = Path(folder) / "lock.json", Path(folder) / "held.txt"
        held.write_text(LAST_FOR_ALL)
        command = [sys.executable, "-m", "pex.cli", "lock", "create", "--use-pip-config", "--wheel", "--no-build"]
        command += ["--style", "universal", "--target-system", "linux", "--interpreter-constraint", PYTHONS]
        command += ["--constraints", str(held), "-o", str(lock)]
        run([*command, *(each for part in parts.values() for each in part)])
        (resolved,) = json.loads(lock.read_text())["locked_resolves"]
    locked = {each["project_name"]: each for each in resolved["locked_requirements"]}
    written: set[str] = set()
    lines = [HEAD]
    for part, requirements in parts.items():
        needed = _closure(requirements, locked) - written
        lines += [f"\n# {part}\n", *(f"{name}=={locked[name]['version']}\n" for name in sorted(needed))]
        written |= needed
    FILE.write_text("".join(lines), encoding="utf-8")


def _closure(requirements: list[str], locked: dict[str, Any]) -> set[str]:
    """Name what these requirements need, with all that those need, as far as it was resolved."""
    found: set[str] = set()
    left = [_name(each) for each in requirements]
    while left:
        name = left.pop()
        if name in locked and name not in found:
            found.add(name)
            left += [_name(each) for each in locked[name]["requires_dists"] if "extra ==" not in each]
    return found


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement)[0]).lower()


if __name__ == "__main__":
    main()
