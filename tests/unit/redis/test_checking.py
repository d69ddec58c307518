"""The question whether a Redis can be used: every way in which it cannot is one line with its cure."""

from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from clawgate.config import Config, SessionConfig
from clawgate.errors import ConfigError
from clawgate.redis.checking import standing_of
from clawgate.redis.failures import described
from clawgate.redis.link import TIMEOUT_S
from clawgate.redis.permissions import NEEDED, names_of
from tests.support.language import assert_has_chinese
from tests.support.redis import RedisServer
from tests.support.tls import Authority, TlsFront
from tests.support.tools import DEADLINE_S, ROOT, free_port

ALL = " ".join(f"+{name}" for name in names_of(NEEDED))
USERS = (
    f"user least on >s3cret ~clawgate:* -@all {ALL}",
    f"user lacking on >s3cret ~clawgate:* -@all {ALL} -xadd -script|load -blpop",
    f"user scriptless on >s3cret ~clawgate:* -@all {ALL} -evalsha",
    f"user stranger on >s3cret ~other:* -@all {ALL}",
    "user nobody on >s3cret ~clawgate:* -@all",
    "user gone off >s3cret ~* +@all",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server on a port."""
    with RedisServer(tmp_path_factory.mktemp("redis"), is_on_a_port=True, users=USERS) as running:
        yield running


@pytest.fixture
def setting(server: RedisServer) -> Iterator[Callable[[str, str], None]]:
    """Change a setting of the server until the end of the test."""
    client = server.client()
    before: dict[str, Any] = {}

    def change(name: str, value: str) -> None:
        before.setdefault(name, client.config_get(name)[name])
        client.config_set(name, value)

    yield change
    for name, value in before.items():
        client.config_set(name, value)


def config_of(url: str, prefix: str = "clawgate") -> Config:
    """A configuration with sessions in one Redis."""
    return Config(session=SessionConfig(backend="redis", redis_url=url, redis_prefix=prefix))


def problem(url: str) -> str:
    """The line about a Redis that cannot be used."""
    found = standing_of(config_of(url)).problem
    assert found is not None
    assert found.isprintable()
    assert "s3cret" not in found
    assert_has_chinese(f"not ready: {found}")
    return found


@contextmanager
def replying(answers: Mapping[bytes, bytes]) -> Iterator[int]:
    """Run a server that says what it is told to, by command; "" closes the connection. Yield its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(4096):
                for command in re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n", data):
                    answer = answers.get(command, b"+OK\r\n")
                    if not answer:
                        return
                    connection.sendall(answer)

    thread = threading.Thread(target=serve)
    with listener:
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_one_that_can_be_used_is_named_and_left_as_it_was(server: RedisServer) -> None:
    found = standing_of(config_of(server.url))
    assert re.fullmatch(rf"(Redis|Valkey) \d+\.\d+\.\d+ at 127\.0\.0\.1:{server.port}", found.server)
    assert (found.problem, found.warnings) == (None, ())
    assert server.client().keys() == []


def test_a_socket_is_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "a" / "redis.sock"
    found = problem(f"unix://me:s3cret@{path}?db=3")
    assert found.startswith(f"no Redis answers at unix:{path}: there is no such socket; start it with ")


def test_the_least_rights_are_enough(server: RedisServer) -> None:
    found = standing_of(config_of(server.url_of("least", "s3cret")))
    assert (found.problem, found.warnings) == (None, ())


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("lacking", " does not let this user do all that it must; give it +blpop +xadd in the ACL (docs/scaling.md)"),
        ("scriptless", " does not let this user do all that it must; give it +evalsha in the ACL (docs/scaling.md)"),
        ("stranger", " does not let this user touch the keys below clawgate; give it ~clawgate:* in the ACL"),
        ("nobody", " does not let this user do all that it must; give it +ping in the ACL (docs/scaling.md)"),
        ("gone", " does not take the user and password of session.redis_url; correct them"),
    ],
)
def test_a_right_that_is_missing_is_named(server: RedisServer, user: str, words: str) -> None:
    if user == "lacking":  # the script is known by now, so that it need not be loaded
        assert standing_of(config_of(server.url)).problem is None
        words = words.replace("+xadd", "+script|load +xadd")
    found = problem(server.url_of(user, "s3cret"))
    assert found.endswith(words)
    assert user not in found


def test_a_wrong_password_is_said_and_not_shown(server: RedisServer) -> None:
    words = (
        f"the Redis at 127.0.0.1:{server.port} does not take the user and password of session.redis_url; correct them"
    )
    assert problem(server.url_of("least", "wrong-s3cret")) == words


def test_a_password_that_nobody_asked_for_is_left_out(server: RedisServer) -> None:
    assert problem(server.url_of("", "s3cret")).endswith(
        " has no password, and session.redis_url has one; leave it out"
    )


def test_a_password_that_is_missing_is_named_with_its_place(server: RedisServer) -> None:
    admin = server.client()
    admin.ping()
    admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">s3cret")  # type: ignore[no-untyped-call]
    try:
        assert " wants a password; give it in CLAWGATE_SESSION_REDIS_URL, " in problem(server.url)
        assert standing_of(config_of(server.url_of("", "s3cret"))).problem is None
    finally:
        admin.execute_command("ACL", "SETUSER", "default", "nopass")  # type: ignore[no-untyped-call]


def test_a_database_that_is_not_there_is_said(server: RedisServer) -> None:
    assert problem(server.url.removesuffix("/0") + "/99").endswith(
        " has no database of that number; see `databases` in its redis.conf"
    )
    assert standing_of(config_of(server.url.removesuffix("/0") + "/15")).problem is None


def test_one_that_is_not_there_is_named_with_the_command_that_starts_it() -> None:
    port = free_port()
    found = problem(f"redis://me:s3cret@127.0.0.1:{port}/0")
    assert found == (
        f"no Redis answers at 127.0.0.1:{port}: it refused the connection; start it with `systemctl start redis-server`"
    )
    assert problem("redis://nowhere.invalid") == (
        "no Redis answers at nowhere.invalid:6379: the name is not known; correct session.redis_url"
    )
    assert problem(f"redis://[::1]:{port}").startswith(f"no Redis answers at [::1]:{port}: ")


def test_one_that_hangs_costs_one_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        found = problem(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 5 * TIMEOUT_S, "it is not asked five times"
    assert found.endswith(f" does not answer within {TIMEOUT_S:g} s")


def test_a_full_one_is_said(server: RedisServer, setting: Callable[[str, str], None]) -> None:
    setting("maxmemory", "1")
    assert problem(server.url).endswith(" is full; raise `maxmemory` in its redis.conf")


def test_one_that_forgets_when_it_is_full_is_warned_of(
    server: RedisServer, setting: Callable[[str, str], None]
) -> None:
    setting("maxmemory-policy", "allkeys-lru")
    found = standing_of(config_of(server.url))
    assert found.problem is None
    assert_has_chinese(f"warning: {found.warnings[0]}")
    assert found.warnings[0].startswith("Redis has maxmemory-policy allkeys-lru: once it is full it forgets sessions")
    assert standing_of(config_of(server.url_of("least", "s3cret"))).warnings == (), "it may not ask"


def test_a_replica_is_said(server: RedisServer) -> None:
    admin = server.client()
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    try:
        assert problem(server.url).endswith(" is a replica, which takes no writes; name its primary")
    finally:
        admin.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]


def test_a_cluster_is_said(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis", options=["--cluster-enabled", "yes"]) as cluster:
        assert problem(cluster.url).endswith(" is a Redis Cluster, whose keys lie apart; name one that is not")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("redis", "6.2.14", "standalone", "master"), "Redis 6.2.14 at {} is too old; 7 or later is needed, or Valkey"),
        (("redis", "7.2.4", "sentinel", ""), "Redis 7.2.4 at {} is a Sentinel, which keeps no data; name the Redis "),
        (("valkey", "8.1.1", "cluster", "master"), "Valkey 8.1.1 at {} is a Redis Cluster, "),
        (("valkey", "8.1.1", "standalone", "replica"), "Valkey 8.1.1 at {} is a replica, "),
    ],
)
def test_the_kind_of_the_server_counts(said: tuple[str, str, str, str], words: str) -> None:
    pairs = zip(("server", "version", "mode", "role"), said, strict=True)
    flat = [text for pair in pairs for text in pair]
    hello = f"*{len(flat)}\r\n" + "".join(f"${len(text)}\r\n{text}\r\n" for text in flat)
    with replying({b"PING": b"+PONG\r\n", b"HELLO": hello.encode()}) as port:
        assert problem(f"redis://127.0.0.1:{port}").startswith(words.format(f"127.0.0.1:{port}"))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("-LOADING Redis is loading the dataset in memory", "is still loading its data; wait until it has"),
        ("-DENIED Redis is running in protected mode because protected mode is enabled", "takes connections from its"),
        ("-ERR max number of clients reached", "has no room for another client"),
        (
            "-MISCONF Redis is configured to save RDB snapshots, but it's unable to",
            "takes no writes, because it cannot",
        ),
        ("-READONLY You can't write against a read only replica.", "is a replica, which takes no writes"),
        ("-ERR unknown command 'PING'", "is too old; 7 or later is needed"),
        ("-NOPERM User me has no permissions to access the 'x' key", "does not let this user do all that it must; "),
        ("-ERR ada with s3cret \u0007 is wrong", "cannot be used: "),
        ("HTTP/1.1 400 Bad Request", "cannot be used: "),
        ("", "closes the connection; a port with TLS wants rediss://"),
    ],
)
def test_what_it_says_instead_of_an_answer_is_put_into_words(answer: str, words: str) -> None:
    with replying({b"PING": f"{answer}\r\n".encode() if answer else b""}) as port:
        found = problem(f"redis://127.0.0.1:{port}?password=s3cret&username=ada")
    assert found.startswith(f"the Redis at 127.0.0.1:{port} {words}")


def test_tls_that_does_not_fit_is_said(server: RedisServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with TlsFront(server.port, authority.context()) as front:
        place = front.base_url.replace("https://localhost", "127.0.0.1")
        secure = f"rediss://{place}/0"
        assert standing_of(config_of(f"{secure}?ssl_ca_certs={authority.certificate}")).problem is None
        untrusted = problem(secure)
        assert f"the Redis at {place} has a certificate that is not trusted (" in untrusted
        assert "?ssl_ca_certs=" in untrusted
        assert problem(f"redis://{place}").endswith("a port with TLS wants rediss://")
    assert problem(f"rediss://127.0.0.1:{server.port}").endswith("a port without TLS wants redis://")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("ssl_ca_certs={}/none", "is not there"),
        ("ssl_certfile={}/none&ssl_keyfile={}/none", "is not there"),
        ("ssl_certfile={}&ssl_keyfile={}", "is not there"),
        ("ssl_ca_certs={}/empty", "does not hold what it should (no certificate or crl found)"),
        ("ssl_certfile={}/empty&ssl_keyfile={}/empty", "does not hold what it should (pem lib)"),
    ],
)
def test_a_file_that_cannot_be_used_is_said(server: RedisServer, tmp_path: Path, option: str, words: str) -> None:
    (tmp_path / "empty").touch()
    found = problem(f"rediss://127.0.0.1:{server.port}/0?{option.format(tmp_path, tmp_path)}")
    assert found == f"a file that session.redis_url names with ssl_… {words}"


@pytest.mark.parametrize(
    ("code", "where", "words"),
    [
        (errno.EPERM, "10.0.0.1:6379", "this machine does not let us connect to 10.0.0.1:6379; see `IPAddressAllow`"),
        (errno.EACCES, "10.0.0.1:6379", "this user may not read a file that session.redis_url names with ssl_…"),
        (errno.EACCES, "unix:/redis.sock", "this user may not connect to unix:/redis.sock; see `unixsocketperm`"),
    ],
)
def test_what_is_not_allowed_is_said(code: int, where: str, words: str) -> None:
    error = redis.ConnectionError("not permitted")
    error.__cause__ = PermissionError(code, os.strerror(code))
    found = described(error, where, is_tls=False)
    assert found.startswith(words)
    assert_has_chinese(f"not ready: {found}")


def test_an_option_that_the_client_does_not_know_is_an_error_of_the_configuration() -> None:
    for option in ("ssl_pasword=s3cret", "ssl_cert_reqs=never&password=s3cret", "db=s3cret"):
        config = config_of(f"rediss://127.0.0.1?{option}")
        with pytest.raises(
            ConfigError, match=r"^session\.redis_url: expected options that redis-py knows \("
        ) as caught:
            standing_of(config)
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "option",
    ["pasword", "socket_timeout", "max_connections", "decode_responses", "protocol", "host", "retry", "s3cret"],
)
def test_an_option_that_is_the_gateways_own_is_an_error_of_the_configuration(option: str) -> None:
    config = config_of(f"redis://127.0.0.1?db=0&{option}=1")
    with pytest.raises(ConfigError, match=r"^session\.redis_url: expected no options but db, ") as caught:
        standing_of(config)
    assert "s3cret" not in str(caught.value)


def test_a_missing_library_is_named_with_the_command_that_installs_it() -> None:
    script = (
        "import sys; sys.modules['redis'] = None\n"
        "from clawgate.config import Config, SessionConfig\n"
        "from clawgate.app import store_standing\n"
        "print(store_standing(Config(session=SessionConfig(backend='redis', redis_url='redis://h'))).problem)\n"
        "print(store_standing(Config()))\n"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said == "redis-py 8 or later is missing: pip install 'clawgate[redis]'\nNone\n"


def test_every_command_of_the_scripts_is_among_those_that_are_needed() -> None:
    scripts = list((ROOT / "clawgate" / "redis" / "lua").glob("*.lua"))
    assert scripts
    used = {
        name.lower()
        for path in scripts
        for name in re.findall(r"redis\.p?call\(\s*['\"](\w+)['\"]", path.read_text(encoding="utf-8"))
    }
    assert used - set(names_of(NEEDED)) == set(), "clawgate/redis/permissions.py, NEEDED"
