"""docs/deploy.md, docs/proxies.md and docs/scaling.md name only what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clawgate.config import settings
from clawgate.telemetry.answers import ENDED
from tests.support.tools import ROOT

DOCUMENTS = [ROOT / "docs" / name for name in ("deploy.md", "proxies.md", "scaling.md")]
SYMPTOMS = ("in one lump", "502", "504", "cut off at 60 s", "the model is away", "403 from Ollama")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_is_named_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/])(?:nginx|systemd|docs)/[\w.@-]+\.(?:conf|service|socket|env|md)", text))
    named |= {f"docs/{target}" for target in re.findall(r"\]\(([\w./-]+)\)", text)}
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_that_is_named_is_there(document: Path) -> None:
    names, variables = zip(*((setting.name, setting.variable) for setting in settings()), strict=True)
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:model|server|logging|stream|session|bots)\.[a-z_]+)(?:[`:])", text))
    assert named
    assert named <= set(names)
    assert set(re.findall(r"CLAWGATE_[A-Z_]+", text)) <= set(variables)


@pytest.mark.parametrize("name", ["docs/deploy.md", "README.zh-CN.md"])
@pytest.mark.parametrize("program", ["curl", "openssl", "nginx"])
def test_the_five_steps_install_what_a_bare_debian_lacks_before_they_use_it(name: str, program: str) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S)
    steps = "".join(blocks[next(n for n, block in enumerate(blocks) if "ollama.com/install.sh" in block) :])
    first = next(line for line in steps.splitlines() if re.search(rf"\b{program}\b", line))
    assert "apt install" in first


def test_every_symptom_is_answered() -> None:
    text = DOCUMENTS[0].read_text(encoding="utf-8").partition("## Troubleshooting")[2]
    assert [symptom for symptom in SYMPTOMS if symptom not in text] == []


def test_every_shipped_file_is_told_of() -> None:
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    shipped = [path.name for folder in ("nginx", "systemd") for path in (ROOT / folder).iterdir()]
    assert [name for name in shipped if name not in text] == []


def test_the_line_of_an_answer_is_as_it_is_told() -> None:
    fields = re.findall(r"(\w+)=%\(", ENDED)
    shown = re.search(r"^answer ended: (.*)$", DOCUMENTS[0].read_text(encoding="utf-8"), re.M)
    assert shown
    assert re.findall(r"(\w+)=", shown[1]) == fields
