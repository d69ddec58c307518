"""One bot of a messenger's id on a machine: WeCom has one connection for each, and a second bot would take it away.

Linux only: an abstract Unix socket has no file to be left behind, and is seen out of a service's private folders. Its
name cannot be guessed, but /proc/net/unix shows it to everybody while a bot runs: another user could take it before the
next start, and keep the bot from running for good. So the holder is asked whether it knows the bot's secret; who does
not is not heeded, and neither is a bot that a signal has stopped: it answers nobody.
Source: man 7 unix, "Abstract sockets".
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import logging
import os
import socket
import sys
import threading
import time

logger = logging.getLogger(__name__)

QUESTION_BYTES = 32
ASKING_S = 1.0
TRIES = 3
TRY_PAUSE_S = 0.05
"""A bot that starts is asked again: it may have its name, and not listen yet."""


class Running(Exception):
    """A bot with this id runs on this machine already."""


class Lock:
    """Holds the id of a bot inside its block.

    Threads: one of its own answers those who ask.
    Errors: Running.
    """

    def __init__(self, messenger: str, bot_id: str, secret: str) -> None:
        self._secret = secret.encode()
        name = self._digest(f"{messenger}\0{bot_id}".encode()).hex()
        self._address = f"\0clawgate-bot-{name[:32]}"
        self._socket: socket.socket | None = None
        self._is_over = False

    def __enter__(self) -> Lock:
        if sys.platform == "linux":
            holding = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                holding.bind(self._address)
                holding.listen()
            except OSError as error:
                holding.close()
                if error.errno != errno.EADDRINUSE:
                    raise
                if self._is_held_by_a_bot():
                    raise Running from error
                logger.warning(
                    "another process holds the name of this bot's lock, and does not answer as a bot: it is not heeded"
                )
                return self
            self._socket = holding
            threading.Thread(target=self._answer, args=(holding,), name="lock", daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over = True
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)  # it wakes the thread
            self._socket.close()

    def _answer(self, holding: socket.socket) -> None:
        while not self._is_over:
            try:
                asking, _ = holding.accept()
            except OSError:  # the end, or no descriptor is left
                time.sleep(TRY_PAUSE_S)
                continue
            with asking:
                try:
                    asking.settimeout(ASKING_S)
                    question = asking.recv(QUESTION_BYTES, socket.MSG_WAITALL)
                    asking.sendall(self._proof(question))
                except OSError:
                    pass

    def _is_held_by_a_bot(self) -> bool:
        question = os.urandom(QUESTION_BYTES)
        for _ in range(TRIES):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
                try:
                    asking.settimeout(2 * ASKING_S)
                    asking.connect(self._address)
                    asking.sendall(question)
                    proof = asking.recv(hashlib.sha256().digest_size, socket.MSG_WAITALL)
                    return hmac.compare_digest(proof, self._proof(question))
                except OSError:
                    time.sleep(TRY_PAUSE_S)
        return False

    def _proof(self, question: bytes) -> bytes:
        """Return what only a bot with the secret can say; no question has the digest of anything else as its answer."""
        return self._digest(b"proof\0" + question)

    def _digest(self, data: bytes) -> bytes:
        return hmac.new(self._secret, data, hashlib.sha256).digest()
