"""One answer in WeCom, on a real connection: in streams, across borders, deaths and refusals, and never twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from clawgate.bots.message import Snapshot, Undelivered
from clawgate.bots.splitting import split
from clawgate.bots.wecom import wire as wire_module
from clawgate.bots.wecom.layout import PART_BYTES, SIGN_OF_LIFE
from clawgate.bots.wecom.pacing import Pacing
from clawgate.bots.wecom.reply import HOLD_S, PATIENCE_S, STREAM_S, UNSEEN, WecomMessenger, WecomReply
from clawgate.bots.words import ZH
from tests.support.tools import DEADLINE_S
from tests.support.wecom import ScriptedWecom
from tests.support.wecom_rules import (
    CONFLICT,
    CONTENT_BYTES,
    EXPIRED,
    REQUEST_EXPIRED,
    TOO_OFTEN,
    UNKNOWN,
    Rules,
    Shown,
)
from tests.unit.bots.wecom.bot import Bot, over

NO_STREAMS = (600039, "device type not support")
NO_PUSHES = (846699, "the robot may not push here")
FENCES = ("```", "~~~")


@pytest.fixture
def wecom() -> Iterator[ScriptedWecom]:
    """A scripted WeCom without a limit for a minute: the pace has tests of its own."""
    with ScriptedWecom(rules=Rules(per_minute=None)) as scripted:
        yield scripted


@pytest.fixture
def bot(wecom: ScriptedWecom) -> Iterator[Bot]:
    """A bot that is connected to it."""
    with Bot(wecom) as started:
        yield started


def lines_of(messages: list[Shown]) -> list[str]:
    """The lines of what people see at last, without those that begin and end code, and without blank ones."""
    lines = [line for each in messages for line in each.content.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith(FENCES)]


def long_answer() -> str:
    """50 KB of Chinese, with code of 20 KB in it."""
    prose = [f"第{number}段：" + "春眠不觉晓，处处闻啼鸟。" * 30 for number in range(30)]
    code = [f"    打印({number})  # {'注释' * 20}" for number in range(140)]
    return "\n\n".join([*prose[:15], "\n".join(["```python", *code, "```"]), *prose[15:]])


def test_an_answer_streams_into_one_message(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    for text in ("", "春", "春眠", "春眠"):
        reply.show(Snapshot(text))
    reply.finish(over("春眠不觉晓"))
    (message,) = wecom.messages
    assert message.contents == [SIGN_OF_LIFE, "春", "春眠", "春眠不觉晓"]
    assert (message.kind, message.is_over) == ("stream", True)


def test_an_answer_that_was_never_shown_is_one_frame(wecom: ScriptedWecom, bot: Bot) -> None:
    bot.reply().finish(over("好", remark="（已停止）"))
    assert [each.contents for each in wecom.messages] == [["好\n\n（已停止）"]]


@pytest.mark.parametrize(("remark", "expected"), [("", ZH.empty), (ZH.stopped, ZH.stopped)])
def test_an_end_without_text_is_seen(wecom: ScriptedWecom, bot: Bot, remark: str, expected: str) -> None:
    reply = bot.reply()
    reply.show(Snapshot())
    reply.finish(over(" \n", remark=remark))
    assert wecom.messages[0].contents == [SIGN_OF_LIFE, expected]


def test_thinking_is_folded_before_the_text(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot(thinking="想"))
    reply.finish(over("答", thinking="想好了"))
    assert wecom.messages[0].contents == ["<think>想</think>", "<think>想好了</think>\n\n答"]


def test_long_thinking_shows_its_end_while_it_goes_on_and_its_beginning_afterwards(
    wecom: ScriptedWecom, bot: Bot
) -> None:
    thinking = "始" + "想" * 4000 + "末"
    reply = bot.reply()
    reply.show(Snapshot(thinking=thinking))
    reply.show(Snapshot("答", thinking=thinking))
    reply.finish(over("答。", thinking=thinking))
    going_on, *afterwards = wecom.messages[0].contents
    assert going_on.startswith("<think>…想")
    assert going_on.endswith("末</think>")
    assert len(afterwards) == 2
    assert all(each.startswith("<think>始想") and "想…</think>" in each for each in afterwards)


def test_what_a_model_writes_about_thinking_is_no_tag(wecom: ScriptedWecom, bot: Bot) -> None:
    bot.reply().finish(over("用 <think> 和 </THINK>", thinking="</think>"))
    content = wecom.messages[0].content
    assert content.lower().count("<think>") == content.lower().count("</think>") == 1
    assert content.replace("\u200b", "") == "<think></think></think>\n\n用 <think> 和 </THINK>"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_long_answer_goes_on_in_further_streams(wecom: ScriptedWecom, bot: Bot, is_streamed: bool) -> None:
    text, reply = long_answer(), bot.reply()
    assert len(text.encode()) > 50_000
    for end in range(0, len(text), 1500) if is_streamed else ():
        reply.show(Snapshot(text[:end], thinking="想" * 4000))
    reply.finish(over(text, remark=ZH.shortened, thinking="想" * 4000))
    first, *more = wecom.messages
    assert len(more) == 3
    assert all(each.kind == "stream" and each.is_over for each in wecom.messages)
    assert all(len(each.content.encode()) <= CONTENT_BYTES for each in wecom.messages)
    assert all(each.content.count("```") % 2 == 0 for each in wecom.messages), "code is closed and opened again"
    assert first.content.startswith("<think>想")
    assert not any("<think>" in each.content for each in more)
    seen = lines_of(wecom.messages)
    assert [line for line in seen if "<think>" not in line] == lines_of([Shown("", "", [f"{text}\n{ZH.shortened}"])])


def test_the_part_before_never_changes_once_it_is_over(wecom: ScriptedWecom, bot: Bot) -> None:
    """The scripted WeCom counts a frame after the end of a stream as a violation."""
    text, reply = long_answer(), bot.reply()
    for end in range(0, len(text), 997):
        reply.show(Snapshot(text[:end]))
    reply.finish(over(text))
    assert lines_of(wecom.messages) == lines_of([Shown("", "", [text])])


def test_a_connection_that_dies_in_mid_answer_costs_nothing(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("第一行\n第二行\n第"))
    wecom.drop()
    wecom.wait_subscribed(2)
    assert bot.outbox.wait_open(DEADLINE_S)
    reply.show(Snapshot("第一行\n第二行\n第三"))
    assert reply.due_s() is None, "the callback means nothing to the new connection"
    reply.finish(over("第一行\n第二行\n第三行"))
    assert [(each.kind, each.content) for each in wecom.messages] == [
        ("stream", "第一行\n第二行\n第"),
        ("push", f"{ZH.continued}\n\n第三行"),
    ]


def test_a_connection_that_dies_at_the_end_is_waited_for(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    wecom.drop()
    reply.finish(over("答"))
    assert [(each.kind, each.content) for each in wecom.messages] == [("push", "答")]


def test_a_stream_may_outlive_its_connection(wecom: ScriptedWecom, bot: Bot) -> None:
    wecom.rules.has_sticky_ids = True
    reply = bot.reply()
    reply.show(Snapshot("春"))
    wecom.drop()
    reply.finish(over("春眠"))
    assert [each.contents for each in wecom.messages] == [["春", "春眠"]]


def test_everybody_in_a_group_has_a_message_of_their_own(wecom: ScriptedWecom, bot: Bot) -> None:
    replies = [bot.reply(f"@bot {number}", user=f"user{number}", group="wr1") for number in range(4)]

    def answer(number: int, reply: WecomReply) -> None:
        for end in range(5):
            reply.show(Snapshot(f"{number}" * end))
        reply.finish(over(f"{number}" * 9))

    threads = [threading.Thread(target=answer, args=each) for each in enumerate(replies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.content for each in wecom.messages) == [f"{number}" * 9 for number in range(4)]
    assert {each.chat for each in wecom.messages} == {"wr1"}


def test_a_slow_acknowledgement_holds_the_next_frame_back(wecom: ScriptedWecom, bot: Bot) -> None:
    """The scripted WeCom counts a second frame before the acknowledgement as a violation."""
    wecom.rules.ack_s = 0.05
    reply = bot.reply()
    for text in ("一", "一二", "一二三"):
        reply.show(Snapshot(text))
    reply.finish(over("一二三四"))
    assert wecom.messages[0].contents == ["一", "一二", "一二三", "一二三四"]


def test_an_end_without_an_acknowledgement_is_sent_again_in_its_place() -> None:
    rules = Rules(unacknowledged=2, next_s=0.05)
    with ScriptedWecom(rules=rules) as wecom, Bot(wecom, ack_s=0.05) as bot:
        bot.reply().finish(over("答"))
    assert [each.contents for each in wecom.messages] == [["答", "答", "答"]]


def test_an_end_that_shows_nothing_new_is_sent_again_in_its_place_too() -> None:
    with ScriptedWecom(rules=Rules(next_s=0.05)) as wecom, Bot(wecom, ack_s=0.05) as bot:
        reply = bot.reply()
        reply.show(Snapshot("答"))
        wecom.rules.unacknowledged = 1
        reply.finish(over("答"))
    assert [each.contents for each in wecom.messages] == [["答", f"答{UNSEEN}", f"答{UNSEEN}"]]


@pytest.mark.parametrize(("unacknowledged", "copies"), [(1, 2), (20, 2)])
def test_a_message_without_an_acknowledgement_is_sent_twice_at_most(unacknowledged: int, copies: int) -> None:
    with ScriptedWecom(rules=Rules(next_s=0.0)) as wecom, Bot(wecom, ack_s=0.02) as bot:
        reply = bot.reply()
        wecom.rules.refusals.append(UNKNOWN)
        reply.show(Snapshot("一"))
        wecom.rules.unacknowledged = unacknowledged
        with nullcontext() if unacknowledged == 1 else pytest.raises(Undelivered, match="did not acknowledge"):
            reply.finish(over("答"))
    assert [each.kind for each in wecom.messages] == ["push"] * copies


def test_a_message_whose_acknowledgement_is_late_is_sent_once() -> None:
    with ScriptedWecom(rules=Rules(next_s=0.0)) as wecom, Bot(wecom, ack_s=0.4) as bot:
        reply = bot.reply()
        wecom.rules.refusals.append(UNKNOWN)
        reply.show(Snapshot("一"))
        wecom.rules.ack_s = 0.5
        reply.finish(over("答"))
    assert [each.kind for each in wecom.messages] == ["push"]


def test_an_update_without_an_acknowledgement_is_forgotten() -> None:
    rules = Rules(unacknowledged=1, next_s=0.05)
    with ScriptedWecom(rules=rules) as wecom, Bot(wecom, ack_s=0.05) as bot:
        reply = bot.reply()
        reply.show(Snapshot("一"))
        reply.finish(over("一二"))
    assert [each.contents for each in wecom.messages] == [["一", "一二"]]


@pytest.mark.parametrize("refusal", [EXPIRED, UNKNOWN, REQUEST_EXPIRED, NO_STREAMS])
def test_what_a_refused_stream_does_not_show_is_pushed(
    wecom: ScriptedWecom, bot: Bot, refusal: tuple[int, str]
) -> None:
    reply = bot.reply(group="wr1")
    reply.show(Snapshot("第一段。\n\n第二"))
    wecom.rules.refusals.append(refusal)
    reply.show(Snapshot("第一段。\n\n第二段。"))
    assert reply.due_s() is None
    reply.show(Snapshot("第一段。\n\n第二段。\n\n第三"))
    reply.finish(over("第一段。\n\n第二段。\n\n第三段。", remark="（完）"))
    assert [(each.kind, each.content) for each in wecom.messages] == [
        ("stream", "第一段。\n\n第二"),
        ("push", f"{ZH.continued}\n\n第二段。\n\n第三段。\n\n（完）"),
    ]
    assert wecom.frames[-1]["body"]["chat_type"] == 2


@pytest.mark.parametrize("is_streamed", [True, False])
def test_what_a_second_stream_may_not_show_is_pushed(wecom: ScriptedWecom, bot: Bot, is_streamed: bool) -> None:
    wecom.rules.has_one_stream = True
    text, reply = long_answer(), bot.reply()
    for end in range(0, len(text), 997) if is_streamed else ():
        reply.show(Snapshot(text[:end]))
    reply.finish(over(text))
    first, *more = wecom.messages
    assert first.kind == "stream"
    assert first.is_over
    assert {each.kind for each in more} == {"push"}
    assert lines_of(wecom.messages) == lines_of([Shown("", "", [text])])
    streams = [each for each in wecom.frames if each["cmd"] == "aibot_respond_msg"]
    assert len(streams) - len(first.contents) <= 3, "a frame that is refused counts, too"


def test_an_end_says_something_new_behind_an_update_without_an_acknowledgement() -> None:
    with ScriptedWecom(rules=Rules(next_s=0.05, is_dull=True)) as wecom, Bot(wecom, ack_s=0.05) as bot:
        reply = bot.reply()
        reply.show(Snapshot("一"))
        wecom.rules.unacknowledged = 1
        reply.show(Snapshot("一二"))
        reply.finish(over("一二"))
        assert wecom.messages[0].is_over


@pytest.mark.parametrize("text", ["全部", "```\n全部\n```"])
def test_an_end_says_something_new(wecom: ScriptedWecom, bot: Bot, text: str) -> None:
    """Some saw that WeCom drops an end that says what it shows already: the message goes on for ever."""
    wecom.rules.is_dull = True
    reply = bot.reply()
    reply.show(Snapshot(text))
    reply.finish(over(text))
    assert wecom.messages[0].is_over
    assert wecom.messages[0].content.replace("\u200b", "").strip() == text
    assert "```\u200b" not in wecom.messages[0].content, "that would end no code"


def test_a_conflict_at_the_end_passes(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("一"))
    wecom.rules.refusals.append(CONFLICT)
    reply.show(Snapshot("一二"))
    wecom.rules.refusals.append(CONFLICT)
    reply.finish(over("一二三"))
    assert [each.contents for each in wecom.messages] == [["一", "一二三"]]


def test_a_stream_that_expires_at_the_very_end_leaves_nothing_out(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("一。\n二"))
    wecom.rules.stream_s = -1
    reply.finish(over("一。\n二。"))
    assert wecom.messages[-1].content == f"{ZH.continued}\n\n二。"


def test_nothing_is_pushed_where_everything_is_shown(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("全部"))
    wecom.rules.stream_s = -1
    reply.finish(over("全部"))
    assert [each.content for each in wecom.messages] == ["全部"]


def test_a_long_line_goes_on_where_it_was_refused(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("一\n" + "字" * 2000))
    wecom.rules.refusals.append(EXPIRED)
    reply.finish(over("一\n" + "字" * 3000))
    assert [each.content.count("字") for each in wecom.messages] == [2000, 1000]


def test_code_that_is_cut_by_a_refusal_is_opened_again(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("看：\n```python\na = 1\nb"))
    wecom.rules.refusals.append(EXPIRED)
    reply.finish(over("看：\n```python\na = 1\nb = 2\n```"))
    assert wecom.messages[0].content.rstrip().endswith("```")
    assert wecom.messages[1].content == f"{ZH.continued}\n\n```python\nb = 2\n```"


def test_a_chat_that_takes_no_messages_gets_a_whole_reply(wecom: ScriptedWecom, bot: Bot) -> None:
    wecom.rules.refusals.extend([NO_STREAMS, NO_PUSHES])
    bot.reply(group="wr1").finish(over("答"))
    assert [(each.kind, each.content) for each in wecom.messages] == [("whole", "答")]


def test_an_answer_that_is_refused_in_every_way_is_undelivered(wecom: ScriptedWecom, bot: Bot) -> None:
    wecom.rules.refusals.extend([UNKNOWN, NO_PUSHES, UNKNOWN])
    with pytest.raises(Undelivered, match="WeCom says 846605 invalid req_id"):
        bot.reply().finish(over("答"))


def test_a_bot_that_leaves_waits_for_nothing(bot: Bot) -> None:
    reply = bot.reply()
    bot.connection.stop()
    bot.ended()
    bot.outbox.close()
    reply.show(Snapshot("一"))
    with pytest.raises(Undelivered, match="no connection to WeCom"):
        reply.finish(over("答"))


def test_too_many_updates_are_held_back_and_the_end_is_not(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    wecom.rules.refusals.append(TOO_OFTEN)
    reply.show(Snapshot("一"))
    due_s = reply.due_s()
    assert due_s is not None
    assert HOLD_S - 5 < due_s <= HOLD_S
    wecom.rules.refusals.append(TOO_OFTEN)
    reply.finish(over("一二"))
    assert [each.contents for each in wecom.messages] == [["一二"]]


def test_an_end_that_is_too_much_is_not_tried_again_and_again(wecom: ScriptedWecom, bot: Bot) -> None:
    """A bot that was restarted does not know how much was in the chat; each refusal may count, too."""
    tried: list[float] = [0.0]

    def pause(seconds: float) -> None:
        tried.append(tried[-1] + seconds)

    def now() -> float:
        return tried[-1]

    messenger = WecomMessenger(bot.outbox, Pacing(2.1, now), lambda: ZH, now, pause)
    reply = messenger.reply_to(bot.hears("问"))
    wecom.rules.refusals.extend([TOO_OFTEN] * 3)
    reply.finish(over("答"))
    assert [each.contents for each in wecom.messages] == [["答"]]
    assert now() > 3 * 4


def test_an_update_that_is_refused_for_another_reason_is_skipped(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    wecom.rules.refusals.append((40058, "invalid parameter"))
    reply.show(Snapshot("一"))
    reply.show(Snapshot("一二"))
    reply.finish(over("一二三"))
    assert [each.contents for each in wecom.messages] == [["一二", "一二三"]]


def test_an_answer_that_begins_again_and_is_shorter_ends_its_message(wecom: ScriptedWecom, bot: Bot) -> None:
    reply = bot.reply()
    reply.show(Snapshot("字。" * 4000))
    reply.finish(over("短"))
    assert [each.is_over for each in wecom.messages] == [True, True]


class Later:
    """A reply whose clock a test turns."""

    def __init__(self, bot: Bot) -> None:
        self.now = 0.0
        messenger = WecomMessenger(bot.outbox, Pacing(0.0), lambda: ZH, clock=lambda: self.now, pause=lambda _: None)
        self.reply = messenger.reply_to(bot.hears("你好"))


@pytest.fixture
def later(bot: Bot) -> Later:
    """A reply at the time 0."""
    return Later(bot)


def test_a_stream_that_grows_old_is_left_at_a_line(wecom: ScriptedWecom, later: Later) -> None:
    later.reply.show(Snapshot("一\n二"))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot("一\n二二\n三"))
    later.reply.show(Snapshot("一\n二二\n三三"))
    later.now += STREAM_S - 1
    later.reply.finish(over("一\n二二\n三三三"))
    first, second = wecom.messages
    assert [content.strip() for content in first.contents] == ["一\n二", "一\n二二"]
    assert second.contents == [f"{ZH.continued}\n\n三三", f"{ZH.continued}\n\n三三三"]
    assert first.is_over
    assert second.is_over


def test_code_that_is_cut_by_age_is_opened_again(wecom: ScriptedWecom, later: Later) -> None:
    """Each time: the second message has its own place of opening, which is no line of the text."""
    later.reply.show(Snapshot("```python\na\n"))
    for text in ("```python\na\nb", "```python\na\nb\nc"):
        later.now += STREAM_S + 1
        later.reply.show(Snapshot(text))
        later.reply.show(Snapshot(text))
    later.reply.finish(over("```python\na\nb\nc\n```\n完"))
    assert [each.contents[-1] for each in wecom.messages] == [
        f"```python\na\n```{UNSEEN}",
        f"{ZH.continued}\n\n```python\nb\n```{UNSEEN}",
        f"{ZH.continued}\n\n```python\nc\n```\n完",
    ]


def test_what_is_waited_for_does_not_stay_in_an_old_stream(wecom: ScriptedWecom, later: Later) -> None:
    later.reply.show(Snapshot("一", remark=ZH.waiting))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot("一", remark=ZH.waiting))
    assert wecom.messages[0].content == "一"


def test_a_stream_that_grows_old_in_its_first_line_ends_there(wecom: ScriptedWecom, later: Later) -> None:
    """The line begins where the message begins: there is no whole one in it."""
    full = "\n".join(f"第{number}行" * 20 for number in range(250))
    text = next(full[:end] for end in range(PART_BYTES // 3, len(full)) if len(split(full[:end], PART_BYTES)) == 2)
    line = text.splitlines()[-1]
    later.reply.show(Snapshot(text))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot(text))
    assert [each.is_over for each in wecom.messages] == [True, True]
    assert wecom.messages[1].contents == [line, line + UNSEEN]


@pytest.mark.parametrize("is_shown_again", [False, True])
def test_an_old_stream_whose_end_was_not_acknowledged_is_ended_once(is_shown_again: bool) -> None:
    """The scripted WeCom counts a frame after the end of a stream as a violation; its text would be seen nowhere."""
    with ScriptedWecom(rules=Rules(per_minute=None, next_s=0.05)) as wecom, Bot(wecom, ack_s=0.05) as bot:
        later = Later(bot)
        later.reply.show(Snapshot("一\n"))
        later.now, wecom.rules.unacknowledged = STREAM_S + 1, 1
        later.reply.show(Snapshot("一\n二\n"))
        if is_shown_again:
            later.reply.show(Snapshot("一\n二\n三\n"))
        later.reply.finish(over("一\n二\n三\n四"))
    assert [each.content for each in wecom.messages] == ["一\n二\n", f"{ZH.continued}\n\n三\n四"]


def test_one_that_began_as_the_old_one_was_full_is_ended_once_too(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedWecom(rules=Rules(per_minute=None, next_s=0.05)) as wecom, Bot(wecom, ack_s=0.05) as bot:
        later, text = Later(bot), long_answer()[:10_000]
        later.reply.show(Snapshot(text[:100]))
        later.now = STREAM_S + 1
        acknowledged = iter([True, False])
        monkeypatch.setattr(wecom, "_is_acknowledged", lambda _: next(acknowledged, True))
        later.reply.show(Snapshot(text[:8_000]))
        later.reply.show(Snapshot(text[:9_000]))
        later.reply.finish(over(text))
    assert [line for line in lines_of(wecom.messages) if line != ZH.continued] == lines_of([Shown("", "", [text])])


def test_only_the_first_message_behind_an_old_stream_says_so(wecom: ScriptedWecom, later: Later) -> None:
    later.reply.show(Snapshot("一\n"))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot("一\n"))
    later.reply.finish(over("一\n" + long_answer()))
    assert [each.content.count(ZH.continued) for each in wecom.messages] == [0, 1, 0, 0, 0]


def test_a_stream_without_text_ends_with_a_word_that_is_waited_for(wecom: ScriptedWecom, later: Later) -> None:
    later.reply.show(Snapshot())
    later.now = STREAM_S + 1
    later.reply.show(Snapshot())
    later.reply.finish(over("答"))
    assert [each.contents for each in wecom.messages] == [[SIGN_OF_LIFE, ZH.waiting], ["答"]]


def test_a_long_line_is_left_where_it_is(wecom: ScriptedWecom, later: Later) -> None:
    later.reply.show(Snapshot("一\n" + "字" * 2000))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot("一\n" + "字" * 3000))
    later.reply.finish(over("一\n" + "字" * 4000))
    assert [each.content.count("字") for each in wecom.messages] == [3000, 1000]


def test_parts_that_fill_up_while_a_stream_grows_old_are_all_shown(wecom: ScriptedWecom, later: Later) -> None:
    text = long_answer()
    later.reply.show(Snapshot(text[:100]))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot(text[:-50]))
    later.reply.finish(over(text))
    assert [line for line in lines_of(wecom.messages) if line != ZH.continued] == lines_of([Shown("", "", [text])])


def test_what_comes_behind_an_old_stream_is_pushed_where_no_second_one_is_taken(
    wecom: ScriptedWecom, later: Later
) -> None:
    later.reply.show(Snapshot("一\n"))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot("一\n"))
    wecom.rules.refusals.append(UNKNOWN)
    later.reply.show(Snapshot("一\n二"))
    later.reply.finish(over("一\n二三"))
    assert [(each.kind, each.content.removesuffix(UNSEEN).strip()) for each in wecom.messages] == [
        ("stream", "一"),
        ("push", f"{ZH.continued}\n\n二三"),
    ]


def test_an_old_stream_that_has_it_all_is_followed_by_nothing(wecom: ScriptedWecom, later: Later) -> None:
    later.reply.show(Snapshot("一"))
    later.now = STREAM_S + 1
    later.reply.show(Snapshot("一"))
    later.reply.finish(over("一"))
    assert [each.contents for each in wecom.messages] == [["一", f"一{UNSEEN}"]]


def test_the_wait_for_a_full_chat_is_bounded(bot: Bot) -> None:
    now = [0.0]
    pacing = Pacing(0.0, clock=lambda: 0.0)

    def pause(pause_s: float) -> None:
        now[0] += pause_s

    while not pacing.claim_last("zhang"):
        pass
    messenger = WecomMessenger(bot.outbox, pacing, lambda: ZH, clock=lambda: now[0], pause=pause)
    with pytest.raises(Undelivered, match="too many messages were in this chat"):
        messenger.reply_to(bot.hears("你好")).finish(over("答"))
    assert now[0] == PATIENCE_S


@pytest.mark.parametrize("is_pushed", [False, True])
def test_a_message_that_is_never_acknowledged_is_taken_once_a_later_ping_is_answered(
    monkeypatch: pytest.MonkeyPatch, is_pushed: bool
) -> None:
    """What is sent later arrives later: WeCom has all that was sent before a ping that it has answered."""
    monkeypatch.setattr(wire_module, "PING_S", 0.02)
    rules = Rules(per_minute=None, next_s=0.02, unacknowledged=10_000)
    with ScriptedWecom(rules=rules) as wecom, Bot(wecom, ack_s=0.02) as bot:
        reply = bot.reply()
        if is_pushed:
            rules.unacknowledged = 0
            rules.refusals.append(NO_STREAMS)
            reply.show(Snapshot("第"))
            rules.unacknowledged = 10_000
        reply.finish(over(long_answer()))
    assert {each.kind for each in wecom.messages} == {"push" if is_pushed else "stream"}
    assert all(each.is_over for each in wecom.messages)
    shown = list({each.content: each for each in wecom.messages}.values())
    assert lines_of(shown) == lines_of([Shown("", "", [long_answer()])])
