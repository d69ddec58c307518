"""Our gunicorn worker: its main loop waits for requests, and each request that is there gets a thread.

gunicorn_conf.py names it. It stands on gunicorn's base class, parser and response. The loop is ours, because with
gunicorn's own (gthread) one client can hold up all others. The worker speaks HTTP/1, with TLS where gunicorn is given a
certificate. It obeys `threads`, `worker_connections`, `keepalive` and `graceful_timeout`, but not `max_requests`, which
would end the sessions in its memory. These always hold:

- Connections that say nothing, or half a request, wait in the poll without a thread.
- A request has a minute to come, an answer 15 s for each write (serving.py).
- Threads that wait for their client are freed at once where few are free, oldest first (sockets.py). Answers in flight
  are not, since max_streams bounds them: so an interrupt always finds a thread.
- The main loop waits for no client: the thread of a request closes its connection.
- The oldest connection that says nothing makes room where all are taken, or no file descriptor is left.
- The connections and threads that there are go on where the system gives no further file descriptor or thread.
- Of several workers, the one with the least to do takes a new connection (crew.py).
"""

from __future__ import annotations

import errno
import logging
import math
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from types import FrameType
from typing import Any

from gunicorn.workers import base

from clawgate.server.connection import Arrival, Connection
from clawgate.server.crew import LEAVING, Crew
from clawgate.server.pulse import Pulse
from clawgate.server.serving import Serving
from clawgate.server.threads import Threads
from clawgate.sockets import LAST_CHANCE_S, Clients, bounded

SPARE_THREADS = 8
"""Threads kept free for requests that no client holds up; half of the reserve beside the answers in flight."""
TICK_S = 1.0
HURRIED_TICK_S = 0.02
LOOK_EVERY_S = 0.25
PATIENCE_S = 0.5
"""The least wait for a client where threads are few; where requests wait for a thread, there is none."""
ACCEPTED_AT_ONCE = 64
LEFT_TO_OTHERS_S = 0.01
"""A new connection is left for so long to a worker with less to do."""
DEAF_S = 0.1
"""The pause in accepting where the system has no means for a connection."""
OUT_OF_FDS = (errno.EMFILE, errno.ENFILE)
SPARE_FDS = 16
"""File descriptors that silent connections leave for answers once there were none; an answer takes two of its own."""
LEAST_SILENT = 8
"""Silent connections that there may be in any case: each is silent for a moment before it speaks."""
SAY_EVERY_S = 5
log = logging.getLogger(__name__)


base.WorkerTmp = Pulse  # each worker makes one, and gunicorn has no setting that says which


class Worker(base.Worker):  # type: ignore[misc]  # gunicorn has no types
    """Accepts connections, waits for their requests, and gives each request a thread.

    Threads: everything here is the main loop's, but for `_serve`.
    """

    alive: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clients = Clients()
        self.crew: Crew | None = None
        """The workers of this master, where there is more than one."""
        self.is_leaving = False
        """True from the signal to end on, while answers have their grace time: others take the new connections."""
        self.tell: Callable[[], None] = _nothing
        """Called once a second: has what this worker tells the others written down."""
        self._threads = Threads(self.cfg.threads)
        self._connections = 0
        self._new: dict[Connection, None] = {}
        """Connections in the poll that have said nothing yet, or half a request; oldest first."""
        self._kept: dict[Connection, None] = {}
        """Connections in the poll that are silent after an answer; oldest first."""
        self._served: deque[Connection] = deque()
        self._is_listening = False
        self._is_crowded = False
        self._most_silent = math.inf
        self._deaf_until = self._said_at = self._looked_at = self._told_at = self._left_until = -math.inf
        self._closes_at = math.inf

    def init_process(self) -> None:
        """Make what a forked process needs of its own, and run."""
        self._poll = DefaultSelector()
        super().init_process()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """End as at SIGTERM: signals.py has ended the answers, and their threads have yet to write that."""
        self.handle_exit(sig, frame)

    def run(self) -> None:
        """Serve until a signal comes, and then finish the requests that have threads, within the grace time."""
        self._serving = Serving(self, self.clients)
        self._poll.register(self.PIPE[0], EVENT_READ, self._take_back)  # signals write to it, and threads
        for listener in self.sockets:
            listener.setblocking(False)
            bounded(listener.sock)  # connections inherit it: each system call here can wait for the interpreter
        while self.alive:
            self._turn()
        self._listen(is_on=False)
        for listener in self.sockets:  # at once: who connects from now on is refused, or waits for the next worker
            listener.close()
        ends_at = time.monotonic() + self.cfg.graceful_timeout
        while self._connections and time.monotonic() < ends_at:
            self._turn()
        self._threads.close()

    def _turn(self) -> None:
        """Wait for what connections say, and see that there is room for the next."""
        now = time.monotonic()
        is_deaf, is_left = now < self._deaf_until, now < self._left_until
        has_room = self.alive and not is_deaf and self._connections < self.cfg.worker_connections
        self._tell_crew(has_room)
        self._listen(has_room and not is_left)
        is_hurried = is_deaf or self._is_crowded or not self.alive
        tick_s = HURRIED_TICK_S if is_hurried else TICK_S
        for key, _ in self._poll.select(min(tick_s, self._left_until - now) if is_left else tick_s):
            key.data()
        # a waiting connection is closed only from here on: another event of the same poll may have been its own
        self._look_after_all()
        self._make_room()
        self._free_threads()

    def _make_room(self) -> None:
        """Close connections that say nothing, until there is room for the next: the oldest of the new or of the kept.

        The larger crowd makes room. So a new connection has time to speak where the others are all kept, and a proxy's
        few kept ones stay where the others are all new.
        """
        while self._is_full and (waiting := max(self._new, self._kept, key=len)):
            self._drop(next(iter(waiting)))
            self._deaf_until = -math.inf

    @property
    def _is_full(self) -> bool:
        return self._connections >= self.cfg.worker_connections or self._silent > self._most_silent

    @property
    def _silent(self) -> int:
        return len(self._new) + len(self._kept)

    def _listen(self, is_on: bool) -> None:
        if is_on != self._is_listening:
            self._is_listening = is_on
            for listener in self.sockets:
                if is_on:
                    self._poll.register(listener, EVENT_READ, partial(self._accept, listener, listener.getsockname()))
                else:
                    self._poll.unregister(listener)

    def _tell_crew(self, has_room: bool) -> None:
        if self.crew is not None:
            self.crew.tell(self._connections - len(self._kept) if has_room and not self.is_leaving else LEAVING)

    def _leaves_to_others(self) -> bool:
        """Tell whether a connection that is there now is another worker's; one that was left already is taken."""
        if self.crew is None or not self.crew.is_outdone():
            return False
        now = time.monotonic()
        if now >= self._left_until + LEFT_TO_OTHERS_S:
            self._left_until = now + LEFT_TO_OTHERS_S
        return now < self._left_until

    def _accept(self, listener: Any, local: Any) -> None:
        """Accept connections as far as there is room; where the system has no means, pause.

        Several workers accept one at a time each: with it, the load has changed.
        """
        if self._leaves_to_others():
            return
        room = self.cfg.worker_connections - self._connections
        try:
            for _ in range(min(room, ACCEPTED_AT_ONCE if self.crew is None else 1)):
                sock, address = listener.accept()
                if sock.family == socket.AF_UNIX:  # it inherits nothing of its listener's
                    bounded(sock)
                conn = Connection(sock, address, local, is_tls=self.cfg.is_ssl)
                self._connections += 1
                self._dispatch(conn)
        except (BlockingIOError, ConnectionAbortedError):
            pass
        except OSError as error:
            self._deaf_until = time.monotonic() + DEAF_S
            if error.errno in OUT_OF_FDS:
                self._most_silent = max(LEAST_SILENT, self._silent - SPARE_FDS)
            if time.monotonic() > self._said_at + SAY_EVERY_S:
                self._said_at = time.monotonic()
                log.error("%s", _cause(error))

    def _dispatch(self, conn: Connection) -> None:
        """Give a request a thread where it is there; else wait for more of it without one."""
        arrival = conn.look(self.clients.reads.limit_s)
        if arrival == Arrival.REQUEST:
            self._threads.submit(partial(self._serve, conn))
        elif arrival == Arrival.END:
            self._close(conn)
        else:
            self._wait(conn)

    def _wait(self, conn: Connection) -> None:
        if not conn.has_begun:
            conn.closes_at = time.monotonic() + self.cfg.keepalive
        is_kept = conn.parser is not None and not conn.has_begun
        (self._kept if is_kept else self._new)[conn] = None
        self._poll.register(conn.sock, EVENT_READ, partial(self._resume, conn))

    def _resume(self, conn: Connection) -> None:
        """Go on with a connection that says something."""
        self._take_out(conn)
        self._dispatch(conn)

    def _take_out(self, conn: Connection) -> None:
        del (self._new if conn in self._new else self._kept)[conn]
        self._poll.unregister(conn.sock)

    def _serve(self, conn: Connection) -> None:
        """On a request's own thread: serve it, and give the connection back."""
        try:
            self._serving.serve(conn)
        finally:
            self._served.append(conn)
            self._wake()

    def _wake(self) -> None:
        try:
            os.write(self.PIPE[1], b"\0")
        except BlockingIOError:
            pass  # a full pipe wakes the loop as well

    def _take_back(self) -> None:
        """Take connections back from their threads, which have closed some."""
        os.read(self.PIPE[0], 1 << 12)
        while self._served:
            conn = self._served.popleft()
            if conn.sock.fileno() < 0:
                self._connections -= 1
            else:
                self._dispatch(conn)

    def _look_after_all(self) -> None:
        """Tell the master that we live; give up connections that have said nothing, or no whole request, for too long.

        While the worker ends, they have a moment.
        """
        now = time.monotonic()
        if now < self._looked_at + LOOK_EVERY_S:
            return
        self._looked_at = now
        self.notify()
        if now > self._told_at + TICK_S:
            self._told_at = now
            self.tell()
        self._threads.grow()
        if self.alive and self.ppid != os.getppid():
            log.info("gunicorn's master has ended, and so does this worker")
            self.alive = False
        if not self.alive:
            self._closes_at = min(self._closes_at, now + LAST_CHANCE_S)
        for conn in [*self._new, *self._kept]:
            if min(conn.closes_at, self._closes_at) <= now:
                self._give_up(conn)

    def _give_up(self, conn: Connection) -> None:
        """Wait no longer for a connection; a thread answers half a request as the parser judges it."""
        if not conn.has_begun:
            self._drop(conn)
            return
        self._take_out(conn)
        conn.take_as_it_is()
        self._threads.submit(partial(self._serve, conn))

    def _drop(self, conn: Connection) -> None:
        """Close a connection that waits in the poll."""
        self._take_out(conn)
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        conn.sock.close()
        self._connections -= 1

    def _free_threads(self) -> None:
        """Free threads that wait for their client where threads are few, and look again soon."""
        spare = min(SPARE_THREADS, self.cfg.threads // 2)
        missing = spare + self._threads.waiting + len(self.clients) - self.cfg.threads
        self._is_crowded = missing > 0
        if self._is_crowded:
            self.clients.shed(missing, 0 if self._threads.waiting else PATIENCE_S)


def _nothing() -> None:
    """Tell nobody."""


def _cause(error: OSError) -> str:
    if error.errno in OUT_OF_FDS:
        return "no file descriptor is left for new connections: raise LimitNOFILE or `ulimit -n`"
    return f"no connection can be accepted: {error}"
