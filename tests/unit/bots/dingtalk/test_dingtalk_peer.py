"""The scripted DingTalk itself: what no bot may do fails a test. And the token, which is renewed once for all."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from clawgate.bots.dingtalk.api import Api, encode
from clawgate.bots.dingtalk.failures import ApiError
from clawgate.bots.dingtalk.token import Token
from tests.support.dingtalk import DingTalk as Peer
from tests.support.tools import free_port
from tests.unit.bots.dingtalk.room import Room
from tests.unit.client.fake_gateway import FakeGateway, head, reply

CARD: dict[str, Any] = {
    "cardTemplateId": "t",
    "outTrackId": "1",
    "cardData": {"cardParamMap": {"flowStatus": "1"}},
    "openSpaceId": "dtv1.card//IM_ROBOT.x",
    "imRobotOpenDeliverModel": {"spaceType": "IM_ROBOT"},
}
UPDATE = {"outTrackId": "1", "guid": "1", "key": "content", "content": "春光", "isFull": True, "isFinalize": True}


@pytest.mark.parametrize(
    ("updates", "violation"),
    [
        ([UPDATE | {"isFull": False}, UPDATE], "whole texts alone"),
        ([UPDATE, UPDATE | {"guid": "2"}], "an update after the last one"),
        ([UPDATE | {"isFinalize": False}, UPDATE], "a guid of its own"),
        ([UPDATE | {"isFinalize": False}, UPDATE | {"guid": "2", "content": "秋"}], "does not go on"),
        ([UPDATE | {"isFinalize": False}], "was not finished"),
        ([UPDATE | {"content": ""}], "0 characters"),
        ([UPDATE | {"content": "春" * 1_101}], "1101 characters"),
        ([UPDATE | {"content": None}, UPDATE], "an update without a text"),
    ],
)
def test_a_card_that_breaks_a_rule_fails_the_test(updates: list[dict[str, Any]], violation: str) -> None:
    def misuse() -> None:
        with Peer() as peer:
            api = Room(peer).api
            api.create_card(CARD)
            for update in updates:
                try:
                    api.update_card(update)
                except ApiError:
                    pass

    with pytest.raises(AssertionError, match=violation):
        misuse()


def test_a_body_is_counted_to_the_byte() -> None:
    with Peer() as peer:
        api, url = Room(peer).api, f"{peer.url}/robot/sendBySession"
        most = 20_000 - len(encode({"msgtype": "markdown", "markdown": {"title": "t", "text": ""}}))
        api.post_webhook(url, {"msgtype": "markdown", "markdown": {"title": "t", "text": "x" * most}})
        with pytest.raises(ApiError, match="460101"):
            api.post_webhook(url, {"msgtype": "markdown", "markdown": {"title": "t", "text": "x" * (most + 1)}})
        assert peer.violations == ["a webhook's body of 20001 bytes"]
        peer.violations.clear()


def test_a_ticket_opens_one_connection() -> None:
    with Peer() as peer:
        opening = Room(peer).api.open_connection("test")
        url = f"{opening.endpoint}?ticket={quote_plus(opening.ticket)}"
        with connect(url):
            pass
        with pytest.raises(InvalidStatus), connect(url):
            pass
        assert peer.violations == ["a ticket was used twice"]
        peer.violations.clear()


def test_no_redirect_is_followed() -> None:
    """The secret, or a person's message, would go wherever it leads."""
    with FakeGateway() as server:
        api = Api(server.url, "key", "secret")
        for call in (lambda: api.open_connection("test"), lambda: api.post_webhook(f"{server.url}/x", {})):
            server.script(head(307, f"Location: {server.url}/elsewhere\r\n"))
            with pytest.raises(ApiError) as caught:
                call()
            assert caught.value.status == 307
        assert server.asked == ["POST /v1.0/gateway/connections/open", "POST /x"]


def test_neither_a_proxy_nor_a_netrc_has_a_say_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password theirs")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FakeGateway() as server:
        server.script(reply(200, {"errcode": 0}))
        Api(server.url, "key", "secret").post_webhook(f"{server.url}/x", {})
        (request,) = server.requests
        assert "authorization" not in request.headers


def test_a_token_is_fetched_once_for_all_threads() -> None:
    fetched: list[int] = []
    begun, let_go = threading.Event(), threading.Event()

    def fetch() -> tuple[str, float]:
        fetched.append(1)
        begun.set()
        assert let_go.wait(10)
        return "token1", 7200.0

    token = Token(fetch, lambda: 0.0)
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(token.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    let_go.set()
    for thread in threads:
        thread.join(10)
    assert got == ["token1"] * 8
    assert fetched == [1]


@pytest.mark.parametrize("failure", [ApiError("oauth2/accessToken", "away"), OverflowError("a life of 10 ** 400 s")])
def test_a_token_that_was_not_given_is_asked_for_again(failure: Exception) -> None:
    answers: list[Exception | tuple[str, float]] = [failure, ("token1", 7200.0)]

    def fetch() -> tuple[str, float]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    token = Token(fetch, lambda: 0.0)
    with pytest.raises(type(failure)):
        token.get()
    assert token.get() == token.get() == "token1"


def test_a_renewal_that_fails_in_any_way_holds_up_no_later_one() -> None:
    given: list[object] = [OverflowError("a fault"), ("t", 7200.0)]

    def fetch() -> tuple[str, float]:
        answer = given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return "t", 7200.0

    token = Token(fetch, lambda: 0.0)
    with pytest.raises(OverflowError):
        token.get()
    assert token.get() == "t"
