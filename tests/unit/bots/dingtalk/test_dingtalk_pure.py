"""DingTalk's pure parts: pacing, messages, titles, and the bounds of a text."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis.strategies import sampled_from, text

from clawgate.bots.dingtalk.api import Api, encode
from clawgate.bots.dingtalk.markup import growing_of, rendered, title_of, units, whole_of
from clawgate.bots.dingtalk.messages import Place, message_of
from clawgate.bots.dingtalk.pacing import SHANGHAI, Cooldown, Rate, Updates
from clawgate.bots.message import Snapshot

BASE: dict[str, Any] = {
    "conversationId": "cid1",
    "conversationType": "2",
    "msgId": "msg1",
    "senderId": "$:LWCP_v1:$x",
    "senderStaffId": "staff1",
    "sessionWebhook": "https://oapi.dingtalk.com/robot/sendBySession?session=s",
    "createAt": 1_000_000,
    "sessionWebhookExpiredTime": 6_400_000,
    "msgtype": "text",
    "text": {"content": " 你好 "},
}


@pytest.mark.parametrize(
    ("endpoint", "url", "expected"),
    [
        ("https://api.dingtalk.com", "https://oapi.dingtalk.com/x", True),
        ("https://api.dingtalk.com", "http://oapi.dingtalk.com/x", False),
        ("https://api.dingtalk.com", "http://127.0.0.1/x", False),
        ("http://127.0.0.1:1", "http://127.0.0.1:2/x", True),
        ("http://127.0.0.1:1", "http://example.org/x", False),
        ("http://127.0.0.1:1", "https://example.org/x", True),
        ("http://127.0.0.1:1", "file:///etc/passwd", False),
        ("http://127.0.0.1:1", "https://", False),
    ],
)
def test_an_address_is_encrypted_or_as_local_as_the_api(endpoint: str, url: str, expected: bool) -> None:
    api = Api(endpoint, "id", "secret")
    assert api.may_use(url, "https") is expected
    assert api.may_use(url.replace("http", "ws", 1), "wss") is expected


def test_calls_take_places_in_each_second() -> None:
    rate = Rate(most=2, window_s=1.0)
    assert [rate.wait_s(10.0) for _ in range(5)] == [0, 0, 1, 1, 2]
    assert rate.wait_s(20.0) == 0


def test_updates_grow_apart_and_leave_one_for_the_end() -> None:
    updates = Updates(most=6)
    updates.begin(0.0)
    now, gaps = 0.0, []
    while (due_s := updates.due_s(now)) is not None:
        now += due_s
        gaps.append(due_s)
        updates.count(now)
    assert gaps == [1, 2, 4, 4, 4]


@pytest.mark.parametrize("most", [1, 2])
def test_few_updates_are_kept(most: int) -> None:
    updates = Updates(most)
    updates.begin(0.0)
    for _ in range(most - 1):
        assert updates.due_s(99.0) == 0
        updates.count(99.0)
    assert updates.due_s(999.0) is None


def test_cards_rest_for_half_an_hour_after_a_refusal() -> None:
    now = [1_000.0]
    cooldown = Cooldown(lambda: now[0])
    assert cooldown.is_over
    assert cooldown.begin(is_used_up=False) == 1800
    now[0] += 1799
    assert not cooldown.is_over
    now[0] += 1
    assert cooldown.is_over


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-11-26T23:00", "2026-12-01"),
        ("2026-12-31T23:59", "2027-01-01"),
        ("2026-01-31T00:00", "2026-02-01"),
        ("2026-02-01T00:00", "2026-03-01"),
    ],
)
def test_cards_rest_to_the_end_of_shanghais_month_where_calls_are_used_up(at: str, end: str) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=SHANGHAI).timestamp()
    ends_at = datetime.fromisoformat(end).replace(tzinfo=SHANGHAI).timestamp()
    cooldown = Cooldown(lambda: now)
    assert now + cooldown.begin(is_used_up=True) == ends_at
    assert cooldown.begin(is_used_up=False) == max(ends_at - now, 1800), "a shorter rest ends no longer one"


def test_a_message_is_read() -> None:
    message = message_of(json.dumps(BASE), "frame1", lambda: 100.0)
    assert message is not None
    assert message[:5] == ("msg1", "staff1", "cid1", True, "你好")
    assert message.handle == Place("cid1", True, "staff1", str(BASE["sessionWebhook"]), 5_500.0)
    assert "session=" not in repr(message), "whoever has the webhook can write into the chat"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"text": {"content": "@小助手\u2005你好"}}, "你好"),
        ({"text": {"content": "@a\u2005 @b\u2005你好"}}, "你好"),
        ({"text": {"content": "@所有人 你好"}}, "@所有人 你好"),
        ({"text": {"content": ""}}, ""),
        ({"text": None}, ""),
        ({"text": {"content": "\ud83d!"}}, "?!"),
        (
            {"msgtype": "richText", "content": {"richText": [{"text": "看"}, {"downloadCode": "x"}, {"text": "图"}]}},
            "看图",
        ),
        ({"msgtype": "richText", "content": {"richText": [{"text": "@小助手"}, {"text": "停止"}]}}, "停止"),
        (
            {"msgtype": "richText", "content": {"richText": [{"text": "@小助手 "}, {"text": "@张三 是谁"}]}},
            "@张三 是谁",
        ),
        (
            {"msgtype": "richText", "content": {"richText": [{"text": "@小助手 你好\n"}, {"text": "再见"}]}},
            "你好\n再见",
        ),
        ({"msgtype": "richText", "content": {"richText": [{"text": "@小助手"}, {"downloadCode": "x"}]}}, None),
        ({"msgtype": "richText", "content": {"richText": [{"type": "picture"}]}}, None),
        ({"msgtype": "richText", "content": {"richText": 7}}, None),
        ({"msgtype": "audio", "content": {"recognition": "钉钉", "duration": 4000}}, "钉钉"),
        ({"msgtype": "picture", "content": {"downloadCode": "x"}}, None),
        ({"msgtype": ["text"]}, None),
    ],
)
def test_the_words_of_a_message_are_found(fields: dict[str, Any], expected: str | None) -> None:
    message = message_of(BASE | fields, "frame1")
    assert message is not None
    assert message.text == expected


def test_a_talk_of_two_keeps_what_looks_like_a_mention() -> None:
    rich = {"conversationType": "1", "msgtype": "richText", "content": {"richText": [{"text": "@dataclass 是什么"}]}}
    message = message_of(BASE | rich, "frame1")
    assert message is not None
    assert message.text == "@dataclass 是什么"


CARD = {"elementType": "BOX", "children": [{"elementType": "TEXT", "value": "一"}, {"elementType": "TEXT", "value": 7}]}


@pytest.mark.parametrize(
    ("quoted", "expected"),
    [
        ({"msgType": "text", "content": {"content": "第一行\n第二行"}}, "> 第一行\n> 第二行\n\n你好"),
        ({"msgType": "text", "content": {"text": "原文"}}, "> 原文\n\n你好"),
        ({"msgType": "markdown", "content": '{"text": "原文"}'}, "> 原文\n\n你好"),
        ({"msgType": "text", "content": "原文"}, "> 原文\n\n你好"),
        ({"msgType": "audio", "content": {"recognition": "听写"}}, "> 听写\n\n你好"),
        ({"content": {"richText": [{"msgType": "text", "content": "看"}, {"text": "图"}]}}, "> 看图\n\n你好"),
        ({"msgType": "interactiveCard", "content": {"cardContent": [CARD]}}, "你好"),
        ({"msgType": "interactiveCard", "content": {"cardContent": {"children": [CARD, CARD]}}}, "> 一\n> 一\n\n你好"),
        ({"msgType": "picture", "content": {"downloadCode": "x"}}, "你好"),
        ({"msgType": "text", "content": {"text": "字" * 100_000}}, f"> {'字' * 2000}…\n\n你好"),
        ({"content": [7]}, "你好"),
        (7, "你好"),
    ],
)
def test_a_quote_stands_before_the_question(quoted: object, expected: str) -> None:
    message = message_of(BASE | {"text": {"content": "你好", "isReplyMsg": True, "repliedMsg": quoted}}, "frame1")
    assert message is not None
    assert message.text == expected


def test_a_command_stays_one_where_something_is_quoted() -> None:
    given = BASE | {"text": {"content": "停止", "repliedMsg": {"content": {"text": "回答"}}}}
    message = message_of(given, "frame1", is_command=lambda text: text == "停止")
    assert message is not None
    assert message.text == "停止"


@pytest.mark.parametrize(
    ("text", "expected"), [("@小助手 停止", "停止"), ("@张三 是谁", "@张三 是谁"), ("停止", "停止")]
)
def test_a_command_behind_any_mention_is_one(text: str, expected: str) -> None:
    message = message_of(BASE | {"text": {"content": text}}, "frame1", is_command=lambda text: text == "停止")
    assert message is not None
    assert message.text == expected


def test_a_card_that_is_quoted_costs_little() -> None:
    deep: dict[str, Any] = {"elementType": "TEXT", "value": "底"}
    for _ in range(10_000):
        deep = {"elementType": "BOX", "children": [deep]}
    wide = {"children": [{"elementType": "TEXT", "value": "字" * 100}] * 100_000}
    for card, end in ((deep, "> 底\n\n你好"), (wide, "…\n\n你好")):
        message = message_of(
            BASE | {"text": {"content": "你好", "repliedMsg": {"content": {"cardContent": card}}}}, "1"
        )
        assert message is not None
        assert str(message.text).endswith(end)


def test_an_outsider_is_known_by_another_id_and_cannot_be_mentioned() -> None:
    message = message_of({name: value for name, value in BASE.items() if name != "senderStaffId"}, "frame1")
    assert message is not None
    assert message.user == "$:LWCP_v1:$x"
    assert isinstance(message.handle, Place)
    assert message.handle.staff_id == ""


@pytest.mark.parametrize("data", ["", "{", "[]", "7", None, {"conversationId": "c"}, {"senderId": "s"}, "[" * 100_000])
def test_what_is_no_message_is_none(data: object) -> None:
    assert message_of(data, "frame1") is None


@pytest.mark.parametrize("ends", [None, "soon", -1, 1e300, "9" * 400, True, float("nan")])
def test_a_time_that_is_none_makes_a_webhook_that_is_over(ends: object) -> None:
    message = message_of(BASE | {"sessionWebhookExpiredTime": ends}, "frame1", lambda: 100.0)
    assert message is not None
    assert isinstance(message.handle, Place)
    assert message.handle.good_until == 100.0


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        ("# 北京 **故宫**\n正文", "北京 故宫"),
        ("\n\n- 一\n- 二", "一"),
        ("1. 甲", "甲"),
        ("2024年的事", "2024年的事"),
        ("```\nx = 1\n```", "x = 1"),
        ("一" * 40, "一" * 20),
        ("***", "…"),
        ("", "…"),
        ("```py\nx = 1\n```", "x = 1"),
    ],
)
def test_a_title_is_the_first_words(whole: str, expected: str) -> None:
    assert title_of(Snapshot(whole, "想")) == expected
    assert title_of(Snapshot("", "想", "（已停止）")) == "（已停止）"


@settings(max_examples=100, deadline=None)
@given(text())
@example("🙂\n🙂")
@example('\\"\x01')
def test_the_bound_of_a_text_is_one_in_every_body(given_text: str) -> None:
    made = rendered(given_text)
    inner = json.dumps({"text": made}, ensure_ascii=False, separators=(",", ":"))
    empty = len(encode({"msgParam": json.dumps({"text": ""}, separators=(",", ":"))}))
    assert len(encode({"msgParam": inner})) - empty <= units(given_text)
    assert len(encode({"text": made})) - len(encode({"text": ""})) <= units(given_text)
    assert len(rendered(given_text, is_card=True).encode(errors="replace")) <= units(given_text)


@pytest.mark.parametrize(
    ("markdown", "message", "card"),
    [
        ("一\n二", "一  \n二", "一<br>二"),
        ("一\n\n二", "一\n\n二", "一\n\n二"),
        ("**一**\n**二**", "**一**  \n**二**", "**一**<br>**二**"),
        ("一：\n- 甲\n- 乙", "一：  \n- 甲  \n- 乙", "一：  \n- 甲  \n- 乙"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", None, None),
        ("```py\na\nb < c\n```\n后", None, None),
        ("~~~\n```\n<b>\n~~~\n<b>", "~~~\n```\n<b>\n~~~\n&lt;b>", "~~~\n```\n<b>\n~~~\n&lt;b>"),
        ("a < b, `<b>` <b> <!-- x", "a < b, `<b>` &lt;b> &lt;!-- x", "a < b, `<b>` &lt;b> &lt;!-- x"),
        ("a  \nb", "a  \nb", "a  <br>b"),
        ("| a<br>b | <br /> | <brute> |", "| a<br>b | <br /> | &lt;brute> |", "| a<br>b | <br /> | &lt;brute> |"),
        ("a\n    b", "a  \n    b", "a  \n    b"),
        ("z``` x ` <b> ``", "z``` x ` &lt;b> ``", "z``` x ` &lt;b> ``"),
    ],
)
def test_lines_and_tags_are_written_for_dingtalk(markdown: str, message: str | None, card: str | None) -> None:
    assert rendered(markdown) == (message or markdown)
    assert rendered(markdown, is_card=True) == (card or markdown)


@pytest.mark.parametrize("line", ["x" + "`" * 4_000, "x" + "".join("`" * length + "a" for length in range(90, 0, -1))])
def test_rows_of_marks_take_no_time(line: str) -> None:
    began_at = time.thread_time()
    assert rendered(line) == line
    assert time.thread_time() - began_at < 1


def test_what_is_seen_is_thinking_text_and_remark() -> None:
    seen = whole_of(Snapshot("\n正文\n", "想\n\n想", "（已停止）", is_over=True))
    assert seen == "> 想\n>\n> 想\n\n正文\n\n（已停止）"
    assert whole_of(Snapshot(text="  \n")) == ""
    cut = Snapshot("一\n\n```py\nx = 1", remark="（已停止）", is_over=True)
    assert whole_of(cut) == "一\n\n```py\nx = 1\n```\n\n（已停止）"
    assert growing_of(Snapshot("正文", "", "（正在等待模型……）")) == "正文"
    assert len(whole_of(Snapshot(thinking="想" * 5000))) < 700


PIECES = [
    "文",
    "a",
    " ",
    "\n",
    "\n\n",
    "`",
    "```\n",
    "<b>",
    "<",
    "- ",
    "1. ",
    "2",
    "**",
    "|",
    "# ",
    "> ",
    "~~~\n",
    "\n| a |\n",
]


@settings(max_examples=200, deadline=None)
@given(text(sampled_from("文a \n`<-1*|#>~."), max_size=60), sampled_from(PIECES))
def test_a_growing_card_only_grows(given_text: str, more: str) -> None:
    before = rendered(growing_of(Snapshot(given_text)), is_card=True)
    after = rendered(growing_of(Snapshot(given_text + more)), is_card=True)
    whole = rendered(whole_of(Snapshot(given_text + more)), is_card=True)
    assert after.startswith(before)
    assert whole.startswith(before)
