"""The wheel of this checkout, with the same bytes from every folder, at every time and under every umask.

It is made of a copy: building leaves files behind, and takes up what an earlier build has left.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from release.requirements import ROOT
from release.steps import run

SOURCES = ("setup.cfg", "pyproject.toml", "README.md", "clawgate", "nginx", "systemd", "templates")
EPOCH = "315532800"
"""The first of January 1980, in seconds: the earliest time that a ZIP file can tell."""


def copied_source(folder: Path) -> Path:
    """Copy what the wheel is made of; return the copy, `source` in the folder."""
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, source / name, ignore=ignored, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, source / name)
    return source


def built(folder: Path) -> Path:
    """Build the wheel with the setuptools of this Python; return its path, in the folder."""
    before = os.umask(0o022)
    try:
        source = copied_source(folder)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        run([*command, "--wheel-dir", str(folder), str(source)], {"SOURCE_DATE_EPOCH": EPOCH})
    finally:
        os.umask(before)
    return next(folder.glob("*.whl"))
