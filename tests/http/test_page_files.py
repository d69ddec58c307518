"""The pages' files: kept for good below the path of their version, asked for again below any other."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawgate import create_app
from clawgate.config import Config, ServerConfig
from clawgate.web.pages.files import APART_S, Files


def test_a_file_of_the_present_version_is_kept_for_good_and_no_other_is() -> None:
    client = create_app(Config(server=ServerConfig(auth_token="a-very-secret-token"))).test_client()
    found = re.search(r"/static/v-(\w+)/", client.get("/").text)
    assert found, "the page names its files by their version"
    for version, kept in ((f"v-{found[1]}/", "max-age=31536000, immutable"), ("v-0/", "no-cache"), ("", "no-cache")):
        with client.get(f"/static/{version}page/chat.js") as answer:
            assert (answer.status_code, answer.mimetype) == (200, "text/javascript")
            assert set(answer.headers["Cache-Control"].split(", ")) - {"public"} == set(kept.split(", "))
            tag = answer.headers["ETag"]
        with client.get(f"/static/{version}page/chat.js", headers={"If-None-Match": tag}) as again:
            assert again.status_code == 304
        for missing in ("nothing.js", "../app.py", "%2e%2e/app.py", ""):
            assert client.get(f"/static/{version}{missing}").status_code == 404


def test_the_manifest_is_one() -> None:
    with create_app().test_client().get("/static/manifest.webmanifest") as answer:
        assert answer.mimetype == "application/manifest+json"


def test_a_change_of_any_file_makes_another_version(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    file = tmp_path / "parts" / "a.js"
    file.write_text("one")
    files = Files(tmp_path, itertools.count(1000.0, APART_S).__next__)
    first = files.version()
    assert files.version() == first == Files(tmp_path).version()
    os.utime(file, ns=(1, 1))
    assert files.version() == first, "its contents count"
    file.write_text("two")
    second = files.version()
    file.rename(tmp_path / "parts" / "b.js")
    assert len({first, second, files.version()}) == 3


def test_a_page_looks_at_the_folder_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names a hundred files: a look for each made a page cost 0.24 s of CPU, which streams wait for."""
    client = create_app().test_client()
    looks: list[Path] = []
    rglob = Path.rglob

    def look(path: Path, pattern: str) -> Iterator[Path]:
        looks.append(path)
        return rglob(path, pattern)

    monkeypatch.setattr(Path, "rglob", look)
    version = re.search(r"/static/v-\w+/", client.get("/").text)
    assert version, "the page names its files by their version"
    client.get(f"{version[0]}page/chat.js").close()
    assert len(looks) <= 2, "once, or once more where a second has passed"
