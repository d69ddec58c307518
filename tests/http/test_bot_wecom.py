"""A WeCom bot between a scripted WeCom and a real gateway: from a person's message to what they see."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from clawgate.bots.connection import Connection
from clawgate.bots.conversations import Conversations
from clawgate.bots.talk import Ask, Identity, order_of
from clawgate.bots.wecom.outbox import Outbox
from clawgate.bots.wecom.pacing import Pacing
from clawgate.bots.wecom.reply import WecomMessenger
from clawgate.bots.wecom.wire import WecomWire
from clawgate.bots.words import ZH
from clawgate.client import Gateway as Client
from tests.http.asking import assert_closed, configured
from tests.support.bot import RULES
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, done, hang, text, thinking, wait
from tests.support.tools import DEADLINE_S, wait_for
from tests.support.wecom import ScriptedWecom
from tests.unit.bots.wecom.bot import QUICK

pytestmark = configured(stream={"smoothing_ms": 0, "stall_seconds": 30})


@pytest.fixture
def wecom(gate: Gateway, upstream: ScriptedOllama) -> Iterator[ScriptedWecom]:
    """A scripted WeCom with a bot that asks the gateway; each test has sessions of its own."""
    del upstream
    outbox = Outbox()
    with ScriptedWecom(bot_id=f"bot{threading.get_ident()}") as scripted:
        messenger = WecomMessenger(outbox, Pacing(0.0), lambda: ZH)
        identity = Identity("wecom", scripted.url, "s3cr3t")
        conversations = Conversations(messenger, Client(gate.base_url), RULES, identity)
        wire = WecomWire(
            scripted.url,
            f"bot{threading.get_ident()}",
            "s3cr3t",
            outbox,
            conversations.take,
            conversations.greeting_of,
            is_command=lambda words: not isinstance(order_of(words, RULES), Ask),
        )
        connection = Connection(wire, QUICK)
        thread = threading.Thread(target=connection.keep)
        thread.start()
        scripted.wait_subscribed()
        yield scripted
        assert conversations.drain(DEADLINE_S) is not False
        connection.stop()
        thread.join(DEADLINE_S)


def test_an_answer_streams_from_ollama_to_the_chat(wecom: ScriptedWecom, upstream: ScriptedOllama) -> None:
    begins, goes_on = threading.Event(), threading.Event()
    upstream.script(thinking("想"), wait(begins), text("春眠"), wait(goes_on), text("不觉晓"), done())
    wecom.say("背诗")
    wecom.wait(lambda: wecom.messages, "the sign of life is seen")
    begins.set()
    wecom.wait(lambda: wecom.messages and "春眠" in wecom.messages[0].contents, "the first words are seen")
    goes_on.set()
    (message,) = wecom.answer()
    assert message.contents[0] == "<think></think>", "there is a sign of life before the first word"
    assert message.content == "春眠不觉晓"


def test_a_stop_in_a_group_ends_ones_own_answer_alone(wecom: ScriptedWecom, upstream: ScriptedOllama) -> None:
    upstream.script(text("春"), hang())
    upstream.default(text("光"), done())
    wecom.say("@bot 一", "zhang", "wr1")
    wecom.wait(lambda: wecom.messages and "春" in wecom.messages[0].contents, "the first word is seen")
    wecom.say("@bot 二", "li", "wr1")
    assert wecom.answer("wr1")[0].content == "光"
    wecom.say("@bot\u2005停止！", "zhang", "wr1", quote={"msgtype": "text", "text": {"content": "春"}})
    assert [each.content for each in wecom.answer("wr1", 2)] == [f"春\n\n{ZH.stopped}", "光"]
    assert_closed(upstream.chats[0])


def test_an_answer_outlives_its_connection(wecom: ScriptedWecom, upstream: ScriptedOllama) -> None:
    goes_on = threading.Event()
    upstream.script(text("春眠\n"), wait(goes_on), text("不觉晓"), done())
    wecom.say("背诗")
    wecom.wait(
        lambda: wecom.messages and "春眠\n" in wecom.messages[0].contents and wecom.is_settled,
        "the first words are seen, and the bot knows it",
    )
    wecom.drop()
    wecom.wait_subscribed(2)
    goes_on.set()
    wait_for(lambda: len(wecom.messages) == 2, "the rest is seen")
    assert wecom.messages[1].content == f"{ZH.continued}\n\n不觉晓"
    assert wecom.most_live == 1
