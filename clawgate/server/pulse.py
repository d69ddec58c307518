"""A worker's sign of life to gunicorn's master, in memory; worker.py puts it in the place of gunicorn's temporary file.

So a file system that is read-only or full does not keep the gateway from starting, and a slow disk does not stop the
worker's main loop, which gives the sign.
"""

from __future__ import annotations

import os
from typing import Any

from gunicorn.workers.workertmp import WorkerTmp


class Pulse(WorkerTmp):  # type: ignore[misc]  # gunicorn has no types
    """The file whose time the worker sets and the master reads: gunicorn's own if the system has none in memory."""

    def __init__(self, cfg: Any) -> None:
        try:
            fd = os.memfd_create("clawgate-pulse")
        except (AttributeError, OSError):
            super().__init__(cfg)
            return
        self._tmp = os.fdopen(fd, "w+b", 0)
        if (cfg.uid, cfg.gid) != (os.geteuid(), os.getegid()):
            os.fchown(fd, cfg.uid, cfg.gid)
