"""One bot of a messenger's id on a machine: WeCom has one connection for each, and a second bot would take it away.

Linux only: an abstract Unix socket has no file to be left behind, and is seen out of a service's private folders. Its
name cannot be guessed, so that no other user can take it first.
Source: man 7 unix, "Abstract sockets".
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import socket
import sys


class Running(Exception):
    """A bot with this id runs on this machine already."""


class Lock:
    """Holds the id of a bot inside its block.

    Errors: Running.
    """

    def __init__(self, messenger: str, bot_id: str, secret: str) -> None:
        named = hmac.new(secret.encode(), f"{messenger}\0{bot_id}".encode(), hashlib.sha256).hexdigest()
        self._address = f"\0clawgate-bot-{named[:32]}"
        self._socket: socket.socket | None = None

    def __enter__(self) -> Lock:
        if sys.platform == "linux":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self._socket.bind(self._address)
            except OSError as error:
                self._socket.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                raise Running from error
        return self

    def __exit__(self, *error: object) -> None:
        if self._socket is not None:
            self._socket.close()
