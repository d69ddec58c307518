"""Who may write, whose conversation it is, and what a message asks for."""

from __future__ import annotations

import pytest

from clawgate.bots.message import Message
from clawgate.bots.talk import Ask, Command, Identity, Order, Rules, is_allowed, key_of, order_of, rules_of
from clawgate.bots.words import EN, ZH
from clawgate.config.bots import BotsConfig

RULES = rules_of(BotsConfig(), "dingtalk")


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("停止", Command.STOP),
        (" 停止！ ", Command.STOP),
        ("停。。。", Command.STOP),
        ("停…", Command.STOP),
        ("STOP!", Command.STOP),
        ("ｓｔｏｐ～", Command.STOP),
        ("stop\u200b", Command.STOP),
        ("取消\u2005", Command.STOP),
        ("\ufeff停\ufe0f", Command.STOP),
        ("继续", Command.CONTINUE),
        ("Continue.", Command.CONTINUE),
        ("/new", Command.NEW),
        ("新对话！", Command.NEW),
        ("/help", Command.HELP),
        ("", Command.HELP),
        (" \n", Command.HELP),
        ("停止一下", Ask("停止一下")),
        ("不要停", Ask("不要停")),
        ("停？", Ask("停？")),
        ("please stop", Ask("please stop")),
        ("。。。", Ask("。。。")),
        ("  你好 \n", Ask("你好")),
        ("停" + "。" * 600, Ask("停" + "。" * 600)),
        ("new", Ask("new")),
        ("a\ud83d", Ask("a?")),
        ("ＳＴＯＰ", Command.STOP),
        ("停 止", Command.STOP),
        ("停止，", Command.STOP),
        ("停⋯⋯", Command.STOP),
        ("「停止」", Command.STOP),
        ("“继续”。", Command.CONTINUE),
        ("'Stop'", Command.STOP),
        ("**停止**", Command.STOP),
        ("停止👍🏽", Command.STOP),
        ("✋停止", Command.STOP),
        ("，停止", Command.STOP),
        ("停止\u2764\ufe0e", Command.STOP),
        ("停🙏🙏！", Command.STOP),
        ("请停止", Command.STOP),
        ("請停", Command.STOP),
        ("请继续。", Command.CONTINUE),
        ("、new", Command.NEW),
        ("／ｈｅｌｐ", Command.HELP),
        ("👍", Ask("👍")),
        ("请", Ask("请")),
        ("停止吗？", Ask("停止吗？")),
        ("停止⁉", Ask("停止⁉")),
        ("“停止”的英文", Ask("“停止”的英文")),
        ("「停止」和「取消」", Ask("「停止」和「取消」")),
        ("请停止供暖", Ask("请停止供暖")),
        ("停止[订单]", Ask("停止[订单]")),
        ("s top", Ask("s top")),
        ("、", Ask("、")),
    ],
)
def test_a_message_asks_for(text: str, order: Order) -> None:
    assert order_of(text, RULES) == order


def test_words_are_the_operators_own() -> None:
    rules = RULES._replace(stop_words=("Halt!",), continue_words=(), new_words=("从头来",))
    assert order_of("HALT", rules) is Command.STOP
    assert order_of("继续", rules) == Ask("继续")
    assert rules.say(EN.welcome) == EN.welcome.format(stop="Halt!", go_on="—", new="从头来")


def test_every_sentence_can_be_filled_in() -> None:
    for words in (ZH, EN):
        for sentence in words:
            said = RULES.say(sentence, code="busy", user="{user}")
            assert said
            assert "{" not in said.replace("{user}", "")


@pytest.mark.parametrize(
    ("user", "chat", "is_group", "users", "chats", "allowed"),
    [
        ("u", "c", True, (), (), True),
        ("u", "c", True, ("u",), (), True),
        ("u", "c", False, ("u",), ("d",), True),
        ("u", "c", True, ("v",), (), False),
        ("u", "c", True, (), ("c",), True),
        ("u", "c", True, ("v",), ("c",), True),
        ("u", "c", False, (), ("c",), False),
        ("u", "c", True, ("c",), ("u",), False),
        ("", "c", True, ("u",), (), False),
    ],
)
def test_who_is_allowed(
    user: str, chat: str, is_group: bool, users: tuple[str, ...], chats: tuple[str, ...], allowed: bool
) -> None:
    assert is_allowed(Message("id", user, chat, is_group, "hi"), users, chats) is allowed


def test_sessions_are_a_bots_own_and_cannot_be_guessed() -> None:
    message = Message("id", "u", "c", True, "hi")
    keys = [key_of(message, "user_in_chat"), key_of(message, "chat"), ("c", "v"), ("cu",), ("c,u",)]
    bots = [Identity(*names) for names in (("dingtalk", "b", "s"), ("wecom", "b", "s"), ("dingtalk", "b", "t"))]
    bots.append(Identity("dingtalk", "b2", "s"))
    ids = [bot.session_id_of(key) for bot in bots for key in keys]
    assert len(set(ids)) == len(ids)
    assert Identity("dingtalk", "b", "s").session_id_of(("c", "u")) == ids[0]
    assert all(len(each) == 4 + 64 and each.startswith("bot_") and each[4:].isalnum() for each in ids)
    assert "secret" not in repr(Identity("dingtalk", "b", "secret"))


def test_rules_are_those_of_the_messenger() -> None:
    config = BotsConfig(
        dingtalk_allowed_users=("a",), wecom_allowed_chats=("b",), language="en", thinking="shown", session_by="chat"
    )
    words = (config.stop_words, config.continue_words, config.new_words)
    assert rules_of(config, "dingtalk") == Rules(EN, *words, frozenset("a"), frozenset(), "chat", True)
    assert rules_of(config, "wecom") == Rules(EN, *words, frozenset(), frozenset("b"), "chat", True)
