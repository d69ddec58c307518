"""A loopback TCP server whose tests can kill it and bring it back on the same port.

`ollama.ScriptedOllama` is built on it. One attendant thread accepts and sees clients hang up; one thread serves each
connection. The port is bound from the first moment on, listening or not, so that nobody else can take it.
"""

from __future__ import annotations

import selectors
import socket
import threading
import traceback
from collections.abc import Callable

from tests.support.connection import Connection
from tests.support.tools import DEADLINE_S

_BACKLOG = 1024


class SocketServer:
    """Accept connections and hand each to `serve` on a thread of its own.

    Threads: start and stop come from the test's thread. `_lock` guards the connections and their counts.
    """

    def __init__(self, serve: Callable[[Connection], None], *, host: str, port: int) -> None:
        self.problems: list[str] = []
        """The failures on the harness's own threads; the fixture fails the test with them."""
        self.max_open = 0
        self._serve = serve
        self._lock = threading.Lock()
        self._served: dict[Connection, threading.Thread] = {}
        self._open: set[Connection] = set()
        self._count = 0
        self._attendant: _Attendant | None = None
        self._listener = _bound(host, port)
        self.host = host
        self.port: int = self._listener.getsockname()[1]

    @property
    def open_count(self) -> int:
        """The connections that neither side has ended."""
        return len(self._open)

    @property
    def count(self) -> int:
        """The connections accepted so far; each has its number."""
        return self._count

    @property
    def is_listening(self) -> bool:
        """True where a client that connects now is accepted; otherwise it is refused."""
        return self._attendant is not None

    def start(self) -> None:
        """Listen; does nothing while listening."""
        if self._attendant is None:
            self._listener.listen(_BACKLOG)
            self._attendant = _Attendant(self._listener, self._accept)

    def stop(self, *, reset: bool) -> None:
        """End the listener and every connection at once, as a kill does; the port stays ours and refuses.

        Errors: a serving thread that does not end is noted in `problems`.
        """
        if self._attendant is None:
            return
        self._attendant.stop()
        self._attendant = None
        self._listener.close()
        self._listener = _bound(self.host, self.port)
        with self._lock:
            served = dict(self._served)
        for connection in served:
            connection.abort(reset)
        for connection, thread in served.items():
            thread.join(DEADLINE_S)
            if thread.is_alive():
                self.problems.append(f"connection {connection.number} is still being served after stop()")

    def close(self) -> None:
        """Stop, and let the port go."""
        self.stop(reset=False)
        self._listener.close()

    def watch(self, connection: Connection) -> None:
        """Notice when the client hangs up, from now on and whatever the serving thread does."""
        if self._attendant is not None:
            self._attendant.watch(connection)

    def unwatch(self, connection: Connection) -> None:
        """Leave the connection to its serving thread: before it closes, and when it waits for another request."""
        if self._attendant is not None:
            self._attendant.unwatch(connection)

    def _accept(self, sock: socket.socket) -> None:
        with self._lock:
            self._count += 1
            connection = Connection(sock, self._count, self._forget)
            thread = threading.Thread(
                target=self._run, args=(connection,), name=f"ollama-connection-{connection.number}", daemon=True
            )
            self._served[connection] = thread
            self._open.add(connection)
            self.max_open = max(self.max_open, len(self._open))
        thread.start()

    def _run(self, connection: Connection) -> None:
        try:
            self._serve(connection)
        except Exception:  # noqa: BLE001  a test must hear of it, whatever it is
            self.problems.append(traceback.format_exc())
        finally:
            self.unwatch(connection)
            connection.close()
            with self._lock:
                self._served.pop(connection, None)

    def _forget(self, connection: Connection) -> None:
        self.unwatch(connection)  # before its number can be another connection's
        with self._lock:
            self._open.discard(connection)


class _Attendant:
    """The thread that accepts, and that sees a watched client's end of file within a millisecond.

    A watched connection is one whose request is whole: the client has nothing more to say, so that anything readable
    is its end. Bytes that come all the same (pipelining) end the watch.
    """

    def __init__(self, listener: socket.socket, accept: Callable[[socket.socket], None]) -> None:
        self._listener = listener
        self._accept = accept
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="ollama-attendant", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._wake.send(b"x")
        self._thread.join(DEADLINE_S)
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def watch(self, connection: Connection) -> None:
        try:
            self._selector.register(connection.sock, selectors.EVENT_READ, connection)
        except (ValueError, KeyError, OSError, RuntimeError):  # closed meanwhile, or the selector is
            pass

    def unwatch(self, connection: Connection) -> None:
        try:
            self._selector.unregister(connection.sock)
        except (ValueError, KeyError, OSError, RuntimeError):  # it was not watched, or the selector is closed
            pass

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    return
                if key.fileobj is self._listener:
                    self._accept(self._listener.accept()[0])
                else:
                    self._look_at(key.data)

    def _look_at(self, connection: Connection) -> None:
        try:
            data = connection.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except TimeoutError:
            return
        except OSError:  # a reset
            data = b""
        if not data:
            connection.note_hangup()
        self.unwatch(connection)


def _bound(host: str, port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock
