"""`clawgate files`: the files of an installation, for those who have nothing but the program.

config.yaml is written from the settings' declarations; the files of nginx and systemd are printed as they lie in the
program, byte for byte.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable

from clawgate.carried import folder
from clawgate.config.written import config_file
from clawgate.errors import ConfigError

CONFIG = "config.yaml"
FOLDERS = ("nginx", "systemd")
STDOUT = 1


def run(name: str | None) -> int:
    """List the files, or print the one of that name; return the exit status.

    Errors: ConfigError for an unknown name; OSError where stdout takes no more.
    """
    known = contents()
    if name is None:
        content = "".join(f"{each}\n" for each in known).encode()
    elif name in known:
        content = known[name]()
    else:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"files: there is no {name!r}; the nearest one is {near}")
    with os.fdopen(os.dup(STDOUT), "wb") as stdout:  # not as text: sys.stdout may be no UTF-8, or None
        stdout.write(content)
    return 0


def contents() -> dict[str, Callable[[], bytes]]:
    """Return a function for each name that reads or makes the file."""
    paths = [path for name in FOLDERS for path in sorted(folder(name).iterdir()) if path.is_file()]
    return {
        CONFIG: lambda: "".join(config_file()).encode(),
        **{f"{path.parent.name}/{path.name}": path.read_bytes for path in paths},
    }
