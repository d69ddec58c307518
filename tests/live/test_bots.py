"""`clawgate bot` as people run it: the program, a real gateway behind it, and a scripted messenger with its rules."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bots import BotProcess
from tests.support.command import assert_is_one_line, clawgate
from tests.support.dingtalk import CLIENT_ID, DingTalk
from tests.support.gateway import Gateway, write_config
from tests.support.ollama import ScriptedOllama, done, hang, text, texts
from tests.support.tools import DEADLINE_S, wait_for
from tests.support.wecom import ScriptedWecom

TOKEN = "token-of-the-gateway"
SECRET, WECOM_SECRET = (f"{messenger}-secret-{uuid.uuid4().hex}" for messenger in ("dingtalk", "wecom"))
"""A bot's lock is the machine's, and other tests may run beside these."""
STOPPED, RESTARTING = "（已停止）", "（机器人正在停止或重启"
Start = Callable[..., Gateway]


@pytest.fixture
def wecom() -> Iterator[ScriptedWecom]:
    """A WeCom whose bot is `bot`."""
    with ScriptedWecom(secret=WECOM_SECRET) as peer:
        yield peer


@pytest.fixture
def dingtalk() -> Iterator[DingTalk]:
    """A DingTalk."""
    with DingTalk(secret=SECRET) as peer:
        yield peer


@pytest.fixture
def gate(gateway: Start) -> Gateway:
    """A gateway that wants a token."""
    return gateway(server={"auth_token": TOKEN}, stream={"smoothing_ms": 0, "stall_seconds": 30})


def of_wecom(peer: ScriptedWecom, **more: Any) -> dict[str, Any]:
    """The section of the configuration for a scripted WeCom."""
    return {"wecom_bot_id": "bot", "wecom_endpoint": peer.url, "wecom_update_seconds": 0.5, **more}


@contextmanager
def wecom_bot(peer: ScriptedWecom, gate: Gateway, folder: Path, **more: Any) -> Iterator[BotProcess]:
    """Run a bot; its secret comes from the environment."""
    env = {"CLAWGATE_BOTS_WECOM_SECRET": WECOM_SECRET}
    with BotProcess("wecom", gate, of_wecom(peer, **more), folder, env=env) as bot:
        bot.wait_connected()
        yield bot


@contextmanager
def dingtalk_bot(peer: DingTalk, gate: Gateway, folder: Path, **more: Any) -> Iterator[BotProcess]:
    """Run a bot."""
    bots = {"dingtalk_client_id": CLIENT_ID, "dingtalk_endpoint": peer.url, **more}
    with BotProcess("dingtalk", gate, bots, folder, env={"CLAWGATE_BOTS_DINGTALK_CLIENT_SECRET": SECRET}) as bot:
        bot.wait_connected()
        yield bot


def test_wecom_streams_stops_and_goes_on(
    wecom: ScriptedWecom, gate: Gateway, ollama: ScriptedOllama, tmp_path: Path
) -> None:
    with wecom_bot(wecom, gate, tmp_path) as bot:
        ollama.script(text("故宫、天坛"), hang())
        wecom.say("北京有什么好玩的")
        request = ollama.next_request()
        wecom.wait(lambda: wecom.messages and wecom.messages[0].content == "故宫、天坛", "the text is shown")
        asked_at = time.monotonic()
        wecom.say("停止。")
        assert request.closed.wait(DEADLINE_S)
        assert request.closed_at is not None
        assert request.closed_at - asked_at < 1
        (first,) = wecom.answer()
        assert first.content == f"故宫、天坛\n\n{STOPPED}"
        ollama.script(text("、颐和园"), done())
        wecom.say("继续")
        assert wecom.answer(count=2)[1].content == "、颐和园"
        assert ollama.next_request().messages[-1] == {"role": "assistant", "content": "故宫、天坛"}
        kinds = re.findall(r"message: kind=(\w+) session=[0-9a-f]{10}$", bot.log, re.M)
        assert kinds == ["question", "stop", "continue"]
        assert bot.terminate() == 0
        assert_tells_no_secret(bot, WECOM_SECRET, TOKEN, "故宫", "北京", "zhang")


def test_dingtalk_acknowledges_before_a_slow_ollama_answers(
    dingtalk: DingTalk, gate: Gateway, ollama: ScriptedOllama, tmp_path: Path
) -> None:
    with dingtalk_bot(dingtalk, gate, tmp_path) as bot:
        ollama.script(hang(), text("好"), done())
        message = dingtalk.say("你好")
        ollama.next_request()
        dingtalk.wait(lambda peer: peer.acknowledged, "the message is acknowledged")
        assert dingtalk.deliveries == [message]
        assert dingtalk.messages == []
        dingtalk.say("停")
        assert dingtalk.wait(lambda peer: peer.messages, "the answer")[0].text == STOPPED
        ollama.script(texts("春光", "**正好**"), done())
        dingtalk.say("写一句")
        assert dingtalk.wait(lambda peer: peer.messages[1:], "the answer")[0].text == "春光**正好**"
        assert bot.terminate() == 0
        assert_tells_no_secret(bot, SECRET, TOKEN, "春光", "写一句", "staff1", "sendBySession?")


@pytest.mark.parametrize("messenger", ["wecom", "dingtalk"])
def test_sigterm_sends_the_partial_text(
    messenger: str,
    wecom: ScriptedWecom,
    dingtalk: DingTalk,
    gate: Gateway,
    ollama: ScriptedOllama,
    tmp_path: Path,
) -> None:
    started = wecom_bot(wecom, gate, tmp_path) if messenger == "wecom" else dingtalk_bot(dingtalk, gate, tmp_path)
    with started as bot:
        ollama.script(text("半句"), hang())
        (wecom if messenger == "wecom" else dingtalk).say("问")
        request = ollama.next_request()
        wait_for(lambda: request.text_sent, "the text has been sent")
        wait_for(lambda: gate.streams == 1, "the answer is in flight")
        time.sleep(0.3)  # for the text to come from the gateway to the bot, which shows nothing of it before its end
        assert bot.terminate() == 0
        assert request.closed.wait(DEADLINE_S)
    shown = wecom.messages[-1].content if messenger == "wecom" else dingtalk.messages[-1].text
    assert shown.startswith(f"半句\n\n{RESTARTING}"), shown


def test_a_reload_and_a_restart_never_leave_two_connections(
    wecom: ScriptedWecom, gate: Gateway, ollama: ScriptedOllama, tmp_path: Path
) -> None:
    ollama.default(text("好"), done())
    with wecom_bot(wecom, gate, tmp_path) as bot:
        bot.configure(of_wecom(wecom, wecom_allowed_users=["wang"], wecom_bot_id="other"))
        bot.wait_for_line("configuration read again: bots.wecom_allowed_users")
        bot.wait_for_line("need a restart of the bot: bots.wecom_bot_id")
        wecom.say("问", user="zhang")
        assert "zhang" in wecom.answer("zhang")[0].content
        bot.wait_for_line("refused: user 'zhang'")
        bot.configure({"wecom_bot_id": "bot", "no_such": 1})
        bot.wait_for_line("was not read again: .*no_such: unknown key")
        wecom.say("问", user="wang")
        assert wecom.answer("wang")[0].content == "好"
        assert wecom.subscriptions == 1
        assert bot.terminate() == 0
    wait_for(lambda: not wecom.is_subscribed, "WeCom has seen that it left")
    with wecom_bot(wecom, gate, tmp_path) as bot:
        assert bot.terminate() == 0
    assert (wecom.subscriptions, wecom.most_live) == (2, 1)


def test_a_bot_that_was_taken_over_says_so_and_stops(wecom: ScriptedWecom, gate: Gateway, tmp_path: Path) -> None:
    with wecom_bot(wecom, gate, tmp_path) as bot:
        wecom.event("disconnected_event")
        assert bot.wait() == 3
        assert "clawgate: another program has connected with the same wecom_bot_id" in bot.log
        assert wecom.subscriptions == 1


def test_one_bot_of_an_id_runs_on_a_machine_and_check_leaves_it_alone(
    wecom: ScriptedWecom, gate: Gateway, tmp_path: Path
) -> None:
    env = {"CLAWGATE_BOTS_WECOM_SECRET": WECOM_SECRET}
    with wecom_bot(wecom, gate, tmp_path) as bot:
        second = clawgate("bot", "wecom", "--config", str(bot.config_file), env=env)
        assert (second.status, second.stdout) == (3, "")
        assert second.stderr == "clawgate: another bot with this Bot ID runs on this machine; stop it first\n"
        checked = clawgate("bot", "check", "--config", str(bot.config_file), env=env)
        assert checked.stdout.splitlines()[1:] == [
            "not configured: DingTalk (bots.dingtalk_client_id)",
            "ok: WeCom: the bot runs on this machine; its connection was left alone",
        ]
        assert bot.is_running
        assert wecom.subscriptions == 1


def test_check_says_what_connects_and_what_is_missing(
    wecom: ScriptedWecom, dingtalk: DingTalk, gate: Gateway, tmp_path: Path
) -> None:
    bots = of_wecom(wecom, wecom_secret="wrong", dingtalk_client_id=CLIENT_ID, dingtalk_endpoint=dingtalk.url)
    config = {"server": {"port": gate.port, "auth_token": TOKEN}, "bots": bots}
    file = str(write_config(config, tmp_path / "check"))
    found = clawgate("bot", "check", "--config", file)
    assert found.status == 1
    gateway, without, wrong = found.stdout.splitlines()
    assert gateway == f"ok: gateway {gate.base_url}, model qwen3:32b"
    assert without.startswith("not ready: DingTalk: bots.dingtalk_client_secret: expected ")
    assert wrong.startswith("not ready: WeCom: WeCom refuses the bot: 853000 ")
    env = {"CLAWGATE_BOTS_DINGTALK_CLIENT_SECRET": SECRET, "CLAWGATE_BOTS_WECOM_SECRET": WECOM_SECRET}
    found = clawgate("bot", "check", "--config", file, env=env)
    assert (found.status, found.stdout.splitlines()[1:]) == (
        0,
        [f"ok: DingTalk: connects as {CLIENT_ID}", "ok: WeCom: connects as bot"],
    )


def test_a_wrong_secret_ends_the_bot_in_one_line(wecom: ScriptedWecom, gate: Gateway, tmp_path: Path) -> None:
    with BotProcess("wecom", gate, of_wecom(wecom, wecom_secret="not-the-one"), tmp_path) as bot:
        assert bot.wait() == 2
        assert bot.log.startswith("clawgate: WeCom refuses the bot: 853000 ")
        assert bot.log.count("\n") == 1


@pytest.mark.parametrize("name", ["wecom", "check"])
def test_without_websockets_the_command_says_what_to_install(name: str, tmp_path: Path) -> None:
    (tmp_path / "websockets.py").write_text("raise ModuleNotFoundError(name='websockets')")
    done = clawgate("bot", name, env={"PYTHONPATH": str(tmp_path)})
    assert assert_is_one_line(done, 2) == "clawgate: the bots need websockets: pip install 'clawgate[bots]'"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "bots.wecom_bot_id: expected that of the bot in WeCom's console, got none"),
        ({"wecom_bot_id": "bot"}, "bots.wecom_secret: expected that of the bot in WeCom's console, got none"),
    ],
)
def test_a_bot_without_its_id_or_secret_says_which(settings: dict[str, str], said: str, tmp_path: Path) -> None:
    file = write_config({"bots": settings}, tmp_path)
    assert assert_is_one_line(clawgate("bot", "wecom", "--config", str(file)), 2) == f"clawgate: {said}"


def test_a_gateway_whose_address_only_its_proxy_knows_is_to_be_named(tmp_path: Path) -> None:
    file = write_config({"server": {"host": "unix:/run/clawgate.sock"}}, tmp_path)
    said = assert_is_one_line(clawgate("bot", "check", "--config", str(file)), 2)
    assert "expected bots.gateway_url with the address of the proxy before it" in said


def assert_tells_no_secret(bot: BotProcess, *secrets: str) -> None:
    """Assert that a log has no secret, no word of a person or the model, and no person's id."""
    found = [secret for secret in secrets if secret in bot.log]
    assert not found, bot.log
