"""Listening on a Unix socket's path, where two want it, and where nobody may."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clawgate import unix_socket
from clawgate.ports import PortTaken
from clawgate.sockets import SEND_BUFFER_BYTES, bounded, unix_path
from tests.support.tools import DEADLINE_S

NOBODY = 65534


@pytest.fixture
def path() -> Iterator[str]:
    """A path in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="clawgate-") as folder:
        os.chmod(folder, 0o755)
        yield f"{folder}/gate.sock"


@contextmanager
def mode_for_anybody(place: str, mode: int) -> Iterator[None]:
    """Give a file or folder a mode that counts: root, for whom none does, is nobody meanwhile."""
    before = stat.S_IMODE(os.stat(place).st_mode)
    os.chmod(place, mode)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        os.chmod(place, before)


def test_the_mode_of_the_process_does_not_count(path: str) -> None:
    before = os.umask(0o077)
    try:
        unix_socket.listen(path).close()
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666


def test_of_two_that_start_at_once_the_second_finds_the_first(path: str) -> None:
    """Both would find a killed gateway's socket, and the later one would remove the earlier one's."""
    unix_socket.listen(path).close()
    made: list[socket.socket | PortTaken] = []

    def start() -> None:
        try:
            made.append(unix_socket.listen(path))
        except PortTaken as error:
            made.append(error)

    stale = os.stat(path).st_ino
    threads = [threading.Thread(target=start) for _ in range(4)]
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    for thread in threads:
        thread.start()
    time.sleep(0.2)  # each of them is over in a millisecond
    assert (os.stat(path).st_ino, made) == (stale, [])
    os.close(folder)
    for thread in threads:
        thread.join()
    sockets = [each for each in made if isinstance(each, socket.socket)]
    assert len(sockets) == 1
    with sockets[0], socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        sockets[0].accept()[0].close()


def test_a_folder_that_somebody_else_keeps_locked_is_not_waited_for_for_long(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_socket, "MAX_ALONE_S", 0.1)
    unix_socket.listen(path).close()
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    thread = threading.Thread(target=lambda: unix_socket.listen(path).close(), daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    os.close(folder)


def test_a_folder_that_may_be_written_to_and_not_read_will_do(path: str) -> None:
    folder = os.path.dirname(path)
    with mode_for_anybody(folder, 0o333):
        unix_socket.listen(path).close()
        unix_socket.listen(path).close()


def test_a_folder_that_this_user_may_not_write_into_is_named(path: str) -> None:
    folder = os.path.dirname(path)
    with mode_for_anybody(folder, 0o555), pytest.raises(PortTaken) as caught:
        unix_socket.listen(path)
    assert str(caught.value) == (
        f"cannot listen on unix:{path}: Permission denied: this user may not write into {folder}; choose another, or "
        "give it to this user"
    )


def test_another_users_socket_is_left_alone(path: str) -> None:
    with (
        unix_socket.listen(path),
        mode_for_anybody(path, 0o600),
        pytest.raises(PortTaken, match="another process does"),
    ):
        unix_socket.listen(path)
    assert os.path.lexists(path)


def test_a_client_of_it_is_bounded_by_itself(path: str) -> None:
    """An accepted Unix socket inherits neither the buffer nor the time-out of its listener, unlike one of a port."""
    with bounded(unix_socket.listen(path)) as listener, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        with listener.accept()[0] as accepted:
            sizes = [each.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) for each in (listener, accepted)]
            assert sizes[0] == 2 * SEND_BUFFER_BYTES < sizes[1], "then the worker need not bound it again"
            assert unix_path(accepted) == path
    assert unix_path(None) is None


def test_what_tells_a_file_from_another_decides_whether_it_is_removed(path: str) -> None:
    unix_socket.listen(path).close()
    identity = unix_socket.identity_of(path)
    Path(f"{path}2").write_text("another's")
    os.replace(f"{path}2", path)
    unix_socket.remove(path, identity)
    assert Path(path).read_text() == "another's"
    unix_socket.remove(path, unix_socket.identity_of(path))
    assert unix_socket.identity_of(path) is None
    unix_socket.remove(path, None)


def test_of_the_sockets_at_a_path_the_one_that_listens_is_named() -> None:
    table = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000: 00000002 00000000 00010000 0001 01 101 /run/a b.sock\n"
        "0000: 00000003 00000000 00000000 0001 03 102 /run/a b.sock\n"
        "0000: 00000002 00000000 00010000 0001 01 103 /run/a\n"
        "0000: 00000003 00000000 00000000 0001 03 104\n"
    )
    assert list(unix_socket._listening_on("/run/a b.sock", table)) == [101]
