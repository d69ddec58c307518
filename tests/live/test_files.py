"""`clawgate files`: what the program carries is the checkout's, byte for byte, whatever stdout can encode."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from clawgate.files import CONFIG, FOLDERS, contents
from tests.support.command import CLAWGATE, assert_is_one_line, clawgate
from tests.support.tools import DEADLINE_S, ROOT

NAMES = [CONFIG, *(f"{folder}/{path.name}" for folder in FOLDERS for path in sorted((ROOT / folder).iterdir()))]


def printed(*arguments: str, encoding: str, cwd: Path) -> bytes:
    """Return the bytes on stdout."""
    command = ["env", f"PYTHONPATH={ROOT}", "PYTHONUTF8=0", f"PYTHONIOENCODING={encoding}", *CLAWGATE, *arguments]
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_S).stdout


def test_each_file_is_the_checkouts() -> None:
    assert {name: read() for name, read in contents().items()} == {name: (ROOT / name).read_bytes() for name in NAMES}


def test_they_are_listed(tmp_path: Path) -> None:
    assert clawgate("files", cwd=tmp_path) == (0, "".join(f"{name}\n" for name in NAMES), "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-16"])
def test_a_file_is_printed_byte_for_byte(tmp_path: Path, encoding: str) -> None:
    name = "nginx/clawgate-several.conf"
    content = (ROOT / name).read_bytes()
    assert not content.isascii(), "the test wants a file that stdout could not encode"
    assert printed("files", name, encoding=encoding, cwd=tmp_path) == content


def test_an_unknown_name_is_one_line_with_the_nearest(tmp_path: Path) -> None:
    line = assert_is_one_line(clawgate("files", "clawgate.servce\n", cwd=tmp_path), 2)
    assert line == r"clawgate: files: there is no 'clawgate.servce\n'; the nearest one is systemd/clawgate.service"


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [(">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_an_output_that_takes_nothing_is_one_line(tmp_path: Path, stdout: str, reason: str) -> None:
    command = ["sh", "-c", f'exec "$@" {stdout}', "sh", "env", f"PYTHONPATH={ROOT}", *CLAWGATE, "files", CONFIG]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"clawgate: cannot write the output: {reason}\n"
