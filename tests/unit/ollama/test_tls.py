"""An Ollama behind https: whose certificate is trusted, how a bad one is told, and how TLS is read without blocking."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clawgate import trust as trust_module
from clawgate.config import StreamConfig
from clawgate.errors import UpstreamUnreachable
from clawgate.ollama import client as client_module
from clawgate.ollama import state as state_module
from clawgate.ollama.client import OllamaClient
from clawgate.ollama.exchange import MAX_READ_BYTES, Exchange
from clawgate.ollama.finding import Finding
from clawgate.ollama.state import upstream_state
from clawgate.ollama.tls import refused_handshake, trusting
from clawgate.relay.events import Ended
from clawgate.relay.prompt import Prompt
from clawgate.relay.pump import Pump
from clawgate.relay.reader import Reader
from clawgate.relay.recorder import Recorder
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message
from tests.support.ollama import DEFAULT_MODEL, ScriptedOllama
from tests.support.tls import Authority, TlsFront
from tests.support.tools import DEADLINE_S

PIECES = ("春", "光", "x" * (2 * MAX_READ_BYTES), "y" * (MAX_READ_BYTES + 1000), "!")
REQUEST = {"model": DEFAULT_MODEL, "messages": [{"role": "user", "content": "q"}], "stream": True}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority with a folder of its own."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    """A server's context, whose certificate is the authority's first."""
    return authority.context()


@pytest.fixture
def front(ollama: ScriptedOllama, good: ssl.SSLContext) -> Iterator[TlsFront]:
    """The scripted Ollama behind https."""
    with TlsFront(ollama.port, good) as front:
        yield front


def failure_at(client: OllamaClient) -> tuple[str, bool]:
    """The words of a chat that fails while it is being opened, and whether it is tried again."""
    exchange = client.chat(REQUEST)
    finish_opening(exchange)
    assert exchange.failure is not None
    assert isinstance(exchange.failure.error, UpstreamUnreachable) or not exchange.failure.is_retryable
    exchange.release()
    return exchange.failure.error.message, exchange.failure.is_retryable


def finish_opening(exchange: Exchange) -> None:
    """Start an exchange, and drive it until it is open or has failed."""
    done = threading.Event()
    exchange.start(done.set)
    assert done.wait(DEADLINE_S)
    ends_at = time.monotonic() + DEADLINE_S
    while not exchange.is_open and exchange.failure is None and time.monotonic() < ends_at:
        exchange.advance()
        time.sleep(0.001)


# --- trust ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["file", "folder", "the certificate itself"])
def test_what_ca_file_names_is_trusted(
    front: TlsFront, authority: Authority, good: ssl.SSLContext, tmp_path: Path, kind: str
) -> None:
    assert good
    (tmp_path / "notes").write_text("no certificate")
    shutil.copy(authority.certificate, tmp_path / "ours.crt")
    given = {"file": authority.certificate, "folder": tmp_path, "the certificate itself": authority.issued()}[kind]
    client = OllamaClient(front.base_url, str(given))
    shutil.rmtree(tmp_path)  # it was read once, not for each connection
    assert upstream_state(client, DEFAULT_MODEL).model_ready
    exchange = client.chat(REQUEST)
    finish_opening(exchange)
    assert exchange.is_open
    exchange.release()


def test_the_systems_authorities_are_trusted_without_it(
    front: TlsFront, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    assert upstream_state(OllamaClient(front.base_url), DEFAULT_MODEL).reachable


@pytest.mark.parametrize("kind", ["absent", "empty"])
def test_a_system_without_authorities_has_those_of_certifi(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path if kind == "empty" else tmp_path / "none"))
    monkeypatch.setattr(trust_module, "SYSTEM_BUNDLES", ())
    assert trusting(None, verify=True).cert_store_stats()["x509_ca"] > 50


def test_the_systems_authorities_are_found_where_openssl_looks_elsewhere(
    front: TlsFront, authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The binary's OpenSSL has the place of the machine that it was built on."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    monkeypatch.setattr(trust_module, "SYSTEM_BUNDLES", (str(tmp_path / "none"), str(authority.certificate)))
    assert upstream_state(OllamaClient(front.base_url), DEFAULT_MODEL).reachable


def test_without_verification_any_certificate_is_taken(front: TlsFront, authority: Authority) -> None:
    front.context = authority.context(names="DNS:elsewhere.example", days=-1)
    assert upstream_state(OllamaClient(front.base_url, verify=False), DEFAULT_MODEL).reachable


# --- refusal ----------------------------------------------------------------------------------------------------------

PUT_IT = "put that authority's certificate into a file and name it in model.ca_file"


def test_an_unknown_authority_is_told_at_once(front: TlsFront) -> None:
    words, is_retryable = failure_at(OllamaClient(front.base_url))
    assert words.startswith("Ollama has a TLS certificate of an authority that is not trusted (")
    assert words.endswith(PUT_IT)
    assert not is_retryable
    found = upstream_state(OllamaClient(front.base_url), DEFAULT_MODEL).finding
    assert found is not None
    assert found.kind == "authority"
    assert front.handshakes == 2, "a question is not asked again for it either"


def test_a_certificate_that_signs_itself_is_one_of_an_unknown_authority(
    front: TlsFront, authority: Authority, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate, authority.certificate.with_suffix(".key"))
    front.context = context
    other = Authority(tmp_path)
    assert PUT_IT in failure_at(OllamaClient(front.base_url, str(other.certificate)))[0]


@pytest.mark.parametrize(
    ("names", "days", "words"),
    [
        ("DNS:refused.example", 2, "Ollama has a TLS certificate for another name: put the name that it is for into"),
        ("IP:127.0.0.9", 2, "Ollama has a TLS certificate for another name: "),
        ("DNS:localhost", -1, "Ollama has a TLS certificate that has expired: renew it there"),
    ],
)
def test_a_certificate_that_is_not_valid_here_says_why(
    front: TlsFront, authority: Authority, names: str, days: int, words: str
) -> None:
    front.context = authority.context(names, days)
    found, is_retryable = failure_at(OllamaClient(front.base_url, str(authority.certificate)))
    assert found.startswith(words)
    assert not is_retryable


def test_an_address_is_held_against_the_certificates_addresses(front: TlsFront, authority: Authority) -> None:
    by_address = front.base_url.replace("localhost", "127.0.0.1")
    assert upstream_state(OllamaClient(by_address, str(authority.certificate)), DEFAULT_MODEL).reachable
    front.context = authority.context(names="DNS:localhost")
    found = upstream_state(OllamaClient(by_address, str(authority.certificate)), DEFAULT_MODEL).finding
    assert found == Finding("other_name")


def test_a_server_that_wants_a_certificate_of_ours_is_told(front: TlsFront, authority: Authority) -> None:
    """With TLS 1.3 its alert comes after the handshake, where an answer is awaited."""
    context = authority.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.certificate)
    front.context = context
    client = OllamaClient(front.base_url, str(authority.certificate))
    assert failure_at(client) == ("Ollama does not agree on TLS (tlsv13 alert certificate required)", False)
    found = upstream_state(client, DEFAULT_MODEL).finding
    assert found == Finding("tls", "tlsv13 alert certificate required")


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (9, "certificate is not yet valid", "not_yet_valid"),
        (10, "certificate has expired", "expired"),
        (18, "self-signed certificate", "authority"),
        (62, "Hostname mismatch", "other_name"),
        (64, "IP address mismatch", "other_name"),
        (66, "EE certificate key too weak", "certificate"),
    ],
)
def test_a_refused_certificate_is_known_by_its_code(code: int, message: str, kind: str) -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed: refused, has expired")
    error.verify_code, error.verify_message = code, message
    found = refused_handshake(error)
    assert found is not None
    assert found.kind == kind
    assert found.detail in ("", message)


# --- a handshake that does not end well -------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port that a test answers itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(DEADLINE_S)
        yield listening


def secure_client(listener: socket.socket) -> OllamaClient:
    """A client that takes the port for one of TLS."""
    return OllamaClient(f"https://localhost:{listener.getsockname()[1]}", verify=False)


def test_an_interrupt_ends_a_handshake(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 10 * DEADLINE_S)
    exchange, done = secure_client(listener).chat(REQUEST), threading.Event()
    exchange.start(done.set)
    accepted = listener.accept()[0]
    with accepted:
        accepted.settimeout(DEADLINE_S)
        assert accepted.recv(1) == b"\x16", "the handshake has begun"
        exchange.close()
        assert done.wait(DEADLINE_S)
        while accepted.recv(1 << 16):
            pass
    assert exchange.failure is None
    exchange.release()


def test_a_handshake_that_never_ends_is_given_up(listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT_S", 0.1)
    monkeypatch.setattr(state_module, "QUESTION_TIMEOUT_S", 0.1)
    words, is_retryable = failure_at(secure_client(listener))
    assert words == ("Ollama did not answer the TLS handshake in time: look whether model.endpoint is an https port")
    assert is_retryable
    found = upstream_state(secure_client(listener), DEFAULT_MODEL).finding
    assert found == Finding("no_handshake")


def answering(listener: socket.socket, answer: bytes, times: int) -> threading.Thread:
    """Answer so many connections with these bytes, after their first ones."""

    def serve() -> None:
        for _ in range(times):
            with listener.accept()[0] as accepted:
                accepted.settimeout(DEADLINE_S)
                accepted.recv(1 << 16)
                accepted.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_a_port_without_tls_is_told_at_once(listener: socket.socket) -> None:
    thread = answering(listener, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 2)
    words, is_retryable = failure_at(secure_client(listener))
    assert words == "what answers at model.endpoint does not speak TLS: begin model.endpoint with http://"
    assert not is_retryable
    assert upstream_state(secure_client(listener), DEFAULT_MODEL).finding == Finding("not_tls")
    thread.join()


def test_a_handshake_that_is_cut_is_tried_again(listener: socket.socket) -> None:
    thread = answering(listener, b"", 3)
    assert failure_at(secure_client(listener)) == ("Ollama dropped the connection", True)
    assert upstream_state(secure_client(listener), DEFAULT_MODEL).finding == Finding("dropped")
    thread.join()  # so the question came twice


# --- an answer --------------------------------------------------------------------------------------------------------


class SecureOllama:
    """An Ollama that answers one chat over TLS, in pieces with pauses between them."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
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
def secure(good: ssl.SSLContext) -> Iterator[SecureOllama]:
    """Such an Ollama."""
    secure = SecureOllama(good)
    secure.thread.start()
    yield secure
    secure.thread.join()


@pytest.mark.parametrize("smoothing_ms", [0, 20])
def test_an_answer_over_tls_is_whole(secure: SecureOllama, authority: Authority, smoothing_ms: int) -> None:
    prompt = Prompt(model="m", messages=(Message(role="user", content="q"),))
    run = Run("s", "r", prompt, lambda _: True, WakeEvent())
    limits = StreamConfig(retry_seconds=0, stall_seconds=2, smoothing_ms=smoothing_ms)
    client = OllamaClient(secure.endpoint, str(authority.certificate))
    pump = Pump(run, lambda: client, limits, Recorder(run, (), now=0))
    last = list(Reader(run, pump, heartbeat_s=60).events())[-1]
    run.release()
    assert isinstance(last, Ended)
    assert (last.done_reason, last.error) == ("stop", None)
    assert run.text == "".join(PIECES)
