"""The binary: what `make binary` has made runs where nothing but libc is, and leaves nothing when it ends."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from release.requirements import pinned
from tests.support import client, sse
from tests.support.artefact import artefact
from tests.support.client import StreamClient
from tests.support.gateway import Gateway, write_config
from tests.support.ollama import ScriptedOllama, done, hang, text
from tests.support.proc import children_of
from tests.support.process import ChildProcess
from tests.support.terminal import CTRL_C, CTRL_D, Terminal
from tests.support.tools import DEADLINE_S, require, require_mount_namespace, wait_for

PLAIN = f"clawgate-linux-{platform.machine()}"
WITH_MODEL = f"{PLAIN}-with-model"
START_S = 2 * DEADLINE_S
LIBC = ("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")
UP = r"^Open http://127\.0\.0\.1:(\d+)/ in your browser"
MODEL_IS_USED = r"^No Ollama answers at http://127\.0\.0\.1:9: the small embedded model smollm2:135m answers"


@pytest.fixture
def binary() -> Path:
    """The binary without a model."""
    return artefact(PLAIN)


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """A folder for what the binary unpacks."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


class Program(ChildProcess):
    """A running binary. A context manager that ends it."""

    def __enter__(self) -> Program:
        return self


class Bare:
    """A root with a binary, the C library, an empty /tmp and a /dev/null: no /proc, /etc, HOME, locale or variable."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._enter = [*require_mount_namespace(), "/usr/bin/env", "-i", require("chroot", "the root is another")]
        (folder / "tmp").mkdir(parents=True)
        (folder / "dev").mkdir()
        (folder / "dev" / "null").touch()
        shutil.copy(artefact(name), folder / "clawgate")
        for place in _libc():
            if place.exists():
                inside = folder / place.relative_to("/")
                inside.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(place, inside)

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs `clawgate ARGUMENTS…` inside."""
        return [*self._enter, str(self.folder), "/clawgate", *arguments]

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run it to its end; return its status and all that it printed."""
        return run(self.command(*arguments))

    def configure(self, config: Mapping[str, object]) -> str:
        """Write a configuration file; return its name inside."""
        return f"/{write_config(config, self.folder).relative_to(self.folder)}"

    @property
    def left(self) -> list[str]:
        """What lies in /tmp."""
        return os.listdir(self.folder / "tmp")


def _libc() -> Iterator[Path]:
    """Yield the files of the C library, its loader first."""
    linked = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    yield Path(re.findall(r"/\S*/ld-linux\S*", linked)[0])
    folder = Path(re.findall(r"/\S*(?=/libc\.so\.6)", linked)[0])
    yield from (folder / name for name in LIBC)


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command to its end; return its status and all that it printed."""
    ended = subprocess.run(
        command,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_S,
        check=False,
    )
    return ended.returncode, ended.stdout


@pytest.mark.parametrize("name", [PLAIN, WITH_MODEL])
def test_sum_is_the_files_own(name: str) -> None:
    built = artefact(name)
    total = hashlib.sha256(built.read_bytes()).hexdigest()
    assert built.with_name(f"{name}.sha256").read_text() == f"{total}  {name}\n"


@pytest.mark.parametrize("name", [PLAIN, WITH_MODEL])
def test_it_carries_no_package_but_those_whose_versions_are_written_down(name: str) -> None:
    require("PyInstaller", "it reads what it has packed; `make binary` installs it")
    from PyInstaller.archive.readers import CArchiveReader  # type: ignore[import-untyped]

    modules = CArchiveReader(str(artefact(name))).open_embedded_archive("PYZ.pyz").toc
    packages = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    owners = packages_distributions()
    carried = {canonicalize_name(owner) for package in packages for owner in owners.get(package, [package])}
    written_down = {line.partition("==")[0] for part in pinned().values() for line in part}
    assert {each for each in carried - written_down if not each.startswith("-sysconfigdata")} == {"clawgate"}


def test_it_runs_where_nothing_but_libc_is(ollama: ScriptedOllama, tmp_path: Path) -> None:
    bare = Bare(tmp_path / "root", PLAIN)
    assert bare.run("--version")[1].startswith("clawgate ")
    config = bare.configure({"model": {"endpoint": ollama.base_url}, "server": {"port": 0}})
    status, said = bare.run("check", "--config", config)
    assert (status, said.count("ok: ")) == (0, 3), said
    assert bare.left == []
    ollama.script(text("Half"), hang())
    with Program(bare.command("serve", "--config", config), cwd=tmp_path, name="gateway") as gateway:
        port = gateway.wait_for_line(r"^Server started on :(\d+)$", START_S)[1]
        base_url = f"http://127.0.0.1:{port}"
        page = client.get(base_url, "/")
        assert page.status == 200
        for name in ("page/chat.js", "page/chat.css"):
            found = re.search(rf"/static/v-\w+/{name}", page.json)
            assert found
            assert client.get(base_url, found[0]).status == 200
        assert "<math" in str(client.post(base_url, "/render", {"text": "$x^2$"}).json)
        with StreamClient(base_url, {"message": "Hi"}) as stream:
            stream.read_text("Half")
            session = stream.events[0].data["session_id"]
            assert client.post(base_url, "/api/interrupt", {"session_id": session}).json["partial"] == "Half"
            stream.read_all()
            sse.check(stream.events)
        gateway.signal(signal.SIGHUP)
        gateway.wait_for_line("reloaded: nothing has changed")
        assert len(bare.left) == 1
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0
    assert bare.left == []


@pytest.mark.deadline(180)
def test_its_model_answers_where_nothing_but_libc_is(tmp_path: Path) -> None:
    bare = Bare(tmp_path / "root", WITH_MODEL)
    config = bare.configure({"model": {"endpoint": "http://127.0.0.1:9"}, "server": {"port": 0}})
    with Program(bare.command("up", "--config", config), cwd=tmp_path, name="up") as up:
        base_url = f"http://127.0.0.1:{up.wait_for_line(UP, 2 * START_S)[1]}"
        up.wait_for_line(MODEL_IS_USED)
        asked = {"message": "Say hello.", "stream": False, "options": {"num_predict": 5}}
        assert client.post(base_url, "/api/chat", asked).json["message"]
        assert len(bare.left) == 1, "the processes that it starts share what it has unpacked"
        up.signal(signal.SIGINT)
        assert up.wait() == 0
    assert bare.left == []


def test_a_folder_that_runs_no_program_is_passed_over(binary: Path, tmp_path: Path) -> None:
    script = """
        mount -t tmpfs -o noexec none "$1"
        mount -t tmpfs none /mnt; cp "$2" /mnt/clawgate
        TMPDIR="$1" /mnt/clawgate --version && ls -A "$1"
        mount --bind "$1" /var/tmp; mount -t tmpfs -o noexec none /tmp; TMPDIR=/nowhere exec /mnt/clawgate --version
    """
    (tmp_path / "noexec").mkdir()
    inside = [*require_mount_namespace(), "sh", "-c", script, "sh", str(tmp_path / "noexec"), str(binary)]
    status, said = run(inside)
    assert (status, said.count("\n")) == (1, 2), said
    assert re.search(r"^clawgate \S+$", said, re.M)
    refused = "(/nowhere: No such file or directory; /tmp: no program may run from there (noexec); /var/tmp: "
    assert f"clawgate: there is no folder to unpack into {refused}" in said
    assert said.endswith("; set TMPDIR to a folder that you may write to and run programs from\n")


def test_a_full_folder_is_one_line(binary: Path, tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=9m none "$1"; TMPDIR="$1" "$2" --version; ls -A "$1"'
    (tmp_path / "full").mkdir()
    _, said = run([*require_mount_namespace(), "sh", "-c", script, "sh", str(tmp_path / "full"), str(binary)])
    assert said == (
        f"clawgate: cannot unpack into {tmp_path}/full: No space left on device; "
        "set TMPDIR to a folder that you may write to and run programs from\n"
    )


def test_a_damaged_file_is_one_line(binary: Path, tmp_path: Path) -> None:
    part = tmp_path / "clawgate"
    part.write_bytes(binary.read_bytes()[: -(1 << 20)])
    part.chmod(0o755)
    assert run([part]) == (1, "clawgate: this file is damaged: get it again, and check it with `sha256sum -c`\n")


@pytest.fixture
def start(gateway: Callable[..., Gateway], binary: Path, temporary: Path, tmp_path: Path) -> Callable[..., Gateway]:
    """Start gateways of the binary, which unpack into `temporary`."""

    def serve() -> Gateway:
        return gateway(command=(str(binary), "serve"), env={"TMPDIR": str(temporary)}, cwd=tmp_path)

    return serve


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_nothing_is_left_after_an_end(start: Callable[..., Gateway], temporary: Path, number: int) -> None:
    started = start()
    started.kill_worker()
    assert len(list(temporary.iterdir())) == 1
    started.signal(number)
    assert started.wait() == 0
    assert list(temporary.iterdir()) == []


def test_an_end_while_it_unpacks_leaves_nothing(binary: Path, temporary: Path, tmp_path: Path) -> None:
    process = Program([str(binary), "--version"], cwd=tmp_path, env={"TMPDIR": str(temporary)})
    with process:
        wait_for(lambda: list(temporary.iterdir()), "it unpacks")
        process.signal(signal.SIGTERM)
        assert process.wait() in (0, -signal.SIGTERM)
    assert list(temporary.iterdir()) == []


def test_the_first_process_of_a_container_ends_while_it_unpacks(binary: Path, temporary: Path, tmp_path: Path) -> None:
    """The kernel brings such a process no signal whose default would end it."""
    inside = [*require_mount_namespace(), "--pid", "--fork", str(binary), "--version"]
    with Program(inside, cwd=tmp_path, env={"TMPDIR": str(temporary)}) as process:
        wait_for(lambda: list(temporary.iterdir()), "it unpacks")
        os.kill(first_child(process.pid), signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert process.log == ""
    assert list(temporary.iterdir()) == []


def first_child(pid: int) -> int:
    """Return the first process that a process has started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_it_runs_without_standard_streams(binary: Path, temporary: Path, closed: str) -> None:
    script = f'"$1" files config.yaml {closed}'
    ended = subprocess.run(
        ["sh", "-c", script, "sh", str(binary)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        timeout=START_S,
        check=False,
    )
    assert ended.returncode == (1 if "1>&-" in closed else 0), ended.stderr
    assert list(temporary.iterdir()) == []


def test_what_a_kill_leaves_the_next_start_removes(
    start: Callable[..., Gateway], binary: Path, temporary: Path
) -> None:
    living, killed = start(), start()
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait_for_end_of_output()  # all its processes end with the first
    assert len(list(temporary.iterdir())) == 2
    run([binary, "--version"], {"TMPDIR": str(temporary)})
    assert len(list(temporary.iterdir())) == 1
    assert living.get("/").status == 200


def test_a_gateway_whose_file_is_swapped_keeps_its_own(
    gateway: Callable[..., Gateway], binary: Path, temporary: Path, tmp_path: Path
) -> None:
    """Modules that nothing has asked for yet, as a language's for highlighting, come out of the file that it runs."""
    installed = Path(shutil.copy(binary, tmp_path / "clawgate"))
    started = gateway(command=(str(installed), "serve"), env={"TMPDIR": str(temporary)}, cwd=tmp_path)
    (tmp_path / "new").write_bytes(bytes(installed.stat().st_size))
    (tmp_path / "new").rename(installed)
    assert "<span" in started.post("/render", {"text": "```rust\nfn f() {}\n```"}).json["html"]
    installed.unlink()
    assert "<span" in started.post("/render", {"text": "```haskell\nx = 1\n```"}).json["html"]


def test_a_reload_that_cannot_read_a_file_changes_nothing(start: Callable[..., Gateway], temporary: Path) -> None:
    """As after a cleaner of temporary files that heeds no lock."""
    started = start()
    next(temporary.rglob("words.en.json")).unlink()
    started.signal(signal.SIGHUP)
    started.wait_for_line("not reloaded: .*words.en.json")
    assert started.get("/healthz").status == 200


def test_it_takes_a_socket_that_systemd_holds(
    binary: Path, ollama: ScriptedOllama, temporary: Path, tmp_path: Path
) -> None:
    config = write_config({"model": {"endpoint": ollama.base_url}, "server": {"port": 1}}, tmp_path)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        script = f'exec 3<&{listener.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        command = ["bash", "-c", script, "bash", str(binary), "serve", "--config", str(config)]
        environment = {"TMPDIR": str(temporary)}
        with Program(command, cwd=tmp_path, env=environment, pass_fds=(listener.fileno(),)) as gateway:
            gateway.wait_for_line(rf"^Server started on :{port}$")
            assert client.get(f"http://127.0.0.1:{port}", "/healthz").status == 200


def test_it_takes_no_socket_that_another_process_was_given(gateway: Callable[..., Gateway], binary: Path) -> None:
    """A shell below a service that systemd gave sockets to may hand its variables on."""
    env = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    assert gateway(command=(str(binary), "serve"), env=env).get("/healthz").status == 200


def test_ctrl_c_reaches_a_chat_once(
    start: Callable[..., Gateway], ollama: ScriptedOllama, binary: Path, temporary: Path
) -> None:
    url = start().base_url
    ollama.script(text("Half an answer"), hang())
    environment = {"TMPDIR": str(temporary)}
    with Terminal(["chat", "--url", url], environment, command=(str(binary),)) as terminal:
        terminal.wait_for_prompt()
        terminal.type("Hi")
        terminal.wait_for("Half an answer")
        terminal.type(CTRL_C)
        terminal.wait_for("interrupted")
        terminal.wait_for_prompt()
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-C again leaves")
        ollama.script(text("A whole one"), done())
        terminal.type("Go on")
        terminal.wait_for("A whole one")
        terminal.wait_for_prompt()
        terminal.type(CTRL_D)
        assert terminal.wait() == 0


def test_a_chat_in_the_background_comes_to_the_foreground(
    start: Callable[..., Gateway], ollama: ScriptedOllama, binary: Path, temporary: Path
) -> None:
    url = start().base_url
    ollama.script(text("Half an answer"), hang())
    shell = require("bash", "it continues what it has stopped")
    environment = {"TMPDIR": str(temporary), "PS1": "shell$ "}
    with Terminal(["--norc", "--noprofile", "-i"], environment, command=(shell,)) as terminal:
        terminal.wait_for(r"^shell\$ *\Z")
        terminal.type(f"{binary} chat --url {url} &")
        wait_for(lambda: any(state == "T" for state in states_below(terminal.process.pid)), "it is stopped")
        terminal.type("jobs")
        terminal.wait_for(r"^\[1\]\+ +Stopped")
        terminal.type("fg")
        terminal.wait_for_prompt()
        while not ollama.chats:  # the prompt is drawn anew, and drops what was typed at the one before
            terminal.type("Hi")
            with suppress(AssertionError):
                wait_for(lambda: ollama.chats, "it is asked", 2.0)
        terminal.wait_for("Half an answer")
        terminal.type(CTRL_C)
        terminal.wait_for("interrupted")
        terminal.wait_for_prompt()
        terminal.type(CTRL_D)
        terminal.wait_for(r"^shell\$ *\Z")
        terminal.type("exit")
        assert terminal.wait() == 0


def states_below(pid: int) -> list[str]:
    """Return the states of a shell's jobs: each one's first process."""
    stats = [Path(f"/proc/{child}/stat").read_text() for child in children_of(pid)]
    return [stat.rpartition(")")[2].split()[0] for stat in stats]


@pytest.mark.parametrize("command", ["serve", "up"])
def test_ctrl_c_ends_it_in_order(
    binary: Path, ollama: ScriptedOllama, temporary: Path, tmp_path: Path, command: str
) -> None:
    config = write_config({"model": {"endpoint": ollama.base_url}, "server": {"port": 0}}, tmp_path)
    environment = {"TMPDIR": str(temporary)}
    with Terminal([command, "--config", str(config)], environment, command=(str(binary),)) as terminal:
        port = terminal.wait_for(r"Server started on :(\d+)" if command == "serve" else UP)[1]
        ollama.default(text("Half"), hang())
        with StreamClient(f"http://127.0.0.1:{port}", {"message": "Hi"}) as stream:
            stream.read_text("Half")
            terminal.type(CTRL_C)
            stream.read_all()
            assert sse.end_of(stream.events)["done_reason"] == "interrupted"
        assert terminal.wait() == 0
        assert "Traceback" not in terminal.screen.all
    assert list(temporary.iterdir()) == []
