"""Forwarded headers count from trusted proxies alone, and request ids have their letters."""

from __future__ import annotations

import re
import socket

import pytest
from flask import Request
from werkzeug.test import Client, create_environ

from clawgate.app import create_app
from clawgate.config import Config, ServerConfig
from clawgate.web.door.caller import CLIENT, Caller

MADE = re.compile(r"[0-9a-f]{32}")


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a=1", 'a"b', "a;b", "ä"])
def test_an_id_that_could_forge_a_line_is_replaced(given: str) -> None:
    client = create_app().test_client()
    assert MADE.fullmatch(client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"])


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "client"),
    [
        (("127.0.0.1",), "127.0.0.1", "1.2.3.4", "1.2.3.4"),
        (("127.0.0.1",), "127.0.0.1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (("127.0.0.1",), "127.0.0.1", None, "127.0.0.1"),
        (("127.0.0.1",), "127.0.0.1", "<script>", "127.0.0.1"),
        (("127.0.0.1",), "127.0.0.1", "fe80::1%x method=DELETE session=forged", "127.0.0.1"),
        (("127.0.0.1",), "127.0.0.1", "1.2.3.4,", "127.0.0.1"),
        (("127.0.0.1",), "9.9.9.9", "1.2.3.4", "9.9.9.9"),
        ((), "127.0.0.1", "1.2.3.4", "127.0.0.1"),
        (("10.0.0.0/8", "::1"), "10.1.2.3", "2001:db8::7, 10.9.9.9", "2001:db8::7"),
        (("10.0.0.0/8", "::1"), "::1", "10.9.9.9", "10.9.9.9"),
        (("127.0.0.1",), "::ffff:127.0.0.1", "1.2.3.4", "1.2.3.4"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(
    trusted: tuple[str, ...], peer: str, forwarded: str | None, client: str
) -> None:
    app = create_app(Config(server=ServerConfig(trusted_proxies=trusted)))
    seen: dict[str, str] = {}

    def wsgi(environ: dict[str, object], start_response: object) -> object:
        body = app.wsgi_app(environ, start_response)  # type: ignore[arg-type]
        seen["client"], seen["id"] = str(environ[CLIENT]), str(environ.get("HTTP_X_REQUEST_ID"))
        return body

    headers = {"X-Request-Id": "given", **({"X-Forwarded-For": forwarded} if forwarded is not None else {})}
    answer = Client(wsgi).get("/healthz", headers=headers, environ_base={"REMOTE_ADDR": peer})  # type: ignore[arg-type]
    is_trusted = trusted != () and peer != "9.9.9.9"
    assert seen["client"] == client
    assert (answer.headers["X-Request-Id"] == "given") == is_trusted


@pytest.mark.parametrize(
    ("trusted", "forwarded", "client", "is_local"),
    [
        (("127.0.0.1",), None, "unix", True),
        (("127.0.0.1",), "1.2.3.4", "1.2.3.4", False),
        (("127.0.0.1",), "127.0.0.1", "127.0.0.1", True),
        (("127.0.0.1",), "unix", "unix", False),
        (("127.0.0.1",), "unix, 127.0.0.1", "127.0.0.1", False),
        ((), "1.2.3.4", "unix", False),
        ((), None, "unix", True),
    ],
)
def test_who_comes_by_a_unix_socket_is_believed_where_any_proxy_is(
    trusted: tuple[str, ...], forwarded: str | None, client: str, is_local: bool
) -> None:
    caller = Caller(trusted)
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        given = Request(create_environ(headers=headers, environ_overrides={"gunicorn.socket": ours, "REMOTE_ADDR": ""}))
        assert (caller.client_of(given), caller.is_local(given)) == (client, is_local)
