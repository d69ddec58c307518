"""The Host headers that are ours: spelling by spelling, without and with server.trusted_hosts."""

from __future__ import annotations

import re
import string

import pytest

from clawgate import create_app, create_blueprint
from clawgate.addresses import is_loopback, name_of, visited_name
from clawgate.config import Config, ServerConfig
from clawgate.web.door.hosts import Hosts

LOCAL = [
    "localhost",
    "LocalHost",
    "localhost.",
    "localhost:18789",
    "localhost:",
    "chat.localhost",
    "a.b.localhost:80",
    "127.0.0.1",
    "127.8.9.10:8080",
    "192.168.1.5:18789",
    "8.8.8.8",
    "[::1]",
    "[::1]:8080",
    "[0:0:0:0:0:0:0:1]",
    "[FE80::1]:1",
    "[::ffff:127.0.0.1]",
    "",
]
FOREIGN = [
    "evil.example",
    "evil.example:18789",
    "xlocalhost",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost:evil",
    "localhost:80:80",
    "localhost:-1",
    "localhost:99999",
    "localhost:٣",
    "localhost..",
    ".localhost",
    "a..localhost",
    "evil.example/.localhost",
    "evil.example#.localhost",
    "evil.example@localhost",
    "localhost@evil.example",
    "user:pw@127.0.0.1",
    "localhost, evil.example",
    "localhost evil.example",
    " localhost",
    "localhost\n",
    "localhost\x00",
    "2130706433",
    "0x7f.1",
    "0x7f000001",
    "127.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.1%2eevil.example",
    "١٢٧.0.0.1",
    "ｌocalhost",
    "localhost。",
    "ŀocalhost",
    "xn--lcalhost-57a",
    "::1",
    "[::1",
    "::1]",
    "[::1]x",
    "[::1%lo]",
    "[fe80::1%25eth0]",
    "[127.0.0.1]",
    "[localhost]",
    "[]",
    "*",
    "*.localhost",
    "http://localhost",
    ":80",
    "-" * 5000,
]


def hosts(*trusted: str, host: str = "127.0.0.1", is_own_port: bool = True) -> Hosts:
    return Hosts(ServerConfig(host=host, trusted_hosts=trusted), is_own_port=is_own_port)


@pytest.mark.parametrize("host", LOCAL)
def test_a_local_name_or_an_address_is_known(host: str) -> None:
    assert hosts().is_known(host)


@pytest.mark.parametrize("host", FOREIGN, ids=lambda host: ascii(host[:40]))
def test_no_other_spelling_is_known(host: str) -> None:
    assert not hosts().is_known(host)


@pytest.mark.parametrize("character", sorted({*string.printable, "\x00", "\x85", "\xa0", "ı", "。"}))
def test_no_character_makes_a_local_name_of_another(character: str) -> None:
    """A foreign name around a local one is refused unless it is below localhost, or a port."""
    for host in (f"evil.example{character}localhost", f"localhost{character}evil.example", f"127.0.0.1{character}evil"):
        assert hosts().is_known(host) == (host == "evil.example.localhost"), host


def test_with_trusted_hosts_exactly_these_are_known() -> None:
    ours = hosts("chat.example.org", "::1")
    for host in ("chat.example.org", "CHAT.example.org.:8080", "[::1]", "[0:0::1]:5"):
        assert ours.is_known(host), host
    for host in (*FOREIGN, "localhost", "127.0.0.1", "", "a.chat.example.org", "chat.example.org..", "::1"):
        assert not ours.is_known(host), host


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "127.9.9.9", "::ffff:127.0.0.1", "no.such.invalid", "unix:/s"]
)
def test_a_port_on_loopback_is_checked(host: str) -> None:
    assert is_loopback(host)
    assert hosts(host=host).is_checked
    assert hosts(host=host).is_known(host) == (":" not in host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "0"])
def test_an_open_port_is_not_without_trusted_hosts(host: str) -> None:
    assert not is_loopback(host)
    assert not hosts(host=host).is_checked
    assert hosts("chat.example.org", host=host).is_checked


def test_a_name_is_what_the_guard_compares() -> None:
    assert [name_of(host) for host in ("A.b:1", "a.b.", "[0::1]:1", "a b")] == ["a.b", "a.b", "::1", None]


@pytest.mark.parametrize("trusted", [(), ("chat.example.org",), ("chat.example.org", "localhost"), ("::1",)])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::", "::1", "localhost", "192.0.2.1"])
def test_the_name_by_which_it_is_visited_is_taken(host: str, trusted: tuple[str, ...]) -> None:
    name = visited_name(host, trusted)
    hosts(*trusted, host=host).check(f"{name}:18789")
    assert name not in ("0.0.0.0", "::", "[::]")


def test_a_blueprint_is_checked_where_its_names_are_given_alone() -> None:
    from flask import Flask

    for trusted, status in (((), 200), (("localhost",), 400)):
        other = Flask("other")
        config = Config(server=ServerConfig(trusted_hosts=trusted))
        other.register_blueprint(create_blueprint(config), url_prefix="/llm")
        assert other.test_client().get("/llm/healthz", headers={"Host": "evil.example"}).status_code == status


def test_the_refusal_names_the_setting_and_the_cure() -> None:
    for trusted, cure in (((), "pass on `localhost`"), (("a.example",), "behind the shipped nginx `localhost`")):
        app = create_app(Config(server=ServerConfig(trusted_hosts=trusted)))
        answer = app.test_client().get("/", headers={"Host": "evil.example"})
        error = (answer.get_json() or {})["error"]
        assert (answer.status_code, error["code"]) == (400, "untrusted_host")
        assert re.search(r"\badd .* server\.trusted_hosts|server\.trusted_hosts; add", error["message"])
        assert cure in error["message"]
        assert "evil" not in error["message"]
