"""Answers in messages: webhooks, the Open API behind them, refusals that pass and such that stay."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from clawgate.bots.dingtalk.api import Api
from clawgate.bots.dingtalk.failures import ApiError
from clawgate.bots.dingtalk.reply import MarkdownReply
from clawgate.bots.message import Snapshot, Undelivered
from tests.support.dingtalk import GROUP_SEND, PERSON_SEND, QPS, SECRET, TOKEN, USED_UP, WEBHOOK, Sent, as_written
from tests.support.dingtalk import DingTalk as Peer
from tests.unit.bots.dingtalk.room import Room, long_answer, plain

DONE = Snapshot("# 北京\n看**故宫**。", is_over=True)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """DingTalk."""
    with Peer() as running:
        yield running


@pytest.fixture
def room(peer: Peer) -> Room:
    """A bot's way out."""
    return Room(peer)


def test_an_answer_is_one_message(peer: Peer, room: Room) -> None:
    reply = room.messenger.reply_to(room.message())
    assert isinstance(reply, MarkdownReply)
    assert reply.due_s() is None
    reply.show(Snapshot("北"))
    assert peer.calls == []
    reply.finish(DONE)
    assert peer.messages == [Sent("webhook", "北京", "# 北京  \n看**故宫**。", [])]
    assert len(peer.calls) == 1, "each call counts against a quota"


def test_the_asker_is_mentioned_in_a_group(peer: Peer, room: Room) -> None:
    room.messenger.reply_to(room.message(is_group=True)).finish(DONE)
    assert peer.messages == [Sent("webhook", "北京", "@staff1\n\n# 北京  \n看**故宫**。", ["staff1"])]
    assert as_written(peer.messages[0].text) == DONE.text


def test_an_outsider_is_answered_without_a_mention(peer: Peer, room: Room) -> None:
    room.messenger.reply_to(room.message(is_group=True, staff_id=None)).finish(DONE)
    assert peer.messages[0].mentioned == []
    assert "@" not in peer.messages[0].text


def test_a_remark_stands_below_and_thinking_above(peer: Peer, room: Room) -> None:
    room.messenger.reply_to(room.message()).finish(Snapshot("春光", "想一想", "（已停止）", is_over=True))
    assert peer.messages[0].text == "> 想一想\n\n春光\n\n（已停止）"


def test_an_answer_without_anything_is_not_an_empty_message(peer: Peer, room: Room) -> None:
    room.messenger.reply_to(room.message()).finish(Snapshot(is_over=True))
    assert peer.messages[0].text == "…"


def test_a_long_answer_arrives_whole_and_in_order(peer: Peer, room: Room) -> None:
    text = long_answer()
    assert len(text.encode()) > 49_000
    room.messenger.reply_to(room.message(is_group=True)).finish(Snapshot(text, is_over=True))
    texts = [sent.text for sent in peer.messages]
    assert len(texts) >= 3
    assert all(part.count("\n```") % 2 == part.startswith("```") for part in texts), "fences are balanced"
    assert plain([texts[0].removeprefix("@staff1\n\n"), *texts[1:]]) == plain([text])
    assert [bool(sent.mentioned) for sent in peer.messages] == [True] + [False] * (len(texts) - 1)
    assert all(len(part) <= 4_600 for part in texts)


@pytest.mark.parametrize(
    "text", ['"' * 30_000, "\\" * 30_000, "\n" * 30_000 + "x", "\x01" * 9_000, "🙂" * 9_000, "<b>" * 9_000]
)
@pytest.mark.parametrize("is_over", [False, True])
def test_every_body_is_within_the_bound(peer: Peer, room: Room, text: str, is_over: bool) -> None:
    if is_over:
        peer.expire_webhooks()
    room.messenger.reply_to(room.message(is_group=True)).finish(Snapshot(text, is_over=True))
    assert all(call.size <= 20_000 for call in peer.calls)


@pytest.mark.parametrize(("is_group", "path"), [(True, GROUP_SEND), (False, PERSON_SEND)])
def test_the_open_api_follows_where_the_webhook_is_over(peer: Peer, room: Room, is_group: bool, path: str) -> None:
    peer.expire_webhooks()
    text = long_answer()
    room.messenger.reply_to(room.message(is_group=is_group)).finish(Snapshot(text, is_over=True))
    assert {sent.way for sent in peer.messages} == {"api"}
    assert plain([sent.text for sent in peer.messages]) == plain([text])
    assert len(peer.calls_of(WEBHOOK)) == 1, "a webhook that is over is asked once"
    body = peer.calls_of(path)[0].body
    assert body.get("openConversationId", body.get("userIds")) == ("cid/Group+1==" if is_group else ["staff1"])
    assert len(peer.calls_of(TOKEN)) == 1


def test_a_webhook_that_ends_soon_is_not_tried(peer: Peer, room: Room) -> None:
    peer.webhook_life_s = 4
    room.messenger.reply_to(room.message()).finish(DONE)
    assert [sent.way for sent in peer.messages] == ["api"]
    assert peer.calls_of(WEBHOOK) == []


@pytest.mark.parametrize("webhook", ["", "ftp://x", "http://example.org/x", "https:///x", "http://[", 7])
def test_a_webhook_that_is_none_is_not_used(peer: Peer, room: Room, webhook: object) -> None:
    room.messenger.reply_to(room.message(sessionWebhook=webhook)).finish(DONE)
    assert [sent.way for sent in peer.messages] == ["api"]


@pytest.mark.parametrize(
    ("status", "code"), [(200, 130101), (200, 410100), (200, -1), (429, ""), (502, "x"), (403, QPS)]
)
def test_what_passes_is_waited_for(peer: Peer, room: Room, status: int, code: object) -> None:
    peer.fail(WEBHOOK, status, code, times=3)
    room.messenger.reply_to(room.message()).finish(DONE)
    assert [sent.way for sent in peer.messages] == ["webhook"]
    assert room.pauses == [1, 2, 5]


def test_a_dingtalk_that_is_slow_gets_no_answer_again_and_again(peer: Peer, room: Room) -> None:
    peer.fail(WEBHOOK, 504, times=20)
    peer.fail(GROUP_SEND, 504, times=20)
    with pytest.raises(Undelivered):
        room.messenger.reply_to(room.message(is_group=True)).finish(DONE)
    assert [len(peer.calls_of(path)) for path in (WEBHOOK, GROUP_SEND)] == [2, 1], "each may have become a message"


def test_a_server_that_is_silent_may_have_taken_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.bots.dingtalk.api.TIMES_S", (1, 0.02))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ApiError) as caught:
            Api(url, "id", "secret").post_webhook(f"{url}/x", {})
        assert caught.value.is_silent
    with pytest.raises(ApiError) as caught:
        Api(url, "id", "secret").post_webhook(f"{url}/x", {})
    assert not caught.value.is_silent, "nobody is there"


def test_a_malformed_response_puts_no_webhook_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nno header\r\nX: y\r\n\r\n" + b'{"errcode":0}'

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with suppress(ApiError):
            Api(url, "id", "secret").post_webhook(f"{url}/robot/sendBySession?session=5e551on", {})
        thread.join()
    assert "5e551on" not in caplog.text


def test_a_page_of_a_proxy_is_no_success(peer: Peer, room: Room) -> None:
    peer.script(WEBHOOK, 200, "<html>")
    peer.script(WEBHOOK, 200, {"status": 1111, "wait": 5, "punish": "deny"})
    peer.script(WEBHOOK, 200, {"errcode": None})
    room.messenger.reply_to(room.message()).finish(DONE)
    assert [sent.way for sent in peer.messages] == ["api"], "the third one stays"
    assert room.pauses == [1, 2]


@pytest.mark.parametrize(
    "life_s", [10**400, -(10**400), 0, True, None, "7200"], ids=["huge", "least", "0", "true", "null", "text"]
)
def test_a_token_whose_life_makes_no_sense_is_used(peer: Peer, room: Room, life_s: object) -> None:
    peer.expire_webhooks()
    peer.script(TOKEN, 200, {"accessToken": "t", "expireIn": life_s})
    room.messenger.reply_to(room.message()).finish(DONE)
    assert [sent.way for sent in peer.messages] == ["api"], "the next token is a good one"


@pytest.mark.parametrize("status", [400, 401])
def test_a_token_that_is_refused_is_renewed_once(peer: Peer, room: Room, status: int) -> None:
    peer.token_status = status
    peer.expire_webhooks()
    room.messenger.reply_to(room.message()).finish(DONE)
    peer.expire_tokens()
    room.messenger.reply_to(room.message()).finish(DONE)
    assert len(peer.messages) == 2
    assert len(peer.calls_of(TOKEN)) == 2
    room.now += 6_899
    room.messenger.reply_to(room.message()).finish(DONE)
    assert len(peer.calls_of(TOKEN)) == 2
    room.now += 2
    room.messenger.reply_to(room.message()).finish(DONE)
    assert len(peer.calls_of(TOKEN)) == 3, "it is renewed five minutes early"


def test_an_answer_that_no_way_takes_is_undelivered(peer: Peer, room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    peer.fail(WEBHOOK, 200, 300001)
    peer.fail(GROUP_SEND, 500, "unknownError", times=9)
    with pytest.raises(Undelivered, match=r"message 1 of 1: DingTalk, .*groupMessages/send: 500 unknownError refused"):
        room.messenger.reply_to(room.message(is_group=True)).finish(DONE)
    assert room.pauses == [1, 2, 5, 10]
    assert not any(hidden in caplog.text for hidden in (SECRET, "session=", "token", "故宫"))


def test_used_up_calls_are_not_tried_again(peer: Peer, room: Room) -> None:
    peer.expire_webhooks()
    peer.fail(PERSON_SEND, 403, USED_UP)
    with pytest.raises(Undelivered, match="ApiCountLimitForOrg"):
        room.messenger.reply_to(room.message()).finish(DONE)
    assert room.pauses == []


def test_an_outsider_in_a_talk_of_two_has_the_webhook_alone(peer: Peer, room: Room) -> None:
    peer.fail(WEBHOOK, 200, 300001)
    with pytest.raises(Undelivered, match="300001"):
        room.messenger.reply_to(room.message(staff_id=None)).finish(DONE)
    assert len(peer.calls) == 1


def test_a_person_who_cannot_be_written_to_is_a_failure(peer: Peer, room: Room) -> None:
    peer.expire_webhooks()
    peer.script(PERSON_SEND, 200, {"processQueryKey": "k", "flowControlledStaffIdList": ["staff1"]})
    peer.script(PERSON_SEND, 200, {"processQueryKey": "k", "invalidStaffIdList": ["staff1"]})
    with pytest.raises(Undelivered, match="staff ID is invalid"):
        room.messenger.reply_to(room.message()).finish(DONE)
    assert room.pauses == [1]


def test_calls_keep_to_the_limit_of_a_second(room: Room) -> None:
    for _ in range(41):
        room.messenger.reply_to(room.message()).finish(DONE)
    assert room.pauses == [1.0, 1.0]
