"""The process that holds a port, read from the kernel's tables and a /proc of the test's own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from clawgate import ports
from tests.support.language import assert_has_chinese

TAKEN = OSError(errno.EADDRINUSE, "Address already in use")
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = "00000000:00000000 00:00000000 00000000"
ONES = "0100007F"
ALL6, ONE6, MAPPED = "0" * 32, "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"


def line(address: str, port: int, inode: int, *, uid: int = 0, state: str = "0A") -> str:
    return f"   0: {address}:{port:04X} 00000000:0000 {state} {REST} {uid:5} 0 {inode} 1 0000 100 0 0 10 0\n"


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc without a listener."""
    (tmp_path / "net").mkdir()
    for name in ("tcp", "tcp6"):
        (tmp_path / "net" / name).write_text(HEAD)
    monkeypatch.setattr(ports, "_PROC", tmp_path)
    return tmp_path


def add(proc: Path, text: str) -> None:
    with (proc / "net" / ("tcp6" if len(text.split()[1]) > 13 else "tcp")).open("a") as table:
        table.write(text)


def run(proc: Path, pid: int, parent: int, inode: int, command: str, *arguments: str) -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fd" / "0").symlink_to("/dev/null")
    (folder / "fd" / "5").symlink_to(f"socket:[{inode}]")
    (folder / "stat").write_text(f"{pid} ({command}) S {parent} 1 1")
    (folder / "comm").write_text(command + "\n")
    (folder / "cmdline").write_bytes(b"".join(os.fsencode(each) + b"\0" for each in arguments))


def told(host: str = "127.0.0.1", port: int = 18789) -> str:
    found = ports.explained(TAKEN, host, port)
    assert_has_chinese(
        f"clawgate: server.host and server.port: cannot listen on h port 1: Address already in use{found}"
    )
    return found


def test_a_process_is_named_with_its_cure(proc: Path) -> None:
    add(proc, line(ONES, 18789, 77))
    run(proc, 300, 1, 77, "python", "/v/bin/python", "-m", "clawgate", "serve")
    assert told() == "; it is held by clawgate (pid 300): stop it with `kill 300`, or choose another with --port"


def test_the_one_file_has_its_own_name(proc: Path) -> None:
    add(proc, line(ONES, 18789, 77))
    run(proc, 300, 1, 77, "python3.11", "/c/venvs/4/s/venv/bin/python3.11", "-I", "/c/venvs/4/eb41/pex", "serve")
    (proc / "300" / "environ").write_bytes(b"SECRET=x\0PEX=/opt/clawgate/bin/clawgate\0")
    assert told() == "; it is held by clawgate (pid 300): stop it with `kill 300`, or choose another with --port"
    (proc / "300" / "environ").write_bytes(b"SECRET=x\0")
    assert "held by pex (pid 300)" in told()


def test_of_a_family_the_parent_is_named_and_never_init(proc: Path) -> None:
    add(proc, line(ONES, 18789, 77))
    for pid, parent in ((1, 0), (301, 300), (300, 1), (302, 300)):
        run(proc, pid, parent, 77, "nginx")
    assert "nginx (pid 300)" in told()


def test_of_another_users_process_the_user_is_named(proc: Path) -> None:
    add(proc, line(ONES, 18789, 77))
    assert told() == "; it is held by a process of the user root: choose another with --port"
    add(proc, line(ONES, 18790, 78, uid=3999999))
    assert "a process of the user with the id 3999999" in told(port=18790)


@pytest.mark.parametrize(
    ("theirs", "host", "is_named"),
    [
        (ONES, "127.0.0.1", True),
        (ONES, "127.0.0.2", False),
        (ONES, "0.0.0.0", True),
        (ONES, "localhost", True),
        ("00000000", "127.0.0.1", True),
        (ALL6, "127.0.0.1", True),
        (MAPPED, "127.0.0.1", True),
        (ONE6, "127.0.0.1", False),
        (ONE6, "::1", True),
        (ONES, "::", True),
    ],
)
def test_only_a_socket_that_is_in_the_way_is_meant(proc: Path, theirs: str, host: str, is_named: bool) -> None:
    add(proc, line(theirs, 18789, 77))
    assert bool(told(host)) == is_named


@pytest.mark.parametrize("other", [line(ONES, 18790, 77), line(ONES, 18789, 77, state="01")])
def test_another_port_and_a_connection_are_not_in_the_way(proc: Path, other: str) -> None:
    add(proc, other)
    run(proc, 300, 1, 77, "python")
    assert told() == ""


def test_another_error_is_not_explained(proc: Path) -> None:
    add(proc, line(ONES, 80, 77))
    assert ports.explained(PermissionError(errno.EACCES, "Permission denied"), "127.0.0.1", 80) == ""


@pytest.mark.parametrize(
    ("command", "arguments", "name"),
    [
        ("python3.11", ["/usr/bin/python3.11", "/srv/app/run.py", "--token", "secret"], "run.py"),
        ("python", ["python", "-m", "http.server", "80"], "http.server"),
        ("python", ["python", "-c", "print('secret')"], "python"),
        ("python", ["python"], "python"),
        ("clawgate", ["/v/bin/python", "/v/bin/clawgate", "serve"], "clawgate"),
        ("python3.11", ["/v/bin/python", "-m", "clawgate.lifeline", "clawgate", "serve"], "clawgate"),
        ("node", ["node", "/srv/node_modules/.bin/vite"], "vite"),
        ("a\x1b[31m\nb", ["x"], "a\\x1b[31m\\nb"),
        ("python", ["python", "é\udcff" + "x" * 99], "é\\udcff" + "x" * 38),
    ],
)
def test_a_name_is_short_printable_and_no_argument(command: str, arguments: list[str], name: str) -> None:
    assert ports.called(command, arguments) == name


def test_a_system_without_these_tables_names_nobody(proc: Path) -> None:
    for name in ("tcp", "tcp6"):
        (proc / "net" / name).unlink()
    assert told() == ""
