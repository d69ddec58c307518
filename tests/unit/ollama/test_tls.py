"""An Ollama behind https: the exchange reads TLS without blocking, and leaves nothing of it unread."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from requests import adapters

from clawgate.config import StreamConfig
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.exchange import MAX_READ_BYTES
from clawgate.relay.events import Ended
from clawgate.relay.prompt import Prompt
from clawgate.relay.pump import Pump
from clawgate.relay.reader import Reader
from clawgate.relay.recorder import Recorder
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message
from tests.support.tools import DEADLINE_S, require

PIECES = ("春", "光", "x" * (2 * MAX_READ_BYTES), "y" * (MAX_READ_BYTES + 1000), "!")


class SecureOllama:
    """An Ollama that answers one chat over TLS, in pieces with pauses between them."""

    def __init__(self, key: Path, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE_S)
        self.endpoint = f"https://localhost:{self._listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as plain:
            plain.settimeout(DEADLINE_S)
            with self._context.wrap_socket(plain, server_side=True) as sock:
                data = b""
                while b"\r\n\r\n" not in data or not data.endswith(b"}"):
                    data += sock.recv(1 << 16)
                sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
                time.sleep(0.05)
                sock.sendall(b"\r\n")
                for piece in PIECES:
                    time.sleep(0.05)
                    _send(sock, {"message": {"content": piece}})
                _send(sock, {"done": True, "done_reason": "stop"})
                try:
                    sock.sendall(b"0\r\n\r\n")
                    sock.recv(1)
                except OSError:
                    pass  # the gateway has closed it first


def _send(sock: ssl.SSLSocket, frame: dict[str, Any]) -> None:
    line = msgspec.json.encode(frame) + b"\n"
    sock.sendall(b"%x\r\n%b\r\n" % (len(line), line))


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecureOllama]:
    """An Ollama whose certificate is trusted."""
    openssl, key, certificate = require("openssl", "the test makes a certificate"), tmp_path / "key", tmp_path / "cert"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE_S)
    monkeypatch.setattr(adapters, "DEFAULT_CA_BUNDLE_PATH", str(certificate))
    secure = SecureOllama(key, certificate)
    secure.thread.start()
    yield secure
    secure.thread.join()


@pytest.mark.parametrize("smoothing_ms", [0, 20])
def test_an_answer_over_tls_is_whole(secure: SecureOllama, smoothing_ms: int) -> None:
    prompt = Prompt(model="m", messages=(Message(role="user", content="q"),))
    run = Run("s", "r", prompt, lambda _: True, WakeEvent())
    limits = StreamConfig(retry_seconds=0, stall_seconds=2, smoothing_ms=smoothing_ms)
    pump = Pump(run, lambda: OllamaClient(secure.endpoint), limits, Recorder(run, (), now=0))
    last = list(Reader(run, pump, heartbeat_s=60).events())[-1]
    run.release()
    assert isinstance(last, Ended)
    assert (last.done_reason, last.error) == ("stop", None)
    assert run.text == "".join(PIECES)
