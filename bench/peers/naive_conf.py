"""gunicorn's settings for the naive relay: one gthread worker, a thread a stream, a free port that it announces."""

from __future__ import annotations

import os
from typing import Any

bind = "127.0.0.1:0"
worker_class = "gthread"
workers = 1
threads = int(os.environ.get("THREADS", "100"))
worker_connections = threads + 1000
keepalive = 75
timeout = 3600
graceful_timeout = 1
loglevel = "warning"
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Say where the relay listens, as clawgate does."""
    print(f"Server started on :{server.LISTENERS[0].sock.getsockname()[1]}", flush=True)
