"""The page's JavaScript: its pure part under Node, its types under TypeScript, the walls between its rooms."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.tools import ROOT, require

HERE = Path(__file__).parent
STATIC = ROOT / "clawgate" / "static"
MIN_NODE = (20, 19)
"""Older ones do not take a .js file for a module because it has `import` in it."""
ROOMS = {"core": {"core"}, "parts": {"core", "parts"}, "page": {"core", "parts", "page"}}
"""The rooms of the scripts, and what each may import from."""
BROWSER = re.compile(r"\b(document|window|navigator|location|localStorage|sessionStorage)\b")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def test_node_tests_pass() -> None:
    node = require("node", "the page's pure JavaScript is tested under it")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, version.strip().lstrip("v").split(".")[:2])) < MIN_NODE:
        pytest.skip(f"node {version.strip()} is older than {MIN_NODE}")
    files = sorted(map(str, HERE.glob("*.test.mjs")))
    assert files
    done = subprocess.run([node, "--test", *files], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_types_are_right(tmp_path: Path) -> None:
    tsc = require("tsc", "the page's JSDoc types are checked with it (npm install -g typescript)")
    options = {"checkJs": True, "allowJs": True, "noEmit": True, "strict": True, "noUncheckedIndexedAccess": True}
    target = {"target": "esnext", "module": "esnext", "moduleResolution": "bundler", "types": []}
    lib = {"lib": ["esnext", "dom", "dom.iterable", "dom.asynciterable"]}
    project = {"compilerOptions": {**options, **target, **lib}, "files": sorted(map(str, STATIC.glob("*/*.js")))}
    (tmp_path / "tsconfig.json").write_text(json.dumps(project))
    done = subprocess.run([tsc, "-p", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_script_is_checked() -> None:
    assert [file.name for file in STATIC.glob("*/*.js") if not file.read_text().startswith("// @ts-check\n")] == []


def test_imports_go_one_way() -> None:
    assert {file.parent.name for file in STATIC.glob("*/*.js")} == set(ROOMS)
    wrong = [
        f"{room}/{file.name} imports {imported}"
        for room, allowed in ROOMS.items()
        for file in (STATIC / room).glob("*.js")
        for imported in re.findall(r'from "([^"]+)"|import\("([^"]+)"\)', file.read_text())
        for path in [(file.parent / "".join(imported)).resolve()]
        if not path.is_file() or path.parent.name not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_the_core_knows_no_browser() -> None:
    found = {file.name: BROWSER.findall(COMMENT.sub("", file.read_text())) for file in (STATIC / "core").glob("*.js")}
    assert found
    assert {name: names for name, names in found.items() if names} == {}


def test_words_are_the_same_in_both_languages() -> None:
    english, chinese = (json.loads((STATIC / f"words.{code}.json").read_text()) for code in ("en", "zh"))
    assert list(english) == list(chinese)


def test_words_that_scripts_use_exist() -> None:
    words = json.loads((STATIC / "words.en.json").read_text())
    used = {
        piece.split('"')[0]
        for file in STATIC.glob("*/*.js")
        for call in ("notice(", "announce(", "words[", "words()[")
        for piece in file.read_text().split(f'{call}"')[1:]
    }
    assert used
    assert used <= set(words)
