"""The one wait of a pump: a single poll() over the upstream socket, the run's wake event and the client's socket.

So the pump notices an interrupt, a client that leaves, silence and data at once, and nothing else ever blocks it.
"""

from __future__ import annotations

import math
import os
import select
import socket
import sys
import threading
from typing import Protocol

POLLRDHUP: int = getattr(select, "POLLRDHUP", 0)
"""Linux reports a half-close without a read; other systems need POLLIN and a peek."""

WAKE = (1).to_bytes(8, sys.byteorder)
"""The bytes that an eventfd expects; a pipe takes any."""


class Wakes(Protocol):
    """A thing that is woken whenever a run's log grows."""

    def wake(self) -> None:
        """Note that; it returns at once."""


class WakeEvent(threading.Event):
    """A threading.Event that a poll() can wait for: `set` cancels the run, `wake` only ends the pump's wait.

    Threads: any thread may call `set` and `wake`; `_fd_lock` keeps them from writing to an fd that was closed and has
    another owner by now.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fd_lock = threading.Lock()
        self._read_fd, self._write_fd = _wake_fds()
        self._is_open = True

    def fileno(self) -> int:
        """Return the fd that becomes readable."""
        return self._read_fd

    def set(self) -> None:
        """Cancel the run, for good."""
        super().set()
        self.wake()

    def wake(self) -> None:
        """Make the poll return once."""
        with self._fd_lock:
            if self._is_open:
                try:
                    os.write(self._write_fd, WAKE)
                except BlockingIOError:
                    pass  # a full pipe wakes as well

    def clear_wake(self) -> None:
        """Clear the wake-ups so far; the Event keeps its state."""
        try:
            os.read(self._read_fd, 4096)
        except BlockingIOError:
            pass

    def release(self) -> None:
        """Give the fds back; later wake-ups have no effect."""
        with self._fd_lock:
            if self._is_open:
                self._is_open = False
                for fd in {self._read_fd, self._write_fd}:
                    os.close(fd)


def _wake_fds() -> tuple[int, int]:
    if hasattr(os, "eventfd"):
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        return fd, fd
    read_fd, write_fd = os.pipe()
    os.set_blocking(read_fd, False)
    os.set_blocking(write_fd, False)
    return read_fd, write_fd


class Waiter:
    """Polls for one pump. Two poll objects: most waits (the smoothing window) leave the upstream socket out.

    Threads: any, one at a time.
    """

    def __init__(self, wake_event: WakeEvent) -> None:
        self._wake_event = wake_event
        self._client: socket.socket | None = None
        self._client_fd = -1
        self._upstream_fd = -1
        self._quiet = select.poll()
        self._quiet.register(wake_event.fileno(), select.POLLIN)
        self._all = select.poll()
        self._all.register(wake_event.fileno(), select.POLLIN)

    def watch(self, upstream_fd: int | None) -> None:
        """Watch this upstream socket from now on; None for none."""
        if self._upstream_fd >= 0:
            self._all.unregister(self._upstream_fd)
        self._upstream_fd = -1 if upstream_fd is None else upstream_fd
        if self._upstream_fd >= 0:
            self._all.register(self._upstream_fd, select.POLLIN)

    def watch_client(self, client: socket.socket | None) -> None:
        """Watch this client's socket from now on; None for none."""
        fd = -1 if client is None else client.fileno()
        for poller in (self._quiet, self._all):
            if self._client_fd >= 0:
                poller.unregister(self._client_fd)
            if fd >= 0:
                poller.register(fd, POLLRDHUP or select.POLLIN)
        self._client, self._client_fd = client, fd

    def wait(self, timeout_s: float, for_upstream: bool) -> bool:
        """Wait for a wake-up, the client's leave or the time-out; return whether the client has hung up.

        for_upstream: upstream data ends the wait as well.

        Units: timeout_s is rounded up to whole milliseconds; below zero counts as zero, and math.inf has no end.
        """
        timeout_ms = None if timeout_s == math.inf else int(timeout_s * 1000) + 1 if timeout_s > 0 else 0
        is_client_gone = False
        for fd, _ in (self._all if for_upstream else self._quiet).poll(timeout_ms):
            if fd == self._client_fd:
                is_client_gone = self._is_client_gone()
            elif fd != self._upstream_fd:
                self._wake_event.clear_wake()
        return is_client_gone

    def _is_client_gone(self) -> bool:
        if POLLRDHUP:
            return True
        assert self._client is not None
        try:
            gone = not self._client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if not gone:  # a pipelined request would end every poll from now on
            self.watch_client(None)
        return gone
