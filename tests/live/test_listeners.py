"""gunicorn can listen on more than a port: with TLS, and on a Unix socket."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import pytest

from tests.support.client import UnixConnection
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, text
from tests.support.tools import DEADLINE_S, require

GUNICORN = f"{sys.executable} -m gunicorn -c python:clawgate.gunicorn_conf"
THREADS = 1 + 16
"""One stream and the reserve."""
ASKED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
READ_BYTES = 8192
OK = b'{"status":"ok"}\n'


def listening(gateway: Callable[..., Gateway], options: str, is_ready_awaited: bool = True) -> Gateway:
    """Start gunicorn with further options."""
    command = ("sh", "-c", f'CLAWGATE_CONFIG="$2" exec {GUNICORN} {options} clawgate.wsgi:app', "sh")
    return gateway(command=command, server={"max_streams": 1}, is_ready_awaited=is_ready_awaited)


@pytest.fixture
def secured(gateway: Callable[..., Gateway], tmp_path: Path) -> Gateway:
    """A gateway that speaks TLS itself."""
    openssl, key, cert = require("openssl", "the test makes a certificate"), tmp_path / "key", tmp_path / "cert"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return listening(gateway, f"--certfile {cert} --keyfile {key}")


@contextmanager
def connected(gateway: Gateway) -> Iterator[HTTPSConnection]:
    """Connect and shake hands; another connection is never made in its place."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = HTTPSConnection("127.0.0.1", gateway.port, timeout=DEADLINE_S, context=context)
    connection.connect()
    connection.auto_open = 0
    yield connection
    connection.close()


def answer_of(connection: HTTPConnection, path: str, body: dict[str, str] | None = None) -> bytes:
    """Ask and return the answer's body."""
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    assert answer.status == 200
    return answer.read()


def test_a_connection_of_tls_is_kept_and_streams(secured: Gateway, ollama: ScriptedOllama) -> None:
    ollama.default(text("春"), done())
    with connected(secured) as connection:
        for _ in range(3):
            assert answer_of(connection, "/healthz") == OK
            answer = answer_of(connection, "/api/chat", {"message": "hi"})
            assert '{"message":"春"}'.encode() in answer
            assert b'"done_reason":"stop"' in answer
        # in one record of TLS, the first as long as the parser reads at once: the kernel has nothing of the second
        connection.sock.sendall(ASKED[:-2] + b"X: " + b"x" * (READ_BYTES - len(ASKED) - 5) + b"\r\n\r\n" + ASKED)
        answer = b""
        while answer.count(OK) < 2:
            answer += connection.sock.recv(1 << 16) or pytest.fail(f"closed after {answer!r}")
    assert "Traceback" not in secured.log


def test_clients_that_do_not_shake_hands_hold_up_nobody(secured: Gateway) -> None:
    with ExitStack() as stack:
        for said in [b"", b"\x16\x03\x01\x02\x00\x01"] * THREADS:
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", secured.port), DEADLINE_S))
            silent.sendall(said)
        assert answer_of(stack.enter_context(connected(secured)), "/healthz") == OK
    with socket.create_connection(("127.0.0.1", secured.port), DEADLINE_S) as plain:
        plain.sendall(ASKED)
        while plain.recv(1 << 16):
            pass
    with connected(secured) as connection:
        assert answer_of(connection, "/healthz") == OK
    assert "Traceback" not in secured.log


def test_a_unix_socket_is_named_and_served(gateway: Callable[..., Gateway], tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    started = listening(gateway, f"-b unix:{path}", is_ready_awaited=False)
    started.wait_for_line(rf"^Server started on unix:{path}$", stdout_only=True)
    connection = UnixConnection(path, DEADLINE_S)
    for _ in range(2):
        assert answer_of(connection, "/healthz") == OK
    connection.close()
