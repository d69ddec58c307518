"""The shipped units: systemd has nothing to say against them, they agree with the gateway, and they run."""

from __future__ import annotations

import http.client
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from clawgate.config import Config, settings
from release.wheel import copied_source
from tests.support import client, sse
from tests.support.client import StreamClient
from tests.support.gateway import write_config
from tests.support.ollama import ScriptedOllama, done, hang, text, wait
from tests.support.proc import children_of
from tests.support.process import ChildProcess
from tests.support.systemd import PLACE, Box, python_binds
from tests.support.tools import DEADLINE_S, ROOT, free_port, require, wait_for

pytestmark = pytest.mark.deadline(180)

UNITS = ROOT / "systemd"
SERVICE = (UNITS / "clawgate.service").read_text(encoding="utf-8")
TEMPLATE = (UNITS / "clawgate@.service").read_text(encoding="utf-8")
BOT = (UNITS / "clawgate-bot@.service").read_text(encoding="utf-8")
SOCKET = (UNITS / "clawgate.socket").read_text(encoding="utf-8")
PROGRAM = "/opt/clawgate/bin/clawgate serve --config /etc/clawgate/config.yaml"
BOT_PROGRAM = "/opt/clawgate/bin/clawgate bot %i --config /etc/clawgate/config.yaml"
ADDRESS = "127.0.0.1:18789"
MOST_EXPOSURE = 1.5
STREAMS = 50


def option(unit: str, name: str) -> str:
    """Return what a unit says of something, the last time it does."""
    return str(re.findall(rf"^{name}=(.*)$", unit, re.M)[-1])


def directives(unit: str) -> list[str]:
    """Return what a unit says, line by line, without the comments."""
    return [line for line in unit.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize(
    "name",
    [
        "clawgate.service",
        "clawgate@18790.service",
        "clawgate-bot@dingtalk.service",
        "clawgate.socket",
        "ollama.service",
    ],
)
def test_systemd_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    analyze = require("systemd-analyze", "the test checks the shipped units")
    assert PROGRAM in SERVICE
    (tmp_path / "clawgate.service").write_text(SERVICE.replace(PROGRAM, "/bin/true"))
    (tmp_path / "clawgate@.service").write_text(TEMPLATE.replace(f"{PROGRAM} --port %i", "/bin/true"))
    assert BOT_PROGRAM in BOT
    (tmp_path / "clawgate-bot@.service").write_text(BOT.replace(BOT_PROGRAM, "/bin/true"))
    (tmp_path / "clawgate.socket").write_text(SOCKET)
    (tmp_path / "ollama.service").write_text("[Unit]\nDescription=Ollama\n[Service]\nExecStart=/bin/true\n")
    (tmp_path / "ollama.service.d").mkdir()
    (tmp_path / "ollama.service.d" / "clawgate.conf").write_text((UNITS / "ollama.conf").read_text())
    command = [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / name)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "text", "guide"),
    [
        ("clawgate.service", SERVICE, "deploy.md"),
        ("clawgate@18790.service", TEMPLATE, "deploy.md"),
        ("clawgate-bot@wecom.service", BOT, "bots.md"),
    ],
)
def test_service_is_exposed_no_more_than_it_must_be(name: str, text: str, guide: str, tmp_path: Path) -> None:
    analyze = require("systemd-analyze", "the test checks the shipped units")
    unit = tmp_path / name
    unit.write_text(text)
    command = [analyze, "security", "--offline=true", "--no-pager", str(unit)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True).stdout
    found = re.search(rf"Overall exposure level for {re.escape(name)}: ([\d.]+)", said)
    assert found, said
    assert float(found[1]) <= MOST_EXPOSURE
    assert f"gives it {found[1]} of 10" in (ROOT / "docs" / guide).read_text(encoding="utf-8")


def test_the_template_differs_from_the_plain_unit_in_what_several_need() -> None:
    plain, template = directives(SERVICE), directives(TEMPLATE)
    assert [line for line in plain if line not in template] == [
        "Description=clawgate, a streaming gateway for a local LLM",
        f"ExecStart={PROGRAM}",
        "RuntimeDirectory=clawgate",
        "CacheDirectory=clawgate",
    ]
    assert [line for line in template if line not in plain] == [
        "Description=clawgate on port %i, a streaming gateway for a local LLM",
        f"ExecStart={PROGRAM} --port %i",
        "CacheDirectory=clawgate-%i",
    ]


def test_a_bot_is_locked_down_as_the_gateway_is_but_for_the_addresses_that_it_calls() -> None:
    locked = directives(SERVICE.partition("DynamicUser=")[2])
    bots = directives(BOT.partition("DynamicUser=")[2])
    assert [line for line in locked if line not in bots] == [
        "RuntimeDirectory=clawgate",
        "CacheDirectory=clawgate",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
    ]
    assert [line for line in bots if line not in locked] == ["CacheDirectory=clawgate-bot-%i"]


def test_at_a_shutdown_a_bot_ends_before_the_gateway_does() -> None:
    assert "clawgate.service" in option(BOT, "After").split()
    assert "clawgate.service" in option(BOT, "Wants").split()


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE])
def test_at_a_shutdown_the_gateway_ends_before_redis_does(unit: str) -> None:
    """The manual's way to a Redis on the same host; units that are not there matter to no other."""
    assert {"redis-server.service", "redis.service", "valkey-server.service"} <= set(option(unit, "After").split())


@pytest.mark.parametrize("unit", [SERVICE, TEMPLATE, BOT])
def test_a_reload_needs_no_program_that_a_small_debian_lacks(unit: str) -> None:
    """/bin/kill is in procps there, which debootstrap's minbase and small images leave out."""
    program, *arguments = shlex.split(option(unit, "ExecReload"))
    assert (program, arguments[:1]) == ("/bin/sh", ["-c"])


def test_limits_agree_with_the_gateways_own() -> None:
    server = Config().server
    assert int(option(SERVICE, "TimeoutStopSec")) > server.graceful_seconds + 10
    assert option(SOCKET, "ListenStream") == f"{server.host}:{server.port}" == ADDRESS
    most = 10_000  # of server.max_streams
    assert int(option(SERVICE, "LimitNOFILE")) > 3 * most
    assert int(option(SERVICE, "TasksMax")) > 2 * most


def test_environment_file_names_what_is_there() -> None:
    lines = (UNITS / "clawgate.env").read_text(encoding="utf-8").splitlines()
    named = {line.lstrip("#").partition("=")[0] for line in lines if re.match(r"#?CLAWGATE_", line)}
    assert named == {setting.variable for setting in settings() if setting.is_secret}
    assert option(SERVICE, "EnvironmentFile").endswith("/etc/clawgate/environment")
    shared, own = re.findall(r"^EnvironmentFile=-(.*)$", BOT, re.M)
    assert shared == "/etc/clawgate/environment"
    assert {own.replace("%i", name) for name in ("dingtalk", "wecom")} <= set(re.findall(r"/etc/\S+", "\n".join(lines)))


class Inheriting(ChildProcess):
    """A gateway that is given its listening socket, as systemd gives it."""

    def __init__(self, config: Path, listener: socket.socket) -> None:
        self._listener = listener.dup()
        self._listener.set_inheritable(True)
        serve = f"{sys.executable} -m clawgate serve --config {config}"
        script = f"exec 3<&{self._listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec {serve}"
        super().__init__(["bash", "-c", script], cwd=ROOT, name="gateway", pass_fds=(self._listener.fileno(),))
        self._listener.close()

    def __enter__(self) -> Inheriting:
        return self


def test_who_connects_while_no_gateway_runs_is_served_by_the_next(ollama: ScriptedOllama, tmp_path: Path) -> None:
    config = write_config({"model": {"endpoint": ollama.base_url}, "server": {"port": 1}}, tmp_path)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(2):
            # nobody accepts the first one's connection yet
            with StreamClient(base_url, {"message": "Hi"}) as early, Inheriting(config, listener) as gateway:
                early.read_all()
                sse.check(early.events)
                assert sse.text_of(early.events) == "Hello."
                gateway.wait_for_line(rf"^Server started on :{listener.getsockname()[1]}$")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    folder = tmp_path_factory.mktemp("installed")
    source = copied_source(tmp_path_factory.mktemp("source"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        require("setuptools-from-the-registry", f"the test builds the wheel: {ended.stderr[-300:]}")
    folder.chmod(0o755)  # the unit's user may look in
    return folder


@pytest.fixture
def box(ollama: ScriptedOllama, installed: Path, tmp_path: Path) -> Iterator[tuple[Box, str]]:
    """A systemd with the shipped units, but for the port and for where Python is; and where the gateway listens."""
    port = free_port()
    config = {
        "model": {"endpoint": ollama.base_url},
        "stream": {"stall_seconds": 600},
        "server": {"port": 1, "graceful_seconds": 2},
    }
    binds, python, environment = python_binds(installed)
    binds["config.yaml"] = write_config(config, tmp_path)
    units = tmp_path / "units"
    units.mkdir()
    program = f"{python} -m clawgate serve --config {PLACE}/config.yaml"
    texts = {
        "clawgate.service": SERVICE.replace(PROGRAM, program),
        "clawgate.socket": SOCKET.replace(ADDRESS, f"127.0.0.1:{port}"),
        "clawgate@.service": TEMPLATE.replace(PROGRAM, program),
        **dict.fromkeys(
            ("clawgate.service.d/python.conf", "clawgate@.service.d/python.conf"),
            f"[Service]\n{environment}StandardError=append:{tmp_path}/log\n",
        ),
    }
    with Box(units, texts, binds) as started:
        started.systemctl("start", "clawgate.socket", "clawgate.service")
        yield started, f"http://127.0.0.1:{port}"
        started.systemctl("stop", "clawgate.socket", "clawgate.service")
    print(f"--- the gateway's log ---\n{(tmp_path / 'log').read_text()}")


def test_a_real_systemd_runs_the_units(box: tuple[Box, str], ollama: ScriptedOllama) -> None:
    systemd, base_url = box
    assert 'Status: "Serving"' in systemd.systemctl("status", "clawgate.service")
    main = systemd.main_pid("clawgate.service")
    for pid in (main, *children_of(main)):
        status = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M))
        assert status["Uid"].split()[0] != "0"
        assert (status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]) == ("0" * 16, "1", "2")
    released = threading.Event()
    ollama.default(text("Half"), wait(released), text(" and whole"), done())
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(base_url, {"message": f"{n}"})) for n in range(STREAMS)]
        for stream in streams:
            stream.read_text("Half")
        run_id = streams[0].events[0].data["run_id"]
        assert client.post(base_url, "/api/interrupt", {"run_id": run_id}).json["partial"] == "Half"
        systemd.systemctl("reload", "clawgate.service")
        released.set()
        for number, stream in enumerate(streams):
            stream.read_all()
            sse.check(stream.events)
            assert stream.complete
            assert sse.text_of(stream.events) == ("Half" if number == 0 else "Half and whole")
    assert systemd.main_pid("clawgate.service") == main


def test_a_restart_refuses_no_connection_and_ends_every_answer(box: tuple[Box, str], ollama: ScriptedOllama) -> None:
    systemd, base_url = box
    ollama.default(text("Half"), hang())
    answers: list[int] = []
    is_over = threading.Event()

    def ask_on() -> None:
        while not is_over.is_set():
            try:
                answers.append(client.get(base_url, "/healthz").status)
            except (OSError, http.client.HTTPException):
                answers.append(0)
            time.sleep(0.005)

    asking = threading.Thread(target=ask_on)
    with ExitStack() as stack:
        streams = [stack.enter_context(StreamClient(base_url, {"message": f"{n}"})) for n in range(STREAMS)]
        for stream in streams:
            stream.read_text("Half")
        before = systemd.main_pid("clawgate.service")
        asking.start()
        systemd.systemctl("restart", "clawgate.service")
        for stream in streams:
            stream.read_all()
            sse.check(stream.events)
            assert stream.complete
            end = sse.end_of(stream.events)
            assert (end["done_reason"], sse.text_of(stream.events)) == ("interrupted", "Half")
    is_over.set()
    asking.join(DEADLINE_S)
    assert set(answers) == {200}, "a connection was refused, or cut"
    assert systemd.main_pid("clawgate.service") != before


def test_a_killed_gateway_comes_back_by_itself(box: tuple[Box, str]) -> None:
    systemd, base_url = box
    show = ("show", "--property=MainPID,SubState", "clawgate.service")
    before = systemd.systemctl(*show).split()
    subprocess.run(["kill", "-9", str(systemd.main_pid("clawgate.service"))], check=True)

    def is_back() -> bool:
        """Another process runs: systemd has seen the end of the first, whose worker may have served until then."""
        now = systemd.systemctl(*show).split()
        return now != before and "MainPID=0" not in now and "SubState=running" in now

    wait_for(is_back, "it is back")
    assert client.get(base_url, "/healthz").status == 200


def test_instances_of_the_template_serve_side_by_side(box: tuple[Box, str]) -> None:
    systemd, _ = box
    ports = [free_port(), free_port()]
    units = [f"clawgate@{port}.service" for port in ports]
    systemd.systemctl("start", *units)
    assert [client.get(f"http://127.0.0.1:{port}", "/healthz").status for port in ports] == [200, 200]
    assert len({systemd.main_pid(unit) for unit in units}) == 2
    systemd.systemctl("restart", units[0])
    systemd.systemctl("stop", units[1])
    assert client.get(f"http://127.0.0.1:{ports[0]}", "/healthz").status == 200
    systemd.systemctl("stop", units[0])


STAND_IN = """\
trap 'echo "$1 reloads"' HUP
trap 'exit 0' TERM
echo "$1 started"
case $1 in [0-9]*) exit "$1" ;; esac
while :; do sleep 0.1; done
"""
"""A bot that ends at once with the status that is its instance's name; any other runs until it is told to end."""


def test_a_bot_comes_back_unless_it_was_told_to_leave_refused_or_replaced(tmp_path: Path) -> None:
    script, log, units = tmp_path / "bot.sh", tmp_path / "log", tmp_path / "units"
    script.write_text(STAND_IN)
    units.mkdir()
    texts = {
        "clawgate.service": "[Service]\nExecStart=/bin/true\n",
        "clawgate-bot@.service": BOT.replace(BOT_PROGRAM, f"/bin/sh {PLACE}/bot.sh %i"),
        "clawgate-bot@.service.d/test.conf": f"[Service]\nRestartSec=0.1\nStandardOutput=append:{log}\n",
    }

    def count(line: str) -> int:
        return log.read_text().splitlines().count(line) if log.exists() else 0

    with Box(units, texts, {"bot.sh": script}) as systemd:
        for status in "0123":
            systemd.systemctl("start", "--no-block", f"clawgate-bot@{status}.service")
        systemd.systemctl("start", "clawgate-bot@wecom.service")
        wait_for(lambda: count("1 started") > 2, "a bot that was not ready came back twice")
        wait_for(lambda: count("wecom started"), "the other one listens to signals")
        systemd.systemctl("reload", "clawgate-bot@wecom.service")
        wait_for(lambda: count("wecom reloads"), "the running one was told of a reload")
        systemd.systemctl("stop", "clawgate-bot@1.service", "clawgate-bot@wecom.service")
        assert "Result=success" in systemd.systemctl("show", "--property=Result", "clawgate-bot@wecom.service")
    assert [count(f"{status} started") for status in "023"] == [1, 1, 1]
    assert count("wecom started") == 1
