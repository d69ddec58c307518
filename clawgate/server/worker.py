"""Our gunicorn worker: gthread, but for what one client could hold up everybody with.

gunicorn_conf.py names it. Behind nginx little of this happens; on port 18789 itself, it does:

- a request has a thread once it is there, with its body if that is short: connections that say nothing, or half a
  request, wait in the main loop's poll (gunicorn gives each one a thread, so that a hundred of them starve all);
- a request has a minute to come; an answer that is not read is given up (gunicorn's write would wait for ever);
- where few threads are free, those that wait for their client are freed at once, oldest first (sockets.py), but for
  answers in flight, which max_streams bounds: so an interrupt always finds a thread;
- a connection that lingers after its last answer is closed by its own thread (gunicorn's main loop waits 2 s for it,
  and meanwhile accepts nobody);
- an answer that leaves more of a body unread than gunicorn would skip says that the connection ends with it (gunicorn
  says keep-alive and closes, so that the next request on it is lost: behind nginx a 502 for whoever sends it);
- where all connections are taken, the oldest that says nothing makes room (gunicorn accepts nobody for up to 75 s);
- no file descriptor left is waited out, and no thread left too: those that there are serve (gunicorn's worker ends in
  both cases, and the sessions in its memory with it).
"""

from __future__ import annotations

import errno
import logging
import math
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from selectors import EVENT_READ
from typing import Any, NamedTuple

from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from clawgate.sockets import LAST_CHANCE_S, Clients, bounded, shut_down

SPARE_THREADS = 8
"""Kept free for requests that their clients do not hold up; half of the reserve beside the answers in flight."""
CROWDED_TICK_S = 0.02
LOOK_EVERY_S = 0.25
PATIENCE_S = 0.5
"""How long a client is waited for where threads are few; where requests wait for one, for no time."""
HEAD_END = b"\r\n\r\n"
PEEKED_BYTES = 1 << 14
"""A longer request is read by a thread, which can be freed like any other."""
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,18})")
_SLOW = (b"\ntransfer-encoding:", b"\nexpect:")
"""Bodies without a length, and those that come only when they are asked for."""
MAX_DRAIN_BYTES = 1 << 26
"""Of a body that was refused: closing before a client has sent it all resets the connection, and its answer is lost."""
SKIPPED_BYTES = 1 << 16
"""Of a body that nobody reads: gunicorn keeps a connection with less behind an answer, and closes one with more."""
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
        self._appearanceed_at = -math.inf
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
        self._make_room()
        spare = min(SPARE_THREADS, self.cfg.threads // 2)
        missing = spare + self._pool.waiting + len(self.clients) - self.cfg.threads
        self._is_crowded = missing > 0
        if self._is_crowded:
            self.clients.shed(missing, 0 if self._pool.waiting else PATIENCE_S)

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

    def _make_room(self) -> None:
        """Close the oldest silent connection where all are taken.

        Never while events are dispatched: one of the same poll may be of that very connection, and gunicorn's handler
        of it would end the worker.
        """
        while self.nr_conns >= self.worker_connections and (waiting := self.pending_conns or self.keepalived_conns):
            self._drop(waiting[0])

    def enqueue_req(self, conn: Any) -> None:
        """Give a request a thread where it is there; else wait for more of it without one."""
        if self._is_there(conn):
            conn.data_ready = True
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        has_begun = getattr(conn, "wanted_bytes", 1) > 1
        conn.timeout = conn.due if has_begun else time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _is_there(self, conn: Any) -> bool:
        """Look whether a request is there, without taking it; where it is not, the poll shall wait for more of it."""
        conn.is_whole = False
        if self.cfg.is_ssl or (conn.parser is not None and conn.parser.unreader.buf.getvalue()):
            return True  # nothing that could be looked at
        try:
            said = conn.sock.recv(PEEKED_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True  # its thread meets the same
        before, (wanted, is_all) = getattr(conn, "wanted_bytes", 1), outlook(said)
        # less than the poll was to wait for: the client has sent its last, and its thread finds that out
        is_there = not before <= len(said) < wanted <= PEEKED_BYTES
        conn.is_whole = is_all and len(said) >= wanted
        if not is_there and before == 1:
            conn.due = time.monotonic() + self.clients.reads.limit_s
        if not is_there or before > 1:
            self._want(conn, 1 if is_there else wanted)
        return is_there

    def _want(self, conn: Any, count: int) -> None:
        """Have the poll, and each read, wait for so many bytes."""
        conn.wanted_bytes = count
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def murder_pending(self) -> None:
        """Close what has said nothing, or no whole request, for too long; while the worker ends, that is a moment."""
        now = time.monotonic()
        if not self.alive:
            self._closes_at = min(self._closes_at, now + LAST_CHANCE_S)
        if now < self._appearanceed_at + LOOK_EVERY_S:
            return
        self._appearanceed_at = now
        for conn in [conn for conn in self.pending_conns if min(conn.timeout, self._closes_at) <= now]:
            self._give_up(conn)

    def _give_up(self, conn: Any) -> None:
        """Wait no longer for a connection: a thread answers what it makes of half a request, and it closes the rest."""
        if getattr(conn, "wanted_bytes", 1) == 1:
            self._drop(conn)
            return
        self._take_out(conn)
        shut_down(conn.sock, socket.SHUT_RD)
        self._want(conn, 1)
        super().enqueue_req(conn)

    def _drop(self, conn: Any) -> None:
        """Close a connection that waits in the poll."""
        self._take_out(conn)
        self.nr_conns -= 1
        conn.close()

    def _take_out(self, conn: Any) -> None:
        waiting = self.pending_conns if conn in self.pending_conns else self.keepalived_conns
        waiting.remove(conn)
        self.poller.unregister(conn.sock)

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
        self.clients.enter(client, is_whole=conn.is_whole)
        try:
            if not conn.initialized:
                bounded(client)
            if not conn.is_whole:
                self.clients.reads.begin(client)
            is_kept = super().handle(conn)
            if not is_kept:
                self._linger(client)
        finally:
            self.clients.reads.end(client)
            has_left = self.clients.leave(client)
        if is_kept and not has_left:  # nothing can be read from it any more
            client.close()
            return False
        return is_kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Serve a request whose head is there."""
        if self.clients.reads.end(conn.sock) is not None:
            return False  # its time was over, or its thread was needed: it has been shut
        is_last = req.should_close  # asked when the head of the answer is written
        req.should_close = lambda: is_last() or is_left(req.body)
        try:
            return super().handle_request(req, conn)
        except BlockingIOError as error:  # a write that took too long: the client is as good as gone, and no fault
            raise BrokenPipeError(errno.EPIPE, "the client reads nothing") from error
        finally:
            if not conn.is_whole:
                self.clients.linger(conn.sock)  # gunicorn takes what is left of the body

    def _linger(self, client: socket.socket) -> None:
        """Close a connection when the other side does, or soon."""
        if client.fileno() >= 0:
            self.clients.linger(client)
            client.setblocking(True)
            close_graceful(client, max_drain=MAX_DRAIN_BYTES)


class Outlook(NamedTuple):
    """How much of a request is to be there before it has a thread, and whether that is all of it."""

    wanted_bytes: int
    is_all: bool


def outlook(said: bytes) -> Outlook:
    """Tell by the beginning of a request what is to come: all of it, or the head where the rest may be long in coming.

    A hint only: what gunicorn makes of the head counts, and its reading has a deadline whatever stands here.
    """
    head_bytes = said.find(HEAD_END) + len(HEAD_END)
    if head_bytes < len(HEAD_END):
        return Outlook(len(said) + 1, is_all=False)
    head = said[:head_bytes].lower()
    length = _LENGTH.search(head)
    all_bytes = head_bytes + int(length[1]) if length else head_bytes
    is_slow = all_bytes > PEEKED_BYTES or any(mark in head for mark in _SLOW)
    return Outlook(head_bytes if is_slow else all_bytes, is_all=not is_slow)


def is_left(body: Any) -> bool:
    """Tell whether too much of a request's body is unread for another request to follow it; of chunks, whether any."""
    left = getattr(body.reader, "length", None)
    if left is None:
        return getattr(body.reader, "parser", None) is not None
    return bool(left >= SKIPPED_BYTES)


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
