"""What clawgate needs to run: its bounds, out of setup.cfg, and the exact versions, out of constraints.txt.

`make onefile` and `make binary` take the versions from here, `make constraints` writes them.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "release" / "constraints.txt"
CORE = "core"
CARRIED = ("redis", "chat", "bots")
"""The extras in every artefact: small, and of wheels for every Python and machine."""
_TOOLS = ("bench", "build", "test")


def bounds() -> dict[str, list[str]]:
    """Return the requirements as setup.cfg has them: the core's, the carried extras', then the other extras'."""
    declared = _declared()
    others = sorted(declared.keys() - {CORE, *CARRIED, *_TOOLS})
    return {name: declared[name] for name in (CORE, *CARRIED, *others)}


def tools() -> list[str]:
    """Return the pinned tools of the builds."""
    return _declared()["build"]


def _declared() -> dict[str, list[str]]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = {name: text.split() for name, text in parser["options.extras_require"].items()}
    return {CORE: parser["options"]["install_requires"].split(), **extras}


def pinned() -> dict[str, list[str]]:
    """Return the lines `name==version` of constraints.txt, by the first part of `bounds` that needs them."""
    parts: dict[str, list[str]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        heading = re.match(r"# (\w+)$", line)
        if heading:
            parts[heading[1]] = []
        elif line and not line.startswith("#"):
            parts[next(reversed(parts))].append(line)
    return parts


def carried() -> list[str]:
    """Return the lines of what every artefact carries."""
    return [line for name in (CORE, *CARRIED) for line in pinned()[name]]
