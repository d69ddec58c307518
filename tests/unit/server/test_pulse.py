"""The worker's sign of life: in memory, and in gunicorn's file where the system has none there."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from gunicorn.config import Config

from clawgate.server.pulse import Pulse
from clawgate.server.worker import Worker


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    cfg = Config()
    cfg.set("worker_tmp_dir", str(tmp_path / "nowhere"))
    return cfg


@pytest.fixture
def pulse(cfg: Config) -> Iterator[Pulse]:
    pulse = Pulse(cfg)
    yield pulse
    pulse.close()


def test_the_master_reads_the_time_that_the_worker_has_set(pulse: Pulse) -> None:
    os.utime(pulse.fileno(), (1, 1))
    pulse.notify()
    assert pulse.last_update() > 1


def test_a_worker_has_one_and_no_file(cfg: Config) -> None:
    worker = Worker(1, os.getppid(), [], None, 30, cfg, logging.getLogger("tests"))
    assert isinstance(worker.tmp, Pulse)
    assert "memfd:clawgate-pulse" in os.readlink(f"/proc/self/fd/{worker.tmp.fileno()}")
    worker.tmp.close()


def test_without_memory_for_it_the_file_takes_its_place(
    cfg: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> int:
        raise OSError(errno.EPERM, "a filter of system calls")

    monkeypatch.setattr(os, "memfd_create", fail)
    (tmp_path / "nowhere").mkdir()
    pulse = Pulse(cfg)
    pulse.notify()
    assert "wgunicorn-" in os.readlink(f"/proc/self/fd/{pulse.fileno()}")
    pulse.close()
