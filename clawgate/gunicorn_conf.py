"""gunicorn's settings, all derived from ours: `gunicorn -c python:clawgate.gunicorn_conf clawgate.wsgi:app`.

`clawgate serve` runs exactly that. A worker (server/worker.py) has a thread for every answer in flight and a reserve,
so that interrupt, health and the page answer while every stream is taken. There is one where sessions live in its
memory. Of several, each may serve as many answers as all together: so none is refused because one worker is full.
The memory in which they see each other is made before the fork; each has a place there, which its successor gets.

The application is built in the master and inherited by each worker: a worker that crashed is replaced by one with the
configuration in force, even if the file has changed since. SIGHUP changes that configuration in the master and in each
worker, in place; gunicorn's own reload would replace the worker, and the sessions in its memory with it.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
import logging.config
import os
import resource
from collections.abc import Callable
from functools import partial
from signal import SIGHUP
from typing import Any

from gunicorn.systemd import sd_notify

from clawgate import unix_socket
from clawgate.addresses import socket_path
from clawgate.app import Gateway, Reloaded, reloaded, store_standing
from clawgate.config import cautions, load
from clawgate.console import complain, say
from clawgate.errors import ConfigError
from clawgate.ports import PortTaken
from clawgate.relay.closings import MOST as MOST_CLOSINGS
from clawgate.server.crew import Crew
from clawgate.server.signals import Signals
from clawgate.telemetry.ids import KEY_BYTES
from clawgate.telemetry.logs import ACCESS_LINE, dict_config

RESERVED_THREADS = 16
SAFETY_NET_S = 10
"""gunicorn waits so much longer than our own drain, which ends the answers."""
MAX_SILENT = 1000
MIN_SILENT = 32
"""Kept-alive connections that ask nothing, beside the threads. nginx keeps 32."""
FDS_PER_ANSWER = 2
"""An answer's fds beside its client's."""
OTHER_FDS = 64 + MOST_CLOSINGS
LEAST_FDS = 32
"""Fewer than these do not even let a worker start and answer one request."""
M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 128 << 10
log = logging.getLogger("clawgate")

try:
    _config = load(os.environ.get("CLAWGATE_CONFIG"))
    _store = store_standing(_config)  # before the application is built, which connects only once it serves
except ConfigError as error:
    complain(str(error))
    raise SystemExit(2) from error
if _store is not None and _store.problem is not None and _config.session.redis_required:
    complain(f"session.redis_url: {_store.problem}")
    raise SystemExit(1)


def _affordable(connections: int, at_least: int, other_fds: int) -> int:
    """Raise the limit of file descriptors as far as the system lets us; return how many connections it is enough for.

    Silent connections could use all of them, as 1,000 do at the usual `ulimit -n` of 1,024. No further connection would
    be accepted until some are closed for their silence; so they have to make room before.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FDS:
        complain(f"{hard} file descriptors are too few: raise LimitNOFILE or `ulimit -n`")
        raise SystemExit(1)
    wanted = connections + other_fds
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else max(at_least, min(connections, soft - other_fds))


# gunicorn would notify systemd before there is a worker; our worker does so once it serves.
_notify_socket = os.environ.pop("NOTIFY_SOCKET", None)

_host = _config.server.host
_path = socket_path(_host)
bind = _host if _path else f"[{_host}]:{_config.server.port}" if ":" in _host else f"{_host}:{_config.server.port}"
worker_class = "clawgate.server.worker.Worker"
workers = _config.server.workers
_streams = _config.server.max_streams * workers
threads = _streams + RESERVED_THREADS  # made as they are needed
worker_connections = _affordable(threads + MAX_SILENT, threads + MIN_SILENT, FDS_PER_ANSWER * _streams + OTHER_FDS)
timeout = 60  # of the worker's main loop, not of requests: 0 would leave a hung worker for ever
graceful_timeout = int(_config.server.graceful_seconds) + SAFETY_NET_S
keepalive = (
    75  # longer than nginx keeps an idle connection to us (60 s), so that nginx sends no request to a closed one
)
preload_app = True
control_socket_disable = True  # it wants a writable home
forwarded_allow_ips = ",".join(_config.server.trusted_proxies)
forwarder_headers = ""  # SCRIPT_NAME is gunicorn's default: a proxy that passes underscores on let clients move paths
logconfig_dict = dict_config(_config.logging, os.urandom(KEY_BYTES))  # until the application brings its own key
access_log_format = ACCESS_LINE


def on_starting(server: Any) -> None:
    """Refuse another number of workers than the configuration has: its checks are not made, nor the room for them."""
    if server.cfg.workers != workers:
        cure = "sessions live in one process's memory; use 1" if workers == 1 else f"server.workers says {workers}"
        server.log.error("clawgate: %d workers: %s", server.cfg.workers, cure)
        raise SystemExit(2)
    for words in () if _store is None else (_store.problem, *_store.warnings):
        if words is not None:
            log.warning("session.redis_url: %s", words)
    server.crew = Crew(workers) if workers > 1 else None
    if _path and server.cfg.bind == [bind] and os.environ.get("LISTEN_PID") != str(os.getpid()):
        try:  # gunicorn's own way takes the socket of a gateway that lives, and fails with a traceback
            server.cfg.set("bind", f"fd://{unix_socket.listen(_path).detach()}")
        except PortTaken as error:
            complain(f"server.host: {error}")
            raise SystemExit(1) from error


def when_ready(server: Any) -> None:
    """Put our reload in the place of gunicorn's, and our way to remove a Unix socket."""
    server.handle_hup = partial(_reload_master, server)
    server.handle_ttin = partial(_add_worker, server, server.handle_ttin)
    if _path and not server.systemd and server.cfg.bind[0].startswith("fd://"):
        server.systemd = True  # the file is not gunicorn's to remove: it fails where the file is gone, or is another's
        server.cfg.set("on_exit", partial(_remove_socket, _path, unix_socket.identity_of(_path)))
    gc.freeze()


def _remove_socket(path: str, identity: tuple[int, int] | None, server: Any) -> None:  # noqa: ARG001
    unix_socket.remove(path, identity)


def _add_worker(server: Any, add: Callable[[], None]) -> None:
    """Add a worker at SIGTTIN, where SIGTTOU has taken one away; for more there is no place."""
    if server.num_workers < workers:
        add()
    else:
        log.warning("SIGTTIN adds no worker: server.workers is %d", workers)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the worker a place that none of the living has."""
    taken = {each.place for each in server.WORKERS.values()}
    worker.place = next(place for place in itertools.count() if place not in taken)


def post_fork(server: Any, worker: Any) -> None:
    """Take the place, in the worker."""
    worker.crew = server.crew
    if server.crew is not None:
        server.crew.join(worker.place)
        _gateway_of(server.app.callable).join(worker.place)


def child_exit(server: Any, worker: Any) -> None:
    """Clear the place of a worker that has ended, in the master; the kernel has taken its slots already."""
    if server.crew is not None:
        server.crew.clear(worker.place)
        _gateway_of(server.app.callable).clear(worker.place)


def worker_exit(server: Any, worker: Any) -> None:  # noqa: ARG001 - gunicorn's names
    """Stop the gateway's own threads, once the worker has served its last request."""
    _gateway_of(server.app.callable).stop()


def _gateway_of(app: Any) -> Gateway:
    gateway: Gateway = app.extensions["clawgate"]
    return gateway


def post_worker_init(worker: Any) -> None:
    """Put our drain and reload in front of gunicorn's own handlers of signals, and say that the worker serves."""
    _map_large_blocks()
    gateway = _gateway_of(worker.wsgi)
    worker.clients = gateway.clients
    if worker.crew is not None:
        worker.tell = gateway.tell
    gateway.start()
    Signals(
        drain=partial(_drain, worker, gateway),
        let_go=gateway.clients.let_go,
        reload=partial(_reload_worker, worker),
    ).install()
    _announce(worker)


def _drain(worker: Any, gateway: Gateway, is_patient: bool) -> None:
    worker.is_leaving = True
    gateway.desk.drain(gateway.config.server.graceful_seconds * is_patient)


def _map_large_blocks() -> None:
    """Have glibc map each large block by itself, so that it goes back to the system when it is freed.

    By default glibc raises its threshold to the largest block that was ever freed, up to 32 MiB. Bodies then come out
    of heaps that it keeps, one for each of some threads: 120 MiB stayed after a dozen bodies of 16 MiB.
    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    try:
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
    except (AttributeError, OSError):
        pass  # another libc


def _announce(worker: Any) -> None:
    """Print the one line on stdout that scripts wait for, and notify systemd, which a replaced worker does again."""
    if worker.age == 1:
        say(f"Server started on {', '.join(_name(each.getsockname()) for each in worker.sockets)}")
    if _notify_socket is not None:
        os.environ["NOTIFY_SOCKET"] = _notify_socket
        sd_notify("READY=1\nSTATUS=Serving", worker.log, unset_environment=True)


def _name(address: Any) -> str:
    """Name what a listener is bound to: a port, or a Unix socket's path."""
    return f":{address[1]}" if isinstance(address, tuple) else f"unix:{os.fsdecode(address)}"


def _reload_master(server: Any) -> None:
    """Read the configuration again, and have each worker do the same; an error in it is logged, and nothing changes."""
    done = _reload(server.app.callable)
    if done is not None:
        server.app.callable = done.app  # a worker that replaces this one inherits it
        server.cfg.set("graceful_timeout", int(done.change.config.server.graceful_seconds) + SAFETY_NET_S)
        server.kill_workers(SIGHUP)


def _reload_worker(worker: Any) -> None:
    """Read the configuration again where the requests are served, and log what has changed."""
    done = _reload(worker.wsgi)
    if done is not None:
        worker.wsgi = done.app
        log.info("reloaded: %s", ", ".join(done.change.changed) or "nothing has changed")
        if done.change.needs_restart:
            log.warning("needs a restart: %s", ", ".join(done.change.needs_restart))
        for caution in cautions(done.change.config, os.environ):
            log.warning("%s", caution)


def _reload(app: Any) -> Reloaded | None:
    try:
        done = reloaded(app, load(os.environ.get("CLAWGATE_CONFIG")))
    except (ConfigError, OSError) as error:  # the page's own files are read, too: it would end the master
        log.error("not reloaded: %s", error)
        return None
    if any(name.startswith("logging.") for name in done.change.changed):
        logging.config.dictConfig(dict_config(done.change.config.logging, done.log_key))
    return done
