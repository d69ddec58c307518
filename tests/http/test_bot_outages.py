"""A gateway that is full or protected, and an Ollama that fails: the chat gets a sentence, and nothing of the error."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from clawgate.bots.assembly import GatewayAddress
from clawgate.bots.check import findings
from clawgate.bots.message import Snapshot
from clawgate.bots.words import ZH
from clawgate.config.bots import BotsConfig
from clawgate.language.catalogue import catalogue
from tests.http.asking import configured
from tests.support.bot import MINE, RULES, Bot, bot_of
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, error_line, hang, text
from tests.support.tools import refuse_thread

TOKEN = "a-long-token"
pytestmark = configured(
    server={"max_streams": 1, "auth_token": TOKEN, "max_body_bytes": 4000},
    stream={"smoothing_ms": 0, "retry_seconds": 0.2},
)


@pytest.fixture
def bot(gate: Gateway, upstream: ScriptedOllama) -> Iterator[Bot]:
    """A bot with the right token."""
    del upstream
    with bot_of(gate.base_url, TOKEN) as made:
        yield made
    gate.delete(f"/api/sessions/{MINE}", {"Authorization": f"Bearer {TOKEN}"})


def failed(sentence: str, text: str = "") -> Snapshot:
    """The end of an answer with an error."""
    return Snapshot(text, remark=RULES.say(sentence), is_over=True, is_failed=True)


def test_a_gateway_that_is_full_is_told_of_and_later_answers(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), hang())
    first = bot.say("one")
    bot.messenger.wait_until_shown("春")
    assert bot.ask("two", "user-2") == failed(ZH.busy)
    bot.say("停止")
    assert bot.final_of(first).remark == ZH.stopped
    assert bot.ask("three", "user-2").text == "Hello."


@pytest.mark.parametrize("token", [None, "another-token"])
def test_a_wrong_token(gate: Gateway, upstream: ScriptedOllama, token: str | None) -> None:
    with bot_of(gate.base_url, token) as bot:
        assert bot.ask("one") == failed(ZH.unauthorized)
        assert bot.ask("/new").text == ZH.unauthorized
    assert upstream.chats == []


@pytest.mark.parametrize(
    ("path", "token", "said"),
    [("", "another-token", "Authorization: expected "), ("/elsewhere", TOKEN, "there is nothing at this address")],
)
def test_a_check_names_the_gateway_that_refuses(gate: Gateway, path: str, token: str, said: str) -> None:
    finding = next(findings(BotsConfig(), GatewayAddress(gate.base_url + path, token)))
    assert not finding.is_ready
    assert finding.line.startswith(f"not ready: gateway {gate.base_url}{path}: {said}")
    chinese = catalogue("zh").translated(finding.line)
    assert chinese is not None
    assert said not in chinese


def test_a_question_that_is_too_long(upstream: ScriptedOllama, bot: Bot) -> None:
    assert bot.ask("春" * 3000) == failed(ZH.refused_by_model)
    assert bot.ask("春" * 300_000).text == RULES.say(ZH.refused_by_model)
    assert upstream.chats == []


def test_an_ollama_that_does_not_come_back(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.stop()
    assert bot.ask("one") == failed(ZH.model_away)


def test_ollamas_words_stay_out_of_the_chat(
    upstream: ScriptedOllama, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    upstream.script(error_line("CUDA error at 10.0.0.1"))
    assert bot.ask("one") == failed(ZH.model_away)
    assert "CUDA error" in caplog.text


def test_an_answer_that_failed_in_the_middle_says_that_it_can_go_on(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.script(text("春"), error_line("CUDA error"))
    assert bot.ask("one") == failed(ZH.truncated, "春")
    upstream.script(text("光"), done())
    assert bot.ask("继续") == Snapshot("光", is_over=True)


def test_a_model_that_is_missing(upstream: ScriptedOllama, bot: Bot) -> None:
    upstream.models.clear()
    assert bot.ask("one") == failed(ZH.model_missing)


def test_without_a_further_thread_the_bot_is_busy(
    upstream: ScriptedOllama, bot: Bot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse_thread)
        bot.say("one")
    assert bot.conversations.count == 0
    assert bot.messenger.finals == []
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert bot.ask("two").text == "Hello."
    assert len(upstream.chats) == 1
