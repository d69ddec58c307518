"""Our gunicorn worker: gthread, but for what one client could hold up everybody with.

gunicorn_conf.py names it. Behind nginx little of this happens; on port 18789 itself, it does:

- a request has a thread from the moment its head is there: connections that say nothing, or half a head, wait in the
  main loop's poll (gunicorn gives each one a thread, so that a hundred of them starve all);
- a head has a minute to come; an answer that is not read is given up (gunicorn's write would wait for ever);
- where few threads are free, those that wait for their client are freed at once, oldest first (sockets.py), but for
  answers in flight, which max_streams bounds: so an interrupt always finds a thread;
- a connection that lingers after its last answer is closed by its own thread (gunicorn's main loop waits 2 s for it,
  and meanwhile accepts nobody);
- where all connections are taken, the oldest that says nothing makes room (gunicorn accepts nobody for up to 75 s);
- no file descriptor left is waited out, and no thread left too: those that there are serve (gunicorn's worker ends in
  both cases, and the sessions in its memory with it).
"""

from __future__ import annotations

import errno
import logging
import math
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from clawgate.sockets import Clients, bounded

SPARE_THREADS = 8
"""Kept free for requests that their clients do not hold up; half of the reserve beside the answers in flight."""
CROWDED_TICK_S = 0.02
LOOK_EVERY_S = 0.25
HEAD_END = b"\r\n\r\n"
PEEKED_BYTES = 1 << 14
"""A head that is longer is read by a thread, which refuses it or can be freed like any other."""
LAST_CHANCE_S = 1.0
"""What a connection that has said nothing yet has to begin while the worker ends."""
MAX_DRAIN_BYTES = 1 << 26
"""Of a body that was refused: closing before a client has sent it all resets the connection, and its answer is lost."""
OUT_OF_FDS_S = 0.1
SAY_EVERY_S = 5
log = logging.getLogger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves each request on a thread of its own.

    Threads: `handle` and `handle_request` on a request's own, everything else on the main loop.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clients = Clients()
        self._said_at = -math.inf
        self._looked_at = -math.inf
        self._closes_at = math.inf
        self._is_crowded = False

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Make the pool of a request's threads."""
        self._pool = _Pool(max_workers=self.cfg.threads)
        return self._pool

    # --- the main loop: connections without a thread ----------------------------------------------------------------

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for connections and for what they say; where threads are few, look soon whether some can be freed."""
        super().wait_for_and_dispatch_events(min(timeout, CROWDED_TICK_S) if self._is_crowded else timeout)
        missing = SPARE_THREADS + self._pool.waiting + len(self.clients) - self.cfg.threads
        self._is_crowded = missing > 0
        if self._is_crowded:
            self.clients.shed(missing)

    def accept(self, listener: Any) -> None:
        """Accept a connection; where no fd is left, say so and wait for some."""
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            if time.monotonic() > self._said_at + SAY_EVERY_S:
                self._said_at = time.monotonic()
                log.error("no file descriptor is left for new connections: raise LimitNOFILE or `ulimit -n`")
            time.sleep(OUT_OF_FDS_S)
        waiting = self.pending_conns or self.keepalived_conns
        if self.nr_conns >= self.worker_connections and waiting:
            self._drop(waiting[0])

    def enqueue_req(self, conn: Any) -> None:
        """Give a request a thread where its head is there; else wait for more of it without one."""
        if self._has_head(conn):
            conn.data_ready = True
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        has_begun = getattr(conn, "wanted_bytes", 1) > 1
        conn.timeout = conn.head_due if has_begun else time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _has_head(self, conn: Any) -> bool:
        """Look whether a whole head is there, without taking it; where it is not, the poll shall wait for more."""
        if self.cfg.is_ssl or (conn.parser is not None and conn.parser.unreader.buf.getvalue()):
            return True  # nothing that could be looked at
        try:
            said = conn.sock.recv(PEEKED_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # its thread meets the same
        wanted = getattr(conn, "wanted_bytes", 1)
        # less than was wanted: the client has sent its last, and its thread finds that out
        is_ready = len(said) < wanted or HEAD_END in said or len(said) == PEEKED_BYTES
        if not is_ready and wanted == 1:
            conn.head_due = time.monotonic() + self.clients.reads.limit_s
        if not is_ready or wanted > 1:
            conn.wanted_bytes = 1 if is_ready else len(said) + 1
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, conn.wanted_bytes)
        return is_ready

    def murder_pending(self) -> None:
        """Close what has said nothing, or no whole head, for too long; while the worker ends, that is a moment."""
        now = time.monotonic()
        if not self.alive:
            self._closes_at = min(self._closes_at, now + LAST_CHANCE_S)
        if now < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = now
        for conn in [conn for conn in self.pending_conns if min(conn.timeout, self._closes_at) <= now]:
            self._drop(conn)

    def _drop(self, conn: Any) -> None:
        """Close a connection that waits in the poll."""
        waiting = self.pending_conns if conn in self.pending_conns else self.keepalived_conns
        waiting.remove(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread, which may have closed it."""
        if conn.sock.fileno() < 0:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    # --- a request's own thread --------------------------------------------------------------------------------------

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection."""
        client = conn.sock
        self.clients.enter(client)
        try:
            if not conn.initialized:
                bounded(client)
            self.clients.reads.begin(client)
            is_kept = super().handle(conn)
            if not is_kept and client.fileno() >= 0:
                self.clients.linger(client)
                client.setblocking(True)
                close_graceful(client, max_drain=MAX_DRAIN_BYTES)
            return is_kept
        finally:
            self.clients.reads.end(client)
            self.clients.leave(client)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head is there."""
        self.clients.reads.end(conn.sock)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:  # a write that took too long: the client is as good as gone, and no fault
            raise BrokenPipeError(errno.EPIPE, "the client reads nothing") from error
        finally:
            self.clients.linger(conn.sock)  # gunicorn takes what is left of the body


class _Pool(ThreadPoolExecutor):
    """Waits for one of its threads where the system gives it no more."""

    @property
    def waiting(self) -> int:
        """Return how many requests wait for a thread."""
        return self._work_queue.qsize()

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()  # what `submit` calls when its item is in the queue
        except RuntimeError:
            if not self._threads:
                raise
            log.error("no thread is left for a request, it waits: raise TasksMax or `ulimit -u`")
