"""The pages' files: their styles, scripts, words and icons, each below a path that names the version of all of them.

A browser keeps a file of such a path for good, and asks for nothing but the page itself when it comes again. The
imports of the scripts are relative, so that they stay below the path without a build. The path without a version
answers, too, and is asked again each time; so does one of another version, as a page has it that was opened before an
upgrade.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from flask import Blueprint, Response, send_from_directory, url_for

PACKAGE = Path(__file__).resolve().parent.parent.parent
STATIC = PACKAGE / "static"
KEPT_S = 365 * 24 * 3600
VERSION_DIGITS = 12
APART_S = 1.0
"""At least so long passes between two looks at the folder. A look takes 2 ms; a page names a hundred files."""


class Files:
    """The files in one folder, and the version that their contents make.

    A file that changes while the gateway runs, as in development, makes another version within a second.

    Threads: any; two may read the folder anew at the same time, and come to the same.
    """

    def __init__(self, folder: Path = STATIC, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._due_at = 0.0
        self._known: tuple[tuple[tuple[str, int, int], ...], str] = ((), "")

    def install(self, blueprint: Blueprint) -> None:
        """Add the routes to the blueprint."""
        blueprint.add_url_rule("/static/<path:filename>", "static", self.file)
        blueprint.add_url_rule("/static/v-<version>/<path:filename>", "lasting", self.lasting_file)

    def file(self, filename: str) -> Response:
        """Send a file of the page."""
        return send_from_directory(self._folder, filename)

    def lasting_file(self, version: str, filename: str) -> Response:
        """Send a file of the page, to be kept for good."""
        is_lasting = version == self.version()
        response = send_from_directory(self._folder, filename, max_age=KEPT_S if is_lasting else None)
        response.cache_control.immutable = is_lasting
        return response

    def address(self) -> str:
        """Return the folder's address with the version in its path, which ends with a slash; within a request."""
        return url_for(".lasting", filename="", version=self.version())

    def version(self) -> str:
        """Return a digest of all names and contents; it is computed anew where a file's size or time is another."""
        now = self._clock()
        if now < self._due_at and self._known[1]:
            return self._known[1]
        self._due_at = now + APART_S
        paths = sorted(path for path in self._folder.rglob("*") if path.is_file())
        seen = tuple((str(path), stat.st_size, stat.st_mtime_ns) for path in paths for stat in (path.stat(),))
        known, version = self._known
        if seen != known:
            version = self._digest(paths)
            self._known = (seen, version)
        return version

    def _digest(self, paths: list[Path]) -> str:
        digest = hashlib.sha256()
        for path in paths:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self._folder).as_posix()}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:VERSION_DIGITS]
