"""README.zh-CN.md says the same as README.md, docs/deploy.md and the code: what has drifted apart fails here."""

from __future__ import annotations

import json
import re

from clawgate.language.catalogue import catalogue
from tests.support.command import clawgate
from tests.support.tools import ROOT
from tests.test_docs import FIXED, IDS, SETTINGS, document, errors, readme, routes, rows, section

OPTIONS = re.compile(r"--[a-z][\w-]+|FILE\.\w+|pip install [^`]+")
ROUTE = re.compile(r"`(GET|POST|DELETE) (/[^` ]*)`")
SAID = (
    "ok: configuration (all defaults)",
    "ok: Ollama 0.12.6 at http://127.0.0.1:11434",
    "not ready: the model qwen3:32b is not there; get it with `ollama pull qwen3:32b`",
    "Ollama 0.12.6 answers at http://127.0.0.1:11434 with qwen3:32b.",
    "Open http://127.0.0.1:18789/ in your browser. Ctrl-C ends it.",
)
"""What the commands in its example print."""


def chinese() -> str:
    """Its text."""
    return document("README.zh-CN.md")


def commands(text: str) -> list[str]:
    """The lines of a text's blocks that can be run: without comments, the words of a message left out."""
    lines = [line for block in re.findall(r"^```\n(.*?)^```", text, re.M | re.S) for line in block.splitlines()]
    bare = [re.sub(r"\s+# .*| \\\\$", "", line).strip() for line in lines]
    return [re.sub(r'("(?:message|content)": )"[^"]*"', r"\1…", line) for line in bare if line]


def test_the_two_lead_to_each_other() -> None:
    assert "(README.zh-CN.md)" in readme().partition("\n## ")[0]
    assert "(README.md)" in chinese().partition("\n## ")[0]


def test_it_leads_to_every_document_that_the_readme_leads_to() -> None:
    documents = set(re.findall(r"\((docs/\w+\.md|CONTRIBUTING\.md)", readme()))
    assert documents - set(re.findall(r"\((docs/\w+\.md|CONTRIBUTING\.md)", chinese())) == set()


def test_it_is_no_longer_than_the_readme() -> None:
    assert len(chinese()) <= len(readme())


def test_it_has_the_commands_of_the_readme_with_their_options() -> None:
    ours, theirs = rows("命令", chinese()), rows("Commands", readme())
    assert list(ours)[1:] == list(theirs)[1:]
    for name, row in list(ours.items())[1:]:
        assert OPTIONS.findall(row[1]) == OPTIONS.findall(" ".join(theirs[name][1:])), name


def test_every_command_that_it_names_is_there() -> None:
    known = set(re.findall(r"^    ([a-z]+) ", clawgate("--help").stdout, re.M))
    targets = set(re.findall(r"^(\w+):", document("Makefile"), re.M))
    assert {"serve", "up", "check"} <= known
    assert set(re.findall(r"clawgate ([a-z]+)\b(?! 是)", chinese())) - known == set()
    assert set(re.findall(r"\bmake ([a-z]+)", chinese())) - targets == set()


def test_the_beginning_and_the_steps_are_those_of_the_others() -> None:
    elsewhere = {*commands(readme()), *commands(document("docs/deploy.md"))}
    steps = section("五步部署", chinese())
    assert len(commands(steps)) > 15
    drawn = commands(steps)[0]
    assert [line for line in commands(steps) if line not in elsewhere and line != drawn] == []
    assert [line for line in commands(section("开发", chinese())) if line not in elsewhere] == []
    assert commands(chinese())[:2] == commands(readme())[:2]


def test_the_steps_leave_no_command_out() -> None:
    steps = section("The five steps", document("docs/deploy.md"))
    assert [line for line in commands(steps) if line not in commands(chinese())] == []


def test_the_terminal_is_as_the_commands_speak() -> None:
    for line in SAID:
        assert f"\n{catalogue('zh').translated(line)}\n" in chinese()


def test_every_setting_has_its_meaning_and_no_other_is_named() -> None:
    meanings = json.loads(document("docs/settings.zh.json"))
    assert list(meanings) == IDS
    for setting in SETTINGS:
        assert set(re.findall(r"`CLAWGATE_\w+`|`/[\w/*]+`", setting.help)) <= set(
            re.findall(r"`CLAWGATE_\w+`|`/[\w/*]+`", meanings[setting.name])
        ), setting.name
    named = set(re.findall(r"`((?:model|server|logging|stream|session|bots)\.[a-z_]+)", chinese()))
    assert named - set(IDS) == set()
    variables = {setting.variable for setting in SETTINGS} | {"CLAWGATE_CONFIG"}
    assert set(re.findall(r"CLAWGATE_[A-Z_]+", chinese())) - variables == set()


def test_it_names_what_a_reload_cannot_change() -> None:
    rule = next(line for line in section("设置", chinese()).split("\n\n") if "SIGHUP" in line)
    assert re.findall(r"`(\w+\.\w+)`", rule) == FIXED


def test_every_route_and_error_that_it_names_is_there() -> None:
    named = set(ROUTE.findall(chinese()))
    assert len(named) > 12
    there = {(method, re.sub(r"<.*?>", "<id>", path)) for method, path in routes()}
    assert named - there == set()
    codes = re.findall(r"\b[45]\d\d `(\w+)`|`(upstream_\w+|model_not_found)`", chinese())
    assert {code for pair in codes for code in pair if code} - set(errors()) == set()


def test_its_pictures_are_in_chinese() -> None:
    pictures = re.findall(r"docs/(page[\w-]+)\.png", chinese())
    assert len(set(pictures)) >= 5
    assert all("zh" in name for name in pictures)
    assert {path.stem for path in (ROOT / "docs").glob("page-*zh*.png")} == set(pictures)
