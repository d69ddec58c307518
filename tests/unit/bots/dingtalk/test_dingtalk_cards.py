"""Answers in cards: made with the first text, updated ever more rarely, finished once; messages where cards fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawgate.bots.dingtalk.reply import CardReply, MarkdownReply, head_and_rest
from clawgate.bots.message import Snapshot
from tests.support.dingtalk import CREATE, QPS, STREAMING, USED_UP, WEBHOOK
from tests.support.dingtalk import DingTalk as Peer
from tests.unit.bots.dingtalk.room import TEMPLATE, Room, long_answer, plain


@pytest.fixture
def peer() -> Iterator[Peer]:
    """DingTalk."""
    with Peer() as running:
        yield running


@pytest.fixture
def room(peer: Peer) -> Room:
    """A bot's way out."""
    return Room(peer)


def stream(room: Room, reply: CardReply, text: str, *, seconds: float, is_over: bool = True) -> None:
    """Show an answer that grows evenly, whenever it is due, and finish it."""
    began = room.now
    while room.now < began + seconds and (due_s := reply.due_s()) is not None:
        room.now += max(due_s, 0.1)
        done = min(1.0, (room.now - began) / seconds)
        reply.show(Snapshot(text[: int(len(text) * done)]))
    room.now = max(room.now, began + seconds)
    if is_over:
        reply.finish(Snapshot(text, is_over=True))


def test_cards_are_an_option(peer: Peer) -> None:
    settings = {"dingtalk_reply": "card", "dingtalk_card_template_id": TEMPLATE}
    room = Room(peer, **settings)
    assert isinstance(room.messenger.reply_to(room.message()), CardReply)
    assert isinstance(room.messenger.reply_to(room.message(staff_id=None)), MarkdownReply), "no card leads there"
    assert isinstance(room.messenger.reply_to(room.message(is_group=True, staff_id=None)), CardReply)
    with pytest.raises(TypeError):
        room.messenger.reply_to(room.message()._replace(handle=None))


def test_a_card_grows_and_is_finished_once(peer: Peer, room: Room) -> None:
    text = "春光明媚，宜去北京。" * 60
    stream(room, room.card_reply(), text, seconds=60)
    (card,) = peer.cards.all
    assert card.text == text
    assert card.is_finished
    assert len(card.contents) == 8, "eight updates, the last one among them"
    assert len(peer.calls_of(CREATE)) == 1
    assert peer.messages == []


@pytest.mark.parametrize("most", [1, 2, 3])
def test_few_updates_are_enough(peer: Peer, room: Room, most: int) -> None:
    stream(room, room.card_reply(most=most), "春光明媚。" * 60, seconds=60)
    (card,) = peer.cards.all
    assert len(card.contents) == most
    assert card.is_finished


def test_the_first_text_makes_the_card(peer: Peer, room: Room) -> None:
    reply = room.card_reply()
    reply.show(Snapshot(remark="（正在等待模型……）"))
    assert peer.calls_of(CREATE) == []
    reply.show(Snapshot("春"))
    (card,) = peer.cards.all
    assert card.created["cardData"]["cardParamMap"]["content"] == "春"
    assert reply.due_s() == 1
    room.now += 1
    reply.show(Snapshot("春"))
    assert card.contents == [], "an update that changes nothing is none"
    reply.finish(Snapshot("春", remark="（已停止）", is_over=True))
    assert card.text == "春\n\n（已停止）"


def test_a_wait_makes_a_card_as_a_sign_of_life(peer: Peer, room: Room) -> None:
    reply = room.card_reply()
    room.now += 1
    reply.show(Snapshot(remark="（正在等待模型……）"))
    assert len(peer.cards.all) == 1
    reply.finish(Snapshot(remark="（模型没有给出文字）", is_over=True))
    assert peer.cards.all[0].text == "（模型没有给出文字）"


def test_what_was_never_shown_is_a_message(peer: Peer, room: Room) -> None:
    room.card_reply().finish(Snapshot("现在没有正在进行的回答。", is_over=True))
    assert [sent.way for sent in peer.messages] == ["webhook"]
    assert peer.calls_of(CREATE) == []


def test_a_card_stands_in_its_place(peer: Peer, room: Room) -> None:
    for is_group in (False, True):
        reply = room.card_reply(is_group=is_group)
        reply.show(Snapshot("春"))
        reply.finish(Snapshot("春光", is_over=True))
    single, group = (card.created for card in peer.cards.all)
    assert single["openSpaceId"] == "dtv1.card//IM_ROBOT.staff1"
    assert group["openSpaceId"] == "dtv1.card//IM_GROUP.cid/Group+1=="


def test_a_long_answer_goes_on_in_messages(peer: Peer, room: Room) -> None:
    text = long_answer()
    stream(room, room.card_reply(is_group=True), text, seconds=90)
    (card,) = peer.cards.all
    texts = [card.text, *(sent.text for sent in peer.messages)]
    assert card.is_finished
    assert plain(texts) == plain([text])
    assert all(sent.mentioned == [] for sent in peer.messages), "the asker has seen the card"
    assert all(part.count("\n```") % 2 == part.startswith("```") for part in texts), "fences are balanced"


def test_a_card_that_is_full_stands_still(peer: Peer, room: Room) -> None:
    text = f"{'一' * 700}\n\n{'二' * 900}"
    reply = room.card_reply()
    for length in (100, 950, 1_200, 1_400):
        reply.show(Snapshot(text[:length]))
        room.now += 5
    assert peer.cards.all[0].text == text[:950], "the end of it may be for a message, and is shown until then"
    assert reply.due_s() is None
    reply.finish(Snapshot(text, is_over=True))
    assert [peer.cards.all[0].text, peer.messages[0].text] == text.split("\n\n")


def test_code_that_a_card_cuts_is_opened_again_in_the_message(peer: Peer, room: Room) -> None:
    text = "看：\n\n```python\n" + "".join(f"print({number})\n" for number in range(200)) + "```\n\n完"
    stream(room, room.card_reply(), text, seconds=60)
    (card,) = peer.cards.all
    assert card.text.endswith("\n```")
    assert peer.messages[0].text.startswith("```python\nprint(")
    assert plain([card.text, peer.messages[0].text]) == plain([text])


@pytest.mark.parametrize("middle", ["\n\n", "\n", "", "\n```\n", "\n\n```\n`x\n```\n"])
def test_nothing_is_lost_between_card_and_message(middle: str) -> None:
    for before in range(985, 1_003):
        for fence in ("", "```\n"):
            whole = fence + "一" * before + middle + "二" * 100
            head, rest = head_and_rest(whole)
            assert plain([head, "\n", rest]) == plain([whole]), (before, fence)


@pytest.mark.parametrize(
    ("status", "code"), [(403, QPS), (429, ""), (500, "unknownError"), (403, USED_UP), (400, "param.error")]
)
def test_an_answer_whose_card_is_not_made_is_a_message(peer: Peer, room: Room, status: int, code: str) -> None:
    peer.fail(CREATE, status, code)
    text = "春光" * 2000
    stream(room, room.card_reply(), text, seconds=30)
    assert plain([sent.text for sent in peer.messages]) == text
    assert len(peer.calls_of(STREAMING)) == (status == 500), "where nobody knows whether it was made, one try"
    second = room.card_reply()
    assert second.due_s() is None, "no cards for a while, for nobody"
    second.show(Snapshot("春"))
    second.finish(Snapshot("春光", is_over=True))
    assert len(peer.calls_of(CREATE)) == 1
    room.now += 1800
    assert (room.card_reply().due_s() is None) is (code == USED_UP)


@pytest.mark.parametrize(("status", "code"), [(403, QPS), (429, ""), (502, ""), (403, USED_UP), (400, "param.error")])
def test_a_card_that_is_refused_in_the_middle_is_finished(peer: Peer, room: Room, status: int, code: str) -> None:
    reply = room.card_reply()
    reply.show(Snapshot("春"))
    peer.fail(STREAMING, status, code)
    stream(room, reply, "春光明媚", seconds=10)
    (card,) = peer.cards.all
    assert card.text == "春光明媚"
    assert len(peer.calls_of(STREAMING)) == 2, "the one that was refused, and the last one"
    assert peer.messages == []
    assert (room.card_reply().due_s() is None) is (status != 400)


@pytest.mark.parametrize(
    ("status", "code", "tries"), [(403, QPS, 3), (500, "unknownError", 3), (403, USED_UP, 1), (400, "x", 1)]
)
def test_a_message_has_all_where_the_card_is_not_finished(
    peer: Peer, room: Room, status: int, code: str, tries: int
) -> None:
    peer.cards.may_stay_open = True
    text = "春光" * 2000
    reply = room.card_reply()
    reply.show(Snapshot("春"))
    peer.fail(STREAMING, status, code, times=9)
    reply.finish(Snapshot(text, is_over=True))
    assert len(peer.calls_of(STREAMING)) == tries
    assert plain([sent.text for sent in peer.messages]) == text


def test_the_last_update_is_tried_again(peer: Peer, room: Room) -> None:
    reply = room.card_reply()
    reply.show(Snapshot("春"))
    peer.fail(STREAMING, 500, "unknownError", times=2)
    reply.finish(Snapshot("春光", is_over=True))
    assert peer.cards.all[0].text == "春光"
    assert peer.messages == []


def test_a_last_update_that_was_taken_is_not_taken_twice(peer: Peer, room: Room) -> None:
    peer.cards.lose_last = True
    reply = room.card_reply()
    reply.show(Snapshot("春"))
    reply.finish(Snapshot("春光", is_over=True))
    assert peer.cards.all[0].contents == ["春光"]
    first, second = peer.calls_of(STREAMING)
    assert first.body == second.body


def test_a_card_that_is_not_delivered_is_a_message(peer: Peer, room: Room) -> None:
    delivered = [{"spaceId": "s", "spaceType": "IM_ROBOT", "success": False, "errorMsg": "spaceId is illegal"}]
    peer.script(CREATE, 200, {"success": True, "result": {"outTrackId": "x", "deliverResults": delivered}})
    stream(room, room.card_reply(), "春光", seconds=3)
    assert [sent.text for sent in peer.messages] == ["春光"]
    assert room.card_reply().due_s() is not None, "another place may take one"


def test_a_success_that_is_none_is_a_failure(peer: Peer, room: Room) -> None:
    peer.script(CREATE, 200, {"success": False})
    stream(room, room.card_reply(), "春光", seconds=3)
    peer.cards.may_stay_open = True
    reply = room.card_reply()
    reply.show(Snapshot("春"))
    peer.script(STREAMING, 200, {"success": False, "result": False})
    reply.finish(Snapshot("春光", is_over=True))
    assert [sent.text for sent in peer.messages] == ["春光", "春光"]


def test_a_card_of_which_nobody_knows_is_tried_at_the_end(peer: Peer, room: Room) -> None:
    """The response of its creation was lost: it may stand in the chat, or not."""
    peer.cards.lose_next = True
    stream(room, room.card_reply(), "春光", seconds=3)
    assert peer.cards.all[0].text == "春光"
    assert peer.messages == []


def test_an_error_is_told_in_the_card(peer: Peer, room: Room) -> None:
    reply = room.card_reply()
    reply.show(Snapshot("春"))
    reply.finish(Snapshot("春光", remark="（出错了）", is_over=True, is_failed=True))
    body = peer.calls_of(STREAMING)[-1].body
    assert (body["isFinalize"], body["isError"], body["content"]) == (True, False, "春光\n\n（出错了）")


def test_the_rest_of_an_answer_is_undelivered_only_where_its_message_is(peer: Peer, room: Room) -> None:
    peer.fail(WEBHOOK, 200, 300001)
    text = "春光" * 2000
    stream(room, room.card_reply(), text, seconds=30)
    assert [sent.way for sent in peer.messages] == ["api"]
    assert plain([peer.cards.all[0].text, peer.messages[0].text]) == text


def test_a_card_is_due_after_its_first_second(peer: Peer, room: Room) -> None:
    """A silent answer shows that it is being worked on; one that is over by then needs no card."""
    reply = room.card_reply()
    assert reply.due_s() == pytest.approx(1.0)
    room.now += 1.0
    assert reply.due_s() == 0.0
    reply.show(Snapshot())
    assert len(peer.calls_of(CREATE)) == 1
    reply.finish(Snapshot("好", is_over=True))
