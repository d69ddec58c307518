"""docs/security.md agrees with the code: its tests exist, its bounds are setup.cfg's, its settings are settings."""

from __future__ import annotations

import re
from configparser import ConfigParser

from clawgate.config import settings
from tests.support.tools import ROOT

TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The part under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found, title
    return found[1]


def test_every_promise_is_held_by_tests_that_exist() -> None:
    rows = [line for line in section("Promises").splitlines() if line.startswith("| ")][2:]
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row.split(" | ")[-1])
        assert named, f"nothing holds: {row}"
        assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_test_of_abuse_is_named() -> None:
    written = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*/test_*.py")}
    about = {name for name in written if re.search(r"test_(abuse_\w+|\w+_properties|flood)\.py", name)}
    assert about - set(re.findall(r"`(tests/[\w/]+\.py)`", TEXT)) == set()


def test_the_lower_bounds_are_those_of_the_package() -> None:
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = dict(line.partition(",")[0].split(">=") for line in parser["options"]["install_requires"].split())
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \| ", section("Dependencies"), re.M)
    assert dict(rows) == wanted


def test_every_setting_that_is_named_is_there() -> None:
    named = set(re.findall(r"`((?:model|server|logging|stream|session|bots)\.[a-z_]+)`", TEXT))
    assert named - {setting.name for setting in settings()} == set()
    assert len(named) > 5
