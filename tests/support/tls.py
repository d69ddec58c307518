"""A certificate authority of a test's own, and a front that speaks TLS before any server on loopback."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from types import TracebackType

from tests.support.tools import DEADLINE_S, require

_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
NAMES = "DNS:localhost,IP:127.0.0.1"


class Authority:
    """A private authority: `certificate` is its own, `context` makes a server's."""

    def __init__(self, folder: Path) -> None:
        self._openssl = require("openssl", "the test makes certificates")
        self._folder = folder
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "authority.pem"
        self._key = folder / "authority.key"
        self._run("req", "-x509", *_NEW_KEY, "-days", "2", "-subj", "/CN=a test", "-keyout", str(self._key))

    def context(self, names: str = NAMES, days: int = 2) -> ssl.SSLContext:
        """Make the context of a server with a certificate for these names; negative days: it has expired."""
        self._count += 1
        key, certificate = self._folder / f"server{self._count}.key", self.issued(self._count)
        request, extensions = self._folder / "request", self._folder / "extensions"
        extensions.write_text(f"subjectAltName={names}\n")
        self._run("req", *_NEW_KEY, "-subj", "/CN=server", "-keyout", str(key), out=request)
        signed_by = ["-CA", str(self.certificate), "-CAkey", str(self._key), "-CAcreateserial"]
        options = ["-in", str(request), "-days", str(days), "-extfile", str(extensions)]
        self._run("x509", "-req", *options, *signed_by, out=certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def issued(self, number: int = 1) -> Path:
        """Return the certificate of a server: the first one has the number 1."""
        return self._folder / f"server{number}.pem"

    def _run(self, *arguments: str, out: Path | None = None) -> None:
        command = [self._openssl, *arguments, "-out", str(out or self.certificate)]
        subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)


class TlsFront:
    """A running front before a port of loopback. A context manager.

    Threads: one accepts, one serves each connection; they end with the front.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.context = context
        """The next connection gets it; a test may put another in its place."""
        self.handshakes = 0
        """The connections that were accepted, whether or not their handshake went well."""
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, name="tls-front")]
        self._threads[0].start()

    def __enter__(self) -> TlsFront:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        self._listener.close()

    @property
    def base_url(self) -> str:
        """The value for `model.endpoint`."""
        return f"https://localhost:{self._listener.getsockname()[1]}"

    def _accept(self) -> None:
        while not self._is_over.is_set():
            try:
                plain = self._listener.accept()[0]
            except OSError:
                return
            self.handshakes += 1
            self._threads.append(threading.Thread(target=self._serve, args=(plain,), name="tls-connection"))
            self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(DEADLINE_S)
        with self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as client:
            try:
                client.do_handshake()
                with socket.create_connection(self._upstream, DEADLINE_S) as upstream:
                    self._copy(client, upstream)
            except OSError:
                _linger(client)

    def _copy(self, client: ssl.SSLSocket, upstream: socket.socket) -> None:
        while not self._is_over.is_set():
            readable = [client] if client.pending() else select.select([client, upstream], [], [], 0.1)[0]
            for sock in readable:
                data = sock.recv(1 << 16)
                if not data:
                    return
                (upstream if sock is client else client).sendall(data)


def _linger(client: ssl.SSLSocket) -> None:
    """Read what still comes before closing, as servers do: a reset would overtake the alert that was sent."""
    try:
        socket.socket.shutdown(client, socket.SHUT_WR)
        while socket.socket.recv(client, 1 << 16):
            pass
    except OSError:
        pass
