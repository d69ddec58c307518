"""Our gunicorn worker: gthread, but for what one client could hold up everybody with.

gunicorn_conf.py names it. Behind nginx little of this happens; on port 18789 itself, it does:

- a connection that says nothing has no thread (gunicorn gives it one for 5 s, so that 500 of them starve all threads);
- the head of a request has a minute to come (gunicorn waits as long as a byte comes now and then, and longer);
- an answer that is not read is given up (gunicorn's write would wait for ever);
- a connection that lingers after its last answer is closed by its own thread (gunicorn's main loop waits 2 s for it,
  and meanwhile accepts nobody);
- no file descriptor left is waited out, and no thread left too: those that there are serve (gunicorn's worker ends in
  both cases, and the sessions in its memory with it).
"""

from __future__ import annotations

import errno
import logging
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gunicorn.util import close_graceful
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from clawgate.web.chat import bounded_socket
from clawgate.web.deadline import Deadline

LAST_CHANCE_S = 1.0
"""What a connection that has said nothing yet has to begin while the worker ends."""
MAX_DRAIN_BYTES = 1 << 26
"""Of a body that was refused: closing before a client has sent it all resets the connection, and its answer is lost."""
OUT_OF_FDS_S = 0.1
SAY_EVERY_S = 5
log = logging.getLogger(__name__)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves each request on a thread of its own.

    Threads: `accept`, `finish_request` and `murder_pending` on the main loop, `handle` and `handle_request` on a
    request's own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heads = Deadline()
        self._said_at = -math.inf
        self._closes_at: float | None = None

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Make the pool of a request's threads."""
        return _Pool(max_workers=self.cfg.threads)

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

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection; where none has begun, hand it back to the main loop's poll."""
        if not conn.initialized and not conn.wait_for_data(0 if self.alive else LAST_CHANCE_S):
            return _DEFER
        try:
            if not conn.initialized:
                bounded_socket(conn.sock)
            self._heads.begin(conn.sock)
            is_kept = super().handle(conn)
        finally:
            self._heads.end(conn.sock)
        if not is_kept and conn.sock.fileno() >= 0:
            conn.sock.setblocking(True)
            close_graceful(conn.sock, max_drain=MAX_DRAIN_BYTES)
        return is_kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head is there."""
        self._heads.end(conn.sock)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:  # a write that took too long: the client is as good as gone, and no fault
            raise BrokenPipeError(errno.EPIPE, "the client reads nothing") from error

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread, which may have closed it."""
        if conn.sock.fileno() < 0:
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Close what has said nothing for too long; while the worker ends, that is a moment, for half a head too."""
        if not self.alive:
            if self._closes_at is None:
                self._closes_at = time.monotonic() + LAST_CHANCE_S
                self._heads.expire()
            for conn in self.pending_conns:
                conn.timeout = min(conn.timeout, self._closes_at)
        super().murder_pending()


class _Pool(ThreadPoolExecutor):
    """Waits for one of its threads where the system gives it no more."""

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()  # what `submit` calls when its item is in the queue
        except RuntimeError:
            if not self._threads:
                raise
            log.error("no thread is left for a request, it waits: raise TasksMax or `ulimit -u`")
