"""A bot's connection with TLS: whose certificates it takes, and whose not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection, serve

from clawgate import trust
from clawgate.bots.connection import Connection
from clawgate.bots.link import Frame, Link
from tests.support.tls import Authority
from tests.support.tools import DEADLINE_S


class Greeting:
    """A wire that only connects."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_taken = threading.Event()

    def address(self) -> str:
        return self._url

    def begin(self, link: Link) -> None:  # noqa: ARG002
        self.is_taken.set()

    def hear(self, link: Link, frame: Frame) -> None:
        pass

    def tick(self, link: Link) -> None:
        pass

    def end(self) -> None:
        pass


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority with a folder of its own."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def url(authority: Authority) -> Iterator[str]:
    """The address of a server behind TLS."""

    def listen(connection: ServerConnection) -> None:
        for _ in connection:
            pass

    with serve(listen, "127.0.0.1", 0, ssl=authority.context()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"wss://localhost:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join(DEADLINE_S)


@contextmanager
def kept(url: str) -> Iterator[tuple[Greeting, threading.Event]]:
    """A connection to an address that is being kept, and the event of a failed attempt."""
    failed, wire = threading.Event(), Greeting(url)

    def give_up(_: float) -> None:
        failed.set()
        connection.stop()

    connection = Connection(wire, pause=give_up)
    thread = threading.Thread(target=connection.keep)
    thread.start()
    try:
        yield wire, failed
    finally:
        connection.stop()
        thread.join(DEADLINE_S)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An OpenSSL that was built on another system, as the binary's may be."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return monkeypatch


def test_the_systems_authorities_are_found_where_openssl_looks_elsewhere(
    elsewhere: pytest.MonkeyPatch, authority: Authority, url: str
) -> None:
    elsewhere.setattr(trust, "SYSTEM_BUNDLES", (str(authority.certificate),))
    with kept(url) as (wire, _):
        assert wire.is_taken.wait(DEADLINE_S)


def test_an_authority_that_nobody_knows_is_not_taken(elsewhere: pytest.MonkeyPatch, url: str) -> None:
    elsewhere.setattr(trust, "SYSTEM_BUNDLES", ())
    with kept(url) as (wire, failed):
        assert failed.wait(DEADLINE_S)
        assert not wire.is_taken.is_set()
