"""The first start of `dist/clawgate.pyz`: it works, or one line says what to set."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clawgate import __version__
from tests.release.onefile import Onefile
from tests.support.command import Finished, assert_is_one_line
from tests.support.pythons import require_python
from tests.support.tools import DEADLINE_S, ROOT, require_mount_namespace, wait_for

pytestmark = pytest.mark.deadline(120)

VERSION = f"clawgate {__version__}\n"
NOBODY = 54321


def mounted(fresh: Onefile, options: str) -> list[str]:
    """Return the command that runs another one with a file system of its own where the cache is."""
    fresh.root.mkdir()
    script = f'mount -t tmpfs -o mode=700,{options} tmpfs {shlex.quote(str(fresh.root))}; exec "$@"'
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


def prepared(folder: Path | str, variable: str = "PEX_ROOT") -> Finished:
    """Run the first steps alone, which come before the archive: they need no artefact."""
    command = [sys.executable, str(ROOT / "release" / "onefile_start.py")]
    done = subprocess.run(
        command, env={variable: str(folder)}, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def give_away(path: Path) -> None:
    """Make it another user's: a folder, or a link itself."""
    if os.geteuid():
        pytest.skip("only root can make another user's file")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.mark.parametrize("variable", ["PEX_ROOT", "HOME", "XDG_CACHE_HOME", "CACHE_DIRECTORY"])
def test_a_cache_below_another_users_folder_is_not_trusted(tmp_path: Path, variable: str) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    give_away(strange)
    said = assert_is_one_line(prepared(strange / "own", variable), 1)
    assert (
        f"clawgate: {strange} belongs to another user: set PEX_ROOT to a folder that this user alone can write" in said
    )
    assert list(strange.iterdir()) == []
    own = strange / "own"
    own.mkdir()  # of this user's; the one above can be renamed all the same
    assert "belongs to another user" in assert_is_one_line(prepared(own, variable), 1)


@pytest.mark.parametrize("place", ["", "own", "own/pex"])
@pytest.mark.parametrize("is_relative", [False, True])
def test_a_link_of_another_user_is_not_followed(tmp_path: Path, place: str, is_relative: bool) -> None:
    shared, target = tmp_path / "shared", tmp_path / "target"
    shared.mkdir()
    shared.chmod(0o1777)
    target.mkdir()
    link = shared / "link"
    link.symlink_to("../target" if is_relative else target)
    assert prepared(link / place) == (0, "", ""), "it is this user's own"
    assert (target / place).is_dir()
    give_away(link)
    assert f"{link} belongs to another user: " in assert_is_one_line(prepared(link / place), 1)
    if place:
        way = tmp_path / "way"
        way.symlink_to(link / place)
        assert f"{link} belongs to another user: " in assert_is_one_line(prepared(way), 1)


@pytest.mark.parametrize(
    ("mode", "inside", "is_taken"),
    [(0o1777, "own", True), (0o1777, "", False), (0o777, "own", False), (0o757, "own/pex", False), (0o755, "", True)],
)
def test_a_folder_that_all_can_write_to_is_not_trusted(tmp_path: Path, mode: int, inside: str, is_taken: bool) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    finished = prepared(shared / inside)
    if is_taken:
        assert finished == (0, "", "")
        assert (shared / inside).is_dir()
    else:
        assert f"other users can write to {shared}: set PEX_ROOT" in assert_is_one_line(finished, 1)
        assert list(shared.iterdir()) == []


def test_a_folder_that_a_group_can_write_to_is_not_trusted(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    if os.geteuid():
        pytest.skip("only root can give a folder to a group that it is not in")
    os.chown(shared, 0, NOBODY)
    shared.chmod(0o775)
    assert f"other users can write to {shared}: " in assert_is_one_line(prepared(shared / "own"), 1)
    os.chown(shared, 0, 0)
    assert prepared(shared / "own") == (0, "", "")


def test_a_cache_is_made_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert prepared(tmp_path / "home", "HOME") == (0, "", "")
    finally:
        os.umask(before)
    made = [tmp_path / "home" / name for name in ("", ".cache", ".cache/clawgate", ".cache/clawgate/pex")]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in made] == [0o700] * 4


def test_links_in_a_ring_and_a_file_on_the_way_are_named(tmp_path: Path) -> None:
    (tmp_path / "ring").symlink_to("ring")
    (tmp_path / "file").touch()
    for name, reason in (("ring", "Too many levels of symbolic links"), ("file", "Not a directory")):
        said = assert_is_one_line(prepared(tmp_path / name / "own"), 1)
        assert f"cannot unpack into {tmp_path / name / 'own'}: {reason}: set PEX_ROOT" in said


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
