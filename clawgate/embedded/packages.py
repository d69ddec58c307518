"""Files that installed packages carry, found by the packages' own lists of files. weights.py asks.

Nothing is imported to find out. A frozen program (PyInstaller) carries the same files, under the same paths, as data.
The one file for Python (pex) carries none, and runs in an environment that it makes anew.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path


def is_frozen() -> bool:
    """Say whether this program carries its own Python and packages, so that pip can add nothing to it."""
    return _bundle() is not None or (Path(sys.prefix) / "PEX-INFO").is_file()


def packaged_file(name: str, pattern: str) -> Path | None:
    """Return a package's file whose path matches, where it is installed and the file is there."""
    bundle = _bundle()
    if bundle is not None:
        return next(iter(sorted(bundle.glob(pattern))), None)
    try:
        recorded = distribution(name).files or []
    except PackageNotFoundError:
        return None
    located = (Path(str(file.locate())) for file in recorded if file.match(pattern))
    return next((path for path in located if path.is_file()), None)


def _bundle() -> Path | None:
    folder = getattr(sys, "_MEIPASS", None)
    return Path(folder) if folder is not None else None
