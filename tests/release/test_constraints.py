"""release/constraints.txt has an exact version of all that clawgate needs to run, within setup.cfg's bounds."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.requirements import CARRIED, CORE, bounds, pinned

PYTHONS = [{"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"} for minor in (10, 11, 12, 13)]


def test_every_line_is_one_exact_version() -> None:
    lines = [line for part in pinned().values() for line in part]
    assert [line for line in lines if not re.fullmatch(r"[a-z\d-]+==[\d.]+(?:\.?post\d+)?", line)] == []
    assert len({line.partition("==")[0] for line in lines}) == len(lines)
    assert all(part == sorted(part) for part in pinned().values())


def test_its_parts_are_those_of_the_package() -> None:
    assert list(pinned()) == list(bounds())
    assert list(pinned())[: 1 + len(CARRIED)] == [CORE, *CARRIED]


def test_every_version_is_within_the_bounds() -> None:
    versions = dict(line.split("==") for part in pinned().values() for line in part)
    wanted = [Requirement(text) for part in bounds().values() for text in part]
    wrong = [str(each) for each in wanted if versions.get(canonicalize_name(each.name), "0") not in each.specifier]
    assert wrong == [], "`make constraints` writes the file anew"


def test_each_part_has_all_that_it_needs_and_nothing_else() -> None:
    known: set[str] = set()
    for part, lines in pinned().items():
        needed = known | {line.partition("==")[0] for line in lines}
        left = [Requirement(text) for text in bounds()[part]]
        reached: set[str] = set()
        while left:
            name = str(canonicalize_name(left.pop().name))
            if name not in reached:
                reached.add(name)
                left += needs_of(name)
        assert reached <= needed, part
        assert needed - known <= reached, part
        known = needed


def needs_of(name: str) -> list[Requirement]:
    """Return what a distribution needs under any of the Pythons; one that this Python has no use for needs nothing."""
    try:
        found = [Requirement(text) for text in requires(name) or []]
    except PackageNotFoundError:
        return []
    return [each for each in found if each.marker is None or is_wanted(each.marker)]


def is_wanted(marker: Marker) -> bool:
    """Say whether a marker holds under one of the Pythons, without an extra."""
    return any(marker.evaluate({**python, "extra": ""}) for python in PYTHONS)
