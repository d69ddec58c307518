"""The load generator's one epoll loop, with timers: what load.py and interrupts.py run on.

Everything happens on the thread that calls `run`; handlers must not block.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
from collections.abc import Callable

from bench.script import now_us

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """Calls a socket's handler when it is ready, and a timer's when it is due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._stopped = False

    def at(self, due_us: int, call: Callable[[], None]) -> None:
        """Call once at that moment; equal moments keep their order."""
        heapq.heappush(self._timers, (due_us, next(self._order), call))

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call once, so many seconds from now."""
        self.at(now_us() + int(delay_s * 1e6), call)

    def watch(self, sock: socket.socket, events: int, handler: Callable[[int], None]) -> None:
        """Call the handler with the events whenever the socket has one of them."""
        self._handlers[sock.fileno()] = handler
        self._epoll.register(sock, events)

    def change(self, sock: socket.socket, events: int, handler: Callable[[int], None]) -> None:
        """Watch a known socket for other events, with another handler."""
        self._handlers[sock.fileno()] = handler
        self._epoll.modify(sock, events)

    def close(self, sock: socket.socket) -> None:
        """Forget the socket and close it."""
        if self._handlers.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock)
        sock.close()

    def stop(self) -> None:
        """Let `run` return after what is being handled now."""
        self._stopped = True

    def run(self, seconds: float) -> bool:
        """Run until `stop`, for at most so many seconds; false says that these ran out."""
        self._stopped = False
        end_us = now_us() + int(seconds * 1e6)
        handlers, timers = self._handlers, self._timers
        while not self._stopped:
            now = now_us()
            while timers and timers[0][0] <= now:
                heapq.heappop(timers)[2]()
            if now >= end_us:
                return False
            next_us = min(timers[0][0], end_us) if timers else end_us
            for fd, events in self._epoll.poll(max(0.0, (next_us - now) / 1e6)):
                handler = handlers.get(fd)
                if handler is not None:
                    handler(events)
        return True
