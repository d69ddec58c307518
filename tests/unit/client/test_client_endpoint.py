"""The way to a gateway: addresses, tokens, proxies of the environment, sign-ins, bounds."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate.client import Gateway, NotAGateway, Unreachable
from clawgate.client import endpoint as module
from clawgate.client.endpoint import is_loopback
from tests.support.connection import Connection
from tests.support.server import SocketServer
from tests.support.tools import free_port
from tests.unit.client.fake_gateway import FakeGateway, reply

STATUS = reply(200, {"model": "m", "upstream": {"reachable": True}})


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A gateway that does what it is told."""
    with FakeGateway() as gateway:
        yield gateway


@pytest.mark.parametrize("url", ["", "localhost:18789", "ftp://x", "http://", "http://a:b", "http://a:0", "http://a b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url: expected an address like"):
        Gateway(url)


@pytest.mark.parametrize("url", ["http://a?x=1", "http://a#x", "http://[::1", "http://a\x1b[2J"])
def test_what_is_more_than_an_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="url: expected an address like"):
        Gateway(url)


@pytest.mark.parametrize("token", ["", "two words", "ключ", "line\n"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(ValueError, match="token: expected visible ASCII characters"):
        Gateway("http://a", token)


def test_the_path_and_the_token_are_sent(fake: FakeGateway) -> None:
    fake.script(STATUS)
    Gateway(f"{fake.url}/chat/", "s3cr3t").status()
    assert fake.asked == ["GET /chat/api/status"]
    assert fake.requests[0].headers["X-Clawgate-Token"] == "s3cr3t"
    assert "Authorization" not in fake.requests[0].headers


def test_a_sign_in_of_the_address_is_for_the_proxy_in_front(fake: FakeGateway) -> None:
    fake.script(STATUS)
    gateway = Gateway(fake.url.replace("//", "//ann:p%40ss@"), "s3cr3t")
    gateway.status()
    assert fake.requests[0].headers["Authorization"] == "Basic " + b64encode(b"ann:p@ss").decode()
    assert gateway.url == fake.url, "nothing that is shown has the password"


def test_the_environment_sends_nothing_of_loopback_elsewhere(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{free_port()}")
    (tmp_path / ".netrc").write_text("default login ann password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    fake.script(STATUS)
    fake.script(STATUS)
    Gateway(fake.url).status()
    Gateway(fake.url.replace("127.0.0.1", "localhost")).status()
    assert "Authorization" not in fake.requests[0].headers
    with pytest.raises(Unreachable, match=r"the proxy that the environment names does not lead to http://a\.example"):
        Gateway("http://a.example").status()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *[("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("a.localhost", True)],
        *[("192.0.2.1", False), ("localhost.example", False), ("", False)],
    ],
)
def test_loopback_is_told_by_its_name(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_an_answer_is_bounded(fake: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ERROR_BYTES", 100)
    fake.script(reply(400, {"error": {"code": "c", "message": "x" * 200}}))
    with pytest.raises(NotAGateway):
        Gateway(fake.url).status()


def test_tls_that_is_none_is_told_at_once() -> None:
    def serve(connection: Connection) -> None:
        connection.receive()
        connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = SocketServer(serve, host="127.0.0.1", port=0)
    server.start()
    try:
        with pytest.raises(Unreachable, match="no gateway answers at https://"):
            next(iter(Gateway(f"https://127.0.0.1:{server.port}").ask({"message": "hi"})))
    finally:
        server.close()
