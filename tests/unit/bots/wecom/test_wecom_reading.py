"""What people write: the kinds of messages, mentions, quotes, and anything else that a frame may have in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawgate.bots.message import Message
from clawgate.bots.quoting import MAX_QUOTE
from clawgate.bots.wecom.frames import Place
from clawgate.bots.wecom.reading import MAX_MENTIONS, message_in, without_mention

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "content", "from"]), inner),
    max_leaves=8,
)
MIXED = {"msg_item": [{"msgtype": "text", "text": {"content": "看图"}}, {"msgtype": "image", "image": {"url": "u"}}]}


def read(body: dict[str, Any], *, group: str = "") -> Message:
    """Read a callback of zhang's."""
    place = {"chattype": "group", "chatid": group} if group else {"chattype": "single"}
    message = message_in(
        "req", {"msgid": "m1", "from": {"userid": "zhang"}, **place, **body}, {"停止", ""}.__contains__
    )
    assert message is not None
    return message


def text(content: str) -> dict[str, Any]:
    """The body of a text."""
    return {"msgtype": "text", "text": {"content": content}}


def test_a_talk_of_two_has_the_user_as_its_chat() -> None:
    assert read(text(" 你好 ")) == Message("m1", "zhang", "zhang", False, "你好", Place("req", "zhang", False))


def test_a_group_has_its_own_id() -> None:
    message = read(text("@bot 你好"), group="wr1")
    assert message == Message("m1", "zhang", "wr1", True, "你好", Place("req", "wr1", True))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"msgtype": "voice", "voice": {"content": "听写"}}, "听写"),
        ({"msgtype": "voice", "voice": {}}, None),
        ({"msgtype": "mixed", "mixed": MIXED}, "看图"),
        ({"msgtype": "mixed", "mixed": {"msg_item": [{"msgtype": "image"}]}}, None),
        ({"msgtype": "image", "image": {"url": "u"}}, None),
        ({"msgtype": "file", "file": {}}, None),
        ({"msgtype": "video", "video": {}}, None),
        ({"msgtype": "something_new"}, None),
        (text(""), ""),
        ({"msgtype": "text"}, ""),
    ],
)
def test_the_text_of_each_kind(body: dict[str, Any], expected: str | None) -> None:
    assert read(body).text == expected


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("@bot 停止", "停止"),
        ("@bot\u2005停止", "停止"),
        ("@bot\u3000停止", "停止"),
        ("@bot\u00a0停止", "停止"),
        ("＠bot  停止", "停止"),
        (" @bot\n停止", "停止"),
        ("@Claude Code\u2005停止", "停止"),
        ("@bot", ""),
        ("@bot 问一下 @张三", "问一下 @张三"),
        ("@bot 第一  第二", "第一  第二"),
        ("停止 @bot", "停止"),
        ("停止@bot ", "停止"),
        ("写信给 a@b.com 和 c@d.com", "写信给 a@b.com 和 c@d.com"),
        ("没有提及", "没有提及"),
        ("1 @ 2", "1 @ 2"),
    ],
)
def test_the_mention_is_taken_off(given_text: str, expected: str) -> None:
    assert without_mention(given_text).strip() == expected


def test_a_command_behind_several_mentions_is_one() -> None:
    assert read(text("@张三 @bot 停止"), group="wr1").text == "停止"
    assert read(text("@bot @张三 是谁"), group="wr1").text == "@张三 是谁"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("@bot @ 8:00", "@ 8:00"),
        ("@bot ＠ 八点", "＠ 八点"),
        ("@bot @", "@"),
        ("@", "@"),
        pytest.param("@a " * 10_000, ("@a " * 9_999).strip(), id="many"),
    ],
)
def test_an_at_that_is_no_mention_stays_and_ends(content: str, expected: str) -> None:
    calls = 0

    def counted(value: str) -> str:
        nonlocal calls
        calls += 1
        assert calls <= 2 * MAX_MENTIONS, "mentions are looked for without an end"
        return without_mention(value)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("clawgate.bots.wecom.reading.without_mention", counted)
        message = message_in("req", {"chattype": "group", "from": {"userid": "u"}, **text(content)}, lambda _: False)
    assert message is not None
    assert message.text == expected


def test_a_talk_of_two_keeps_what_looks_like_a_mention() -> None:
    assert read(text("@dataclass 是什么")).text == "@dataclass 是什么"


def test_a_quote_stands_before_the_question() -> None:
    body = {**text("@bot 什么意思"), "quote": text("第一行\n\n第二行")}
    assert read(body, group="wr1").text == "> 第一行\n>\n> 第二行\n\n什么意思"


def test_a_quote_alone_is_the_question() -> None:
    """A mere mention asks for help elsewhere."""
    assert read({**text("@bot"), "quote": text("原文")}, group="wr1").text == "> 原文"
    assert read(text("@bot @张三"), group="wr1").text == "@张三"


def test_a_long_quote_is_cut() -> None:
    message = read({**text("总结"), "quote": text("字" * 100_000)})
    assert message.text == f"> {'字' * MAX_QUOTE}…\n\n总结"


def test_a_command_stays_one_where_something_is_quoted() -> None:
    assert read({**text("停止"), "quote": text("回答")}).text == "停止"


def test_a_quoted_picture_is_no_quote() -> None:
    assert read({**text("这是什么"), "quote": {"msgtype": "image", "image": {}}}).text == "这是什么"


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert read(text("a\ud800b")).text == "a?b"


def test_a_message_without_an_id_has_the_callbacks() -> None:
    message = message_in("req", {"from": {"userid": "u"}, **text("x")}, lambda _: False)
    assert message is not None
    assert message.id == "req"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"from": "zhang"}, {"from": {"userid": 7}}, {"msgid": "m"}])
def test_a_callback_of_nobody_is_none(body: object) -> None:
    assert message_in("req", body, lambda _: False) is None


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["msgtype", "text", "mixed", "voice", "quote", "chattype", "chatid"]), JSON))
def test_nothing_in_a_callback_is_an_error(body: dict[str, Any]) -> None:
    for kind in ("text", "voice", "mixed", "markdown"):
        message_in("req", {"from": {"userid": "u"}, **body, "msgtype": kind}, lambda _: False)
        message_in("req", {"from": {"userid": "u"}, **body, "quote": {**body, "msgtype": kind}}, lambda _: False)
