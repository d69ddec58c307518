"""The names that the shipped nginx files serve, and what the gateway behind them is called."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support import client
from tests.support.gateway import Gateway
from tests.support.nginx import FRONTEND, SEVERAL, TLS, VARIANTS, Nginx
from tests.support.tools import DEADLINE_S, free_port

OURS = ("localhost", "LOCALHOST:8080", "chat.localhost", "127.0.0.1", "192.168.1.5:8080", "[::1]", "[FE80::1]:8080")
NAMED = ("chat.example.org", "Chat.Example.Org.:8080")
OTHERS = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "xlocalhost",
    "127.0.0.1.evil.example",
    "x127.0.0.1",
    "2130706433",
    "0x7f.1",
    "127.1",
    "127.0.0.1.1",
    "evil@127.0.0.1",
    "_",
)
"""nginx cuts off what follows a closing bracket or a colon, which no browser lets follow there."""


@pytest.mark.parametrize("shipped", VARIANTS, ids=lambda path: path.name)
def test_no_name_but_ours_gets_past_nginx(
    gateway: Callable[..., Gateway],
    nginx: Callable[..., Nginx],
    certificate: dict[str, str],
    tmp_path: Path,
    shipped: Path,
) -> None:
    started = gateway(logging={"level": "debug"})
    (tmp_path / "index.html").write_text("mine")
    plain, secure = free_port(), free_port()
    listens = {"listen 80": f"listen 127.0.0.1:{plain}", "listen 443": f"listen 127.0.0.1:{secure}"}
    changes = {
        FRONTEND: {"/var/www/chat": str(tmp_path)},
        SEVERAL: {"server 127.0.0.1:18790": f"server 127.0.0.1:{started.port}"},
        TLS: {**listens, **certificate},
    }
    front = nginx(started, shipped=shipped, replace=changes.get(shipped), port=secure if shipped == TLS else 0)
    scheme = "https" if shipped == TLS else "http"
    for host in OTHERS:
        for method, path in (("GET", "/index.html"), ("POST", "/api/chat")):
            refused = said(method, f"{scheme}://127.0.0.1:{front.port}", path, host)
            assert (refused.status, refused.headers["Content-Type"]) == (421, "text/plain"), (host, path)
            assert re.search(r"^[^\n]+ server_name in clawgate\.conf[^\n]+\.\n$", refused.body.decode())
    assert not re.search(r"request: client=\d", started.log), "one of them has reached the gateway"
    for ours in (*OURS, *NAMED, None):
        assert said("GET", f"{scheme}://127.0.0.1:{front.port}", "/healthz", ours).status == 200, ours
    if shipped == TLS:
        assert {said("GET", f"http://127.0.0.1:{plain}", "/", host).status for host in OTHERS} == {421}
        for host in (*OURS, *NAMED):
            assert said("GET", f"http://127.0.0.1:{plain}", "/x?y", host).status == 308, host


class Raw(NamedTuple):
    """A response as it came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def said(method: str, base_url: str, path: str, host: str | None) -> Raw:
    """Ask by this Host, or in HTTP/1.0 by none."""
    url = urlsplit(base_url)
    insecure = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the certificate signs itself
    insecure.check_hostname = False
    insecure.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=DEADLINE_S)
    if url.scheme == "https":
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=DEADLINE_S, context=insecure)
    if host is None:
        connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Content-Length", "0")
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        response = connection.getresponse()
        return Raw(response.status, response.headers, response.read())
    finally:
        connection.close()


def test_the_gateway_is_called_localhost_and_shows_the_browsers_name(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    front = nginx(gateway(server={"trusted_hosts": ["localhost"]}), replace={"chat.example.org": "my.example"}).base_url
    page = said("GET", front, "/setup", "my.example:8080")
    assert b"<code>http://my.example:8080</code>" in page.body
    assert b"<code>http://localhost" not in page.body
    moved = said("GET", front, "/api//status", "my.example:8080")
    assert (moved.status, moved.headers["Location"]) == (308, "/api/status")
    assert b"localhost" not in moved.body


def test_trusted_hosts_without_what_nginx_passes_on_name_the_cure(
    gateway: Callable[..., Gateway], nginx: Callable[..., Nginx]
) -> None:
    front = nginx(gateway(server={"trusted_hosts": ["chat.example.org"]})).base_url
    refused = client.get(front, "/healthz", headers={"Host": "chat.example.org"})
    assert (refused.status, refused.json["error"]["code"]) == (400, "untrusted_host")
    assert "`localhost`, which is what nginx passes on" in refused.json["error"]["message"]
