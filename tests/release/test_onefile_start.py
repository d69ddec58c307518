"""The first start of `dist/clawgate.pyz`: it works, or one line says what to set."""

from __future__ import annotations

import os
import shlex
import signal

import pytest

from clawgate import __version__
from tests.release.onefile import Onefile
from tests.support.command import assert_is_one_line
from tests.support.pythons import require_python
from tests.support.tools import DEADLINE_S, require_mount_namespace, wait_for

pytestmark = pytest.mark.deadline(120)

VERSION = f"clawgate {__version__}\n"
NOBODY = 54321


def mounted(fresh: Onefile, options: str) -> list[str]:
    """Return the command that runs another one with a file system of its own where the cache is."""
    fresh.root.mkdir()
    script = f'mount -t tmpfs -o {options} tmpfs {shlex.quote(str(fresh.root))}; exec "$@"'
    return [*require_mount_namespace(), "sh", "-c", script, "sh"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [("noexec", "is mounted noexec"), ("size=20m", "No space left on device"), ("ro", "cannot write to")],
)
def test_a_cache_that_cannot_be_used_is_named(fresh: Onefile, options: str, reason: str) -> None:
    said = assert_is_one_line(fresh.run("--version", before=mounted(fresh, options)), 1)
    assert f"{fresh.root}" in said
    assert reason in said
    assert "set PEX_ROOT to a folder" in said
    fresh.assert_left_nothing()


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("HOME", ".cache/clawgate/pex"), ("XDG_CACHE_HOME", "clawgate/pex"), ("CACHE_DIRECTORY", "clawgate/pex")],
)
def test_a_cache_that_cannot_be_made_is_named(fresh: Onefile, variable: str, folder: str) -> None:
    """systemd sets CACHE_DIRECTORY, and separates several by colons."""
    (fresh.place / "file").touch()
    more = ":/nonsense" if variable == "CACHE_DIRECTORY" else ""
    own = {"PEX_ROOT": "", variable: f"{fresh.place}/file{more}"}
    said = assert_is_one_line(fresh.run("--version", env=own), 1)
    assert f"cannot unpack into {fresh.place}/file/{folder}: " in said
    assert "set PEX_ROOT" in said


@pytest.mark.parametrize(
    ("name", "charset", "reason"), [("a b", "C.UTF-8", "there is a blank in its path"), ("网关", "C", "is not ASCII")]
)
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_cache_whose_path_cannot_be_read_again_is_named(
    fresh: Onefile, name: str, charset: str, reason: str, is_linked: bool
) -> None:
    folder = fresh.place / name
    folder.mkdir()
    if is_linked:
        folder = fresh.place / "link"
        folder.symlink_to(name)
    said = assert_is_one_line(fresh.run("--version", env={"PEX_ROOT": str(folder), "LC_ALL": charset}), 1)
    assert f"cannot unpack into {folder}: " in said
    assert reason in said
    assert "set PEX_ROOT" in said


def test_a_cache_may_have_a_chinese_path(fresh: Onefile) -> None:
    environment = {"PEX_ROOT": str(fresh.place / "网关"), "LC_ALL": "C.UTF-8"}
    for _ in range(2):
        assert fresh.run("--version", env=environment) == (0, VERSION, "")


def test_the_cache_of_another_user_is_not_trusted(fresh: Onefile) -> None:
    if os.geteuid():
        pytest.skip("only root can make a folder of another user's")
    os.chown(fresh.place, NOBODY, NOBODY)
    said = assert_is_one_line(fresh.run("--version", env={"PEX_ROOT": ""}), 1)
    assert "belongs to another user: set PEX_ROOT" in said
    assert not (fresh.place / ".cache").exists()


def test_a_python_that_is_too_old_is_named(fresh: Onefile) -> None:
    python = require_python(9)
    said = assert_is_one_line(fresh.run("--version", before=[python], env={"PATH": "/nonsense"}), 1)
    assert said == f"clawgate: it needs Python 3.10 to 3.13, and {python} is cpython 3.9: install one"


def test_two_first_starts_at_once_succeed(fresh: Onefile) -> None:
    starts = [fresh.started("--version") for _ in range(2)]
    assert [each.wait(2 * DEADLINE_S) for each in starts] == [0, 0]
    for each in starts:
        each.wait_for_end_of_output()
        each.stop()
        assert each.log == VERSION
    fresh.assert_left_nothing()


def test_a_first_start_that_was_killed_is_made_good(fresh: Onefile) -> None:
    with fresh.started("--version") as start:
        unpacked = fresh.root / "installed_wheels"
        wait_for(lambda: any(unpacked.rglob("*.py")), "it has begun to unpack")
        start.stop(signal.SIGKILL)
    assert fresh.run("--version") == (0, VERSION, "")
    fresh.assert_left_nothing()
