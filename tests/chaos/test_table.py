"""The table of faults names tests that exist, and every test here stands in it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support.tools import ROOT

FOLDER = Path(__file__).parent
NAMED = re.compile(r"`(?:(tests/\w+/test_\w+\.py)::)?(test_\w+)`")


def functions_of(path: str) -> set[str]:
    """The test functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def named() -> set[tuple[str, str]]:
    """The path and name of every test in the table; a name alone is of the file that was named last before it."""
    found: set[tuple[str, str]] = set()
    path = ""
    for match in NAMED.finditer((FOLDER / "README.md").read_text(encoding="utf-8")):
        path = match[1] or path
        found.add((path, match[2]))
    return found


def test_the_table_names_tests_that_exist() -> None:
    assert {(path, name) for path, name in named() if name not in functions_of(path)} == set()


def test_every_test_here_is_in_the_table() -> None:
    paths = {f"tests/chaos/{file.name}" for file in FOLDER.glob("test_*.py")} - {f"tests/chaos/{Path(__file__).name}"}
    here = {(path, name) for path in paths for name in functions_of(path)}
    assert here - named() == set()
