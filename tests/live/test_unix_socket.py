"""A gateway on a Unix socket (`server.host: unix:…`): everything that it does on a port, and the socket's own life."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.http.asking import ask, assert_closed, finish, interrupt, reason, start, streams_of
from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.command import Finished, assert_is_one_line, clawgate
from tests.support.gateway import Gateway
from tests.support.nginx import Nginx
from tests.support.ollama import ScriptedOllama, done, hang, text
from tests.support.proxies import Caddy
from tests.support.shared import Config, ollama_of, shared_gateway
from tests.support.tools import ROOT, on_a_free_port, wait_for

UNHURRIED = {"heartbeat_seconds": 3600, "stall_seconds": 600, "first_frame_seconds": 600}
GUNICORN = f"{sys.executable} -m gunicorn -c python:clawgate.gunicorn_conf clawgate.wsgi:app"


@pytest.fixture
def free() -> Iterator[str]:
    """A path that is short enough for a socket, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="clawgate-") as folder:
        yield f"{folder}/gate.sock"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that listens on a Unix socket, for the tests that leave it alive."""
    with tempfile.TemporaryDirectory(prefix="clawgate-") as folder:
        config: Config = {"server": {"host": f"unix:{folder}/gate.sock", "max_streams": 5}, "stream": UNHURRIED}
        with shared_gateway(tmp_path_factory.mktemp("gate"), config) as gateway:
            yield gateway


@pytest.fixture
def upstream(gate: Gateway) -> Iterator[ScriptedOllama]:
    """A fresh Ollama behind it."""
    with ollama_of(gate) as scripted:
        yield scripted


@pytest.fixture
def path(gate: Gateway) -> str:
    """The path of its socket."""
    return gate.socket.removeprefix("unix:")


@pytest.fixture
def mortal(gateway: Callable[..., Gateway], free: str) -> Gateway:
    """A gateway of the test's own, which it ends."""
    return gateway(server={"host": f"unix:{free}", "graceful_seconds": 0.2}, stream=UNHURRIED)


ACTIVATE = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.executable, [sys.executable, "-m", "clawgate", "serve", *sys.argv[2:]])
"""


def refused(host: str) -> str:
    """Start a gateway that cannot listen, and return the one line that says why."""
    return assert_is_one_line(clawgate("serve", "--host", host), 1)


def test_it_is_named_and_served_to_every_local_user(gate: Gateway, upstream: ScriptedOllama, path: str) -> None:
    assert gate.stdout == [f"Server started on unix:{path}\n"]
    assert gate.wait_for_line(rf"Listening at: unix:{path}")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    assert gate.get("/healthz").json == {"status": "ok"}
    assert sse.text_of(ask(gate, "hi")) == "Hello."
    assert len(upstream.chats) == 1
    line = gate.wait_for_line(r"request: client=(\S+) method=POST")
    assert line[1] == "unix"


def test_the_address_of_a_client_is_what_the_proxy_says(gate: Gateway) -> None:
    reply = gate.get("/nowhere", {"X-Forwarded-For": "192.0.2.7", "X-Request-Id": "from-the-proxy"})
    assert reply.headers["X-Request-Id"] == "from-the-proxy"
    gate.wait_for_line(r'request: client=192\.0\.2\.7 method=GET path="/nowhere" .*request=from-the-proxy')


@pytest.mark.parametrize(("forwarded", "is_operator"), [(None, True), ("127.0.0.1", True), ("192.0.2.7", False)])
def test_setup_shows_the_socket_to_this_machine_alone(
    gate: Gateway, path: str, forwarded: str | None, is_operator: bool
) -> None:
    for host in ("localhost", "[::1]:8080", "127.0.0.1"):
        page = gate.get("/setup", {"Host": host} | ({"X-Forwarded-For": forwarded} if forwarded else {}))
        assert page.status == 200
        assert (f"<code>unix:{path}</code>" in page.json) is is_operator
        assert (f"<tr><td><code>{path}</code></td><td>clawgate</td></tr>" in page.json) is is_operator


def test_foreign_names_are_refused_as_on_loopback(gate: Gateway) -> None:
    """A browser cannot reach the socket, but a proxy may pass the name of a page elsewhere on."""
    for host, status in (("localhost", 200), ("127.0.0.1:8080", 200), ("evil.example", 400), ("unix:/x", 400)):
        assert gate.get("/healthz", {"Host": host}).status == status, host


@pytest.mark.parametrize("said", [(), (text("Well"),)], ids=["silent", "text"])
@pytest.mark.parametrize("leave", [StreamClient.close, StreamClient.shutdown_write])
def test_a_client_that_leaves_stops_the_model(
    gate: Gateway, upstream: ScriptedOllama, said: tuple[object, ...], leave: Callable[[StreamClient], None]
) -> None:
    upstream.script(*said, hang())  # type: ignore[arg-type]
    with gate.stream("hi") as stream:
        stream.read_until(lambda event: event.is_text if said else "run_id" in event.data)
        request = upstream.next_request()
        leave(stream)
        assert_closed(request)
    wait_for(lambda: streams_of(gate) == 0, "the slot is free")


def test_an_interrupt_and_a_reload_work(gate: Gateway, upstream: ScriptedOllama) -> None:
    upstream.script(text("Half"), hang())
    with gate.stream("hi") as stream:
        run_id = start(stream)["run_id"]
        stream.read_text("Half")
        gate.config_file.write_text(
            gate.config_file.read_text().replace('"server"', '"logging": {"level": "debug"}, "server"')
        )
        gate.signal(signal.SIGHUP)
        gate.wait_for_line(r"reloaded: logging\.level$")
        assert interrupt(gate, run_id=run_id)["partial"] == "Half"
        assert reason(finish(stream)) == "interrupted"
    assert sse.text_of(ask(gate, "again")) == "Hello."


def test_at_sigterm_answers_end_and_the_socket_goes(mortal: Gateway, ollama: ScriptedOllama, free: str) -> None:
    ollama.script(text("Half"), hang())
    with mortal.stream("hi") as stream:
        stream.read_text("Half")
        mortal.signal(signal.SIGTERM)
        assert reason(finish(stream)) == "interrupted"
    assert mortal.wait() == 0
    assert not os.path.lexists(free)
    assert "Traceback" not in mortal.log


@pytest.mark.parametrize("is_another", [True, False], ids=["another's", "nothing"])
def test_what_stands_in_its_place_at_the_end_stays(mortal: Gateway, free: str, is_another: bool) -> None:
    os.unlink(free)
    if is_another:
        Path(free).write_text("another's")
    assert mortal.terminate() == 0
    assert os.path.lexists(free) is is_another
    assert "Traceback" not in mortal.log


def test_a_socket_of_the_dead_is_replaced(gateway: Callable[..., Gateway], mortal: Gateway, free: str) -> None:
    mortal.stop(signal.SIGKILL)
    assert os.path.lexists(free), "what a killed gateway leaves"
    second = gateway(server={"host": f"unix:{free}"})
    assert second.get("/healthz").status == 200
    assert second.terminate() == 0
    assert not os.path.lexists(free)


def test_one_that_lives_is_left_alone_and_named(gate: Gateway, path: str) -> None:
    gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:clawgate.gunicorn_conf", "clawgate.wsgi:app"]
    environment = {**os.environ, "CLAWGATE_SERVER_HOST": f"unix:{path}"}
    alone = subprocess.run(gunicorn, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    said = [line for line in alone.stderr.splitlines(keepends=True) if " INFO " not in line]
    for tried in (clawgate("serve", "--host", f"unix:{path}"), Finished(alone.returncode, alone.stdout, "".join(said))):
        line = assert_is_one_line(tried, 1)
        assert re.fullmatch(
            rf"clawgate: server\.host: cannot listen on unix:{path}: another process does; it is held by \S+ "
            rf"\(pid {gate.pid}\): stop it with `kill {gate.pid}`, or choose another path",
            line,
        )
    assert gate.get("/healthz").status == 200


def test_what_cannot_be_bound_is_one_line_with_its_cure(free: str) -> None:
    folder = os.path.dirname(free)
    Path(free).write_text("a file")
    (Path(folder) / "link").symlink_to(free)
    for host, words in (
        (f"unix:{free}", "a file stands there that is no socket: remove it, or choose another path"),
        (f"unix:{folder}/link", "a file stands there that is no socket: remove it, or choose another path"),
        (f"unix:{folder}", "a file stands there that is no socket: remove it, or choose another path"),
        (f"unix:{free}/x.sock", f"Not a directory: a part of {free} is no folder"),
        (
            f"unix:{folder}/none/x.sock",
            f"No such file or directory: make its folder {folder}/none (in a systemd unit RuntimeDirectory= does)",
        ),
    ):
        where = host.removeprefix("unix:")
        assert refused(host) == f"clawgate: server.host: cannot listen on unix:{where}: {words}"
    assert Path(free).read_text() == "a file"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(f"{folder}/datagrams")
        assert "another process does" in refused(f"unix:{folder}/datagrams")


@pytest.mark.parametrize(
    "host", ["unix:", "unix:gate.sock", "unix:~/gate.sock", "unix:/run/", "unix:/" + "x" * 107, "unix:/a\tb"]
)
def test_a_path_that_is_none_is_a_mistake_of_the_configuration(host: str) -> None:
    line = assert_is_one_line(clawgate("serve", "--host", host), 2)
    assert line.startswith("clawgate: --host: expected an address or a name, without scheme")


def test_gunicorn_alone_is_the_same_server(gateway: Callable[..., Gateway], free: str) -> None:
    command = ("sh", "-c", f'CLAWGATE_CONFIG="$2" exec {GUNICORN}', "sh")
    gate = gateway(command=command, server={"host": f"unix:{free}"})
    assert stat.S_IMODE(os.stat(free).st_mode) == 0o666
    assert sse.text_of(ask(gate, "hi")) == "Hello."
    assert gate.terminate() == 0
    assert not os.path.lexists(free)


def test_one_of_systemds_is_served_and_left_to_it(gateway: Callable[..., Gateway], free: str) -> None:
    """As a socket unit hands it over, whatever `server.host` says."""
    gate = gateway(command=(sys.executable, "-c", ACTIVATE, free))
    assert gate.socket == f"unix:{free}"
    assert sse.text_of(ask(gate, "hi")) == "Hello."
    assert f"<code>unix:{free}</code>" in gate.get("/setup").json
    assert gate.terminate() == 0
    assert os.path.lexists(free)


def test_up_says_that_a_proxy_has_the_address(gateway: Callable[..., Gateway], free: str) -> None:
    command = (sys.executable, "-m", "clawgate", "up")
    up = gateway(command=command, server={"host": f"unix:{free}"}, is_ready_awaited=False)
    line = rf"^The gateway listens on unix:{free}: open the address of the proxy in front of it\. Ctrl-C ends it\.$"
    up.wait_for_line(line, stdout_only=True)
    assert client.get(f"unix:{free}", "/healthz").status == 200
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert not os.path.lexists(free)


@pytest.mark.parametrize("proxy", ["nginx", "caddy"])
def test_it_works_behind_a_proxy(
    gate: Gateway,
    upstream: ScriptedOllama,
    nginx: Callable[..., Nginx],
    tmp_path: Path,
    proxy: str,
) -> None:
    front: Nginx | Caddy = nginx(gate) if proxy == "nginx" else on_a_free_port(lambda: Caddy(gate.socket, tmp_path))
    with front:
        assert client.get(front.base_url, "/").status == 200
        upstream.script(text("春"), text("光"), done())
        with StreamClient(front.base_url, {"message": "hi"}) as stream:
            assert sse.text_of(finish(stream)) == "春光"
        upstream.script(text("Well"), hang())
        with StreamClient(front.base_url, {"message": "hi"}) as stream:
            stream.read_text("Well")
            stream.close()
            assert_closed(upstream.chats[-1])
    gate.wait_for_line(r"request: client=127\.0\.0\.1 method=POST")
