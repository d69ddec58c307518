"""gunicorn's settings, all derived from ours: `gunicorn -c python:clawgate.gunicorn_conf clawgate.wsgi:app`.

`clawgate serve` runs exactly that. One worker, because sessions live in its memory; gthread with a thread for every
answer in flight and a reserve, so that interrupt, health and the page answer while every stream is taken.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from clawgate.config import load
from clawgate.drain import Drain
from clawgate.errors import ConfigError
from clawgate.logs import dict_config

RESERVED_THREADS = 16

try:
    _config = load(os.environ.get("CLAWGATE_CONFIG"))
except ConfigError as error:
    print(f"clawgate: {error}", file=sys.stderr)
    raise SystemExit(2) from error

_host = _config.server.host
bind = f"[{_host}]:{_config.server.port}" if ":" in _host else f"{_host}:{_config.server.port}"
worker_class = "gthread"
workers = _config.server.workers
threads = _config.server.max_streams + RESERVED_THREADS
worker_connections = threads + 1000  # beside the threads: kept-alive connections that ask nothing
timeout = 60  # of the worker's main loop, not of requests: 0 would leave a hung worker for ever
graceful_timeout = int(_config.server.graceful_seconds) + 10  # our own drain ends the answers; this is its safety net
keepalive = 75  # longer than nginx keeps an idle connection to us (60 s), so that it never meets a closed one
control_socket_disable = True  # it wants a writable home
logconfig_dict = dict_config(_config.logging)
accesslog = None


def on_starting(server: Any) -> None:
    """Hold what the environment or the command line may have changed against what sessions in memory allow."""
    if server.cfg.workers != workers:
        server.log.error("clawgate: %d workers: sessions live in one process's memory; use 1", server.cfg.workers)
        raise SystemExit(2)


def when_ready(server: Any) -> None:
    """Print the one line on stdout that scripts wait for."""
    port = server.LISTENERS[0].sock.getsockname()[1]
    print(f"Server started on :{port}", flush=True)


def post_worker_init(worker: Any) -> None:
    """Put our drain before gunicorn's own ending of a worker."""
    gateway = worker.wsgi.extensions["clawgate"]
    Drain(gateway.desk, gateway.config.server.graceful_seconds).install()
