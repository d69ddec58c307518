"""docs/bots.md and docs/bots.zh-CN.md name what is there, say the same, and know every sentence of a bot."""

from __future__ import annotations

import re
import subprocess

import pytest

from clawgate.bots.words import EN, ZH, Words
from clawgate.config import BotsConfig, settings
from tests.support.tools import ROOT
from tests.test_docs import document, headings

ENGLISH, CHINESE = "docs/bots.md", "docs/bots.zh-CN.md"
GUIDES = (ENGLISH, CHINESE)
BOTS = [setting for setting in settings() if setting.section == "bots"]
UNDOCUMENTED = {"bots.wecom_update_seconds"}
"""Settings that the guides need not name: the README has them."""


def said(sentence: str) -> str:
    """A sentence as a bot says it by default; what it fills in is left open."""
    config = BotsConfig()
    words = {"stop": config.stop_words[0], "go_on": config.continue_words[0], "new": config.new_words[0]}
    return sentence.format(**words, code="…", user="…")


@pytest.mark.parametrize(("name", "words"), [(ENGLISH, EN), (CHINESE, ZH)])
def test_every_sentence_of_a_bot_has_its_row(name: str, words: Words) -> None:
    rows = [line.split(" | ")[0].removeprefix("| ") for line in document(name).splitlines() if line.startswith("| ")]
    missing = [field for field, sentence in words._asdict().items() if said(sentence) not in rows]
    assert not missing, f"{name}, Troubleshooting: a row for each of these sentences"


@pytest.mark.parametrize("name", GUIDES)
def test_every_setting_of_the_bots_is_told_of_and_no_other(name: str) -> None:
    known = {setting.name for setting in settings()}
    text = document(name)
    named = set(re.findall(r"`((?:model|server|logging|stream|session|bots)\.[a-z_]+)", text))
    assert named - known == set()
    in_yaml = {f"bots.{key}" for key in re.findall(r"^  ((?:dingtalk|wecom)_\w+):", text, re.M)}
    by_variable = {setting.name for setting in BOTS if setting.variable in text}
    assert {setting.name for setting in BOTS} - named - in_yaml - by_variable <= UNDOCUMENTED
    variables = {setting.variable for setting in settings()}
    assert set(re.findall(r"CLAWGATE_[A-Z_]+", text)) - variables == set()


@pytest.mark.parametrize("name", GUIDES)
def test_what_a_reload_of_a_bot_cannot_change_is_named(name: str) -> None:
    rule = next(block for block in document(name).split("\n\n") if "systemctl reload" in block and "bots." in block)
    assert re.findall(r"`(bots\.\w+)`", rule) == [setting.name for setting in BOTS if setting.is_fixed]


def blocks(text: str) -> list[str]:
    """The blocks of a guide but the drawing, without comments."""
    found = re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S)
    return [re.sub(r" +# .*", "", block) for block in found[1:]]


def test_both_guides_have_the_same_commands_and_sections() -> None:
    assert len(blocks(document(ENGLISH))) > 8
    assert blocks(document(CHINESE)) == blocks(document(ENGLISH))
    assert len(headings(document(CHINESE))) == len(headings(document(ENGLISH)))


@pytest.mark.parametrize("name", GUIDES)
def test_the_arithmetic_of_the_quota_is_that_of_the_settings(name: str) -> None:
    updates = BotsConfig().dingtalk_max_updates
    calls = 1 + updates
    text = document(name).replace(",", "")
    assert f"`bots.dingtalk_max_updates`（{updates}）" in text or f"`bots.dingtalk_max_updates` ({updates})" in text
    for api, messages in ((5_000, 3_000), (200_000, 50_000)):
        row = next(line for line in text.splitlines() if re.search(rf"\| {api} \| {messages} \|", line))
        in_markdown, in_cards = map(int, re.findall(r"\d+", row)[-2:])
        assert in_markdown == messages / 2
        assert 0.95 * api / calls <= in_cards <= api / calls


@pytest.mark.parametrize("name", GUIDES)
def test_the_unit_of_a_second_bot_shares_no_folder_and_no_secret_with_the_first(name: str) -> None:
    """Two users that own the same folder take it from each other."""
    script = re.search(r"^sed '([^']+)'", document(name), re.M)
    assert script
    command = ["sed", script[1], "systemd/clawgate-bot@.service"]
    unit = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "\nCacheDirectory=clawgate-helpdesk\n" in unit
    assert "\nEnvironmentFile=-/etc/clawgate/helpdesk.environment\n" in unit
    assert "%i" not in unit
