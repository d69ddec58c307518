"""A scripted DingTalk: stream mode, webhooks, robot messages and cards on this machine, with DingTalk's own rules.

Tests script its failures (`fail`, `disconnect`, `drop`, `expire_tokens`). A breach of its rules by a bot is noted in
`violations`, and fails the test at its end. Clocks are shortened by the test: `ack_s`.
"""

from __future__ import annotations

import json
import re
import socket as sockets
import threading
import time
import traceback
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from tests.support.dingtalk_cards import Cards
from tests.support.dingtalk_http import Answer, Call, HttpServer
from tests.support.tools import DEADLINE_S

BOT_MESSAGES = "/v1.0/im/bot/messages/get"
CREATE = "/v1.0/card/instances/createAndDeliver"
STREAMING = "/v1.0/card/streaming"
WEBHOOK = "/robot/sendBySession"
GROUP_SEND = "/v1.0/robot/groupMessages/send"
PERSON_SEND = "/v1.0/robot/oToMessages/batchSend"
OPEN = "/v1.0/gateway/connections/open"
TOKEN = "/v1.0/oauth2/accessToken"
QPS = "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi"
USED_UP = "Forbidden.AccessDenied.ApiCountLimitForOrg"
CLIENT_ID, SECRET = "dingtestclient", "test-secret-of-the-application"
STAFF, CHAT = "staff1", "cid/Group+1=="
MAX_BODY_BYTES = 20_000
MAX_DELIVERIES = 20
_T = TypeVar("_T")


class Sent(NamedTuple):
    """A message that was taken: by which way, its title and text, and whom it mentions."""

    way: str
    title: str
    text: str
    mentioned: list[str]


class _Delivery:
    """A frame that waits for its acknowledgement."""

    def __init__(self, frame: dict[str, Any], name: str) -> None:
        self.frame = frame
        self.name = name
        self.sent_at = 0.0
        self.count = 0


class DingTalk:
    """A running peer; a context manager.

    ack_s: a message that is not acknowledged for so long is delivered again.
    Threads: tests read the records at any time; `_changed` guards all of them.
    """

    def __init__(self, ack_s: float = 3.0, secret: str = SECRET) -> None:
        self.ack_s = ack_s
        self._secret = secret
        self.violations: list[str] = []
        self.calls: list[Call] = []
        self.opened_at: list[float] = []
        """The time of each connections/open."""
        self.acknowledged: list[dict[str, Any]] = []
        """Each frame that a bot has sent."""
        self.deliveries: list[str] = []
        """The id of each message, once for each time that it was delivered."""
        self.messages: list[Sent] = []
        self.cards = Cards(self.violations.append)
        self.connections = 0
        self.webhook_life_s = 5400.0
        self.token_status = 400
        """The status of a call whose token is none; users report 400."""
        self._changed = threading.Condition()
        self._tickets: set[str] = set()
        self._used: set[str] = set()
        self._current: ServerConnection | None = None
        self._held: set[ServerConnection] = set()
        self._waiting: dict[str, _Delivery] = {}
        self._pings: dict[str, str] = {}
        self._scripted: dict[str, deque[Answer]] = {}
        self._is_webhook_over = False
        self._tokens: set[str] = set()
        self._is_over = False
        self._http = HttpServer(self._answer)
        self._sockets = serve(
            self._hold, "127.0.0.1", 0, process_request=self._admit, compression=None, ping_interval=None
        )
        self._threads = [
            threading.Thread(target=self._sockets.serve_forever, name="dingtalk-sockets", daemon=True),
            threading.Thread(target=self._deliver, name="dingtalk-deliveries", daemon=True),
        ]

    @property
    def url(self) -> str:
        """The base URL of its Open API."""
        return self._http.url

    def __enter__(self) -> DingTalk:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._sockets.shutdown()
        for connection in list(self._held):
            _break(connection)
        self._http.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        self.cards.check()
        assert kind is not None or not self.violations, "DingTalk's rules:\n" + "\n".join(self.violations)

    # What a test does

    def say(self, text: str = "hi", *, is_group: bool = False, staff_id: str | None = STAFF, **fields: Any) -> str:
        """Send a text to the bot, and again until it is acknowledged; return its id. fields replace those of it."""
        message_id = f"msg{uuid.uuid4()}"
        data = self.message(text, message_id, is_group=is_group, staff_id=staff_id) | fields
        self.push(self.frame("CALLBACK", BOT_MESSAGES, data), str(data["msgId"]))
        return str(data["msgId"])

    def message(
        self, text: str, message_id: str = "msg1", *, is_group: bool = False, staff_id: str | None = STAFF
    ) -> dict[str, Any]:
        """Make the data of a text message."""
        now = time.time() * 1000
        return {
            "conversationId": CHAT if is_group else "cidSingle1==",
            "conversationType": "2" if is_group else "1",
            "msgId": message_id,
            "senderId": "$:LWCP_v1:$outsider" if staff_id is None else f"$:LWCP_v1:${staff_id}",
            "senderNick": "小王",
            "isInAtList": is_group,
            "atUsers": [{"dingtalkId": "$:LWCP_v1:$bot"}] if is_group else [],
            "chatbotUserId": "$:LWCP_v1:$bot",
            "robotCode": CLIENT_ID,
            "createAt": int(now),
            "sessionWebhook": f"{self.url}{WEBHOOK}?session=s{message_id}",
            "sessionWebhookExpiredTime": int(now + self.webhook_life_s * 1000),
            "msgtype": "text",
            "text": {"content": f" {text}" if is_group else text},
            **({} if staff_id is None else {"senderStaffId": staff_id}),
        }

    def frame(self, kind: str, topic: str, data: object) -> dict[str, Any]:
        """Make a frame."""
        headers = {
            "topic": topic,
            "messageId": str(uuid.uuid4()),
            "contentType": "application/json",
            "time": str(int(time.time() * 1000)),
            "appId": "app1",
            "connectionId": "connection1",
        }
        text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        return {"specVersion": "1.0", "type": kind, "headers": headers, "data": text}

    def push(self, frame: dict[str, Any], name: str = "") -> None:
        """Deliver a frame until it is acknowledged; name: what `deliveries` calls it."""
        with self._changed:
            self._waiting[frame["headers"]["messageId"]] = _Delivery(frame, name)
            self._changed.notify_all()

    def ping(self) -> None:
        """Send a ping; what comes back is compared with it."""
        opaque = json.dumps({"opaque": str(uuid.uuid4())})
        frame = self.frame("SYSTEM", "ping", opaque)
        self._pings[frame["headers"]["messageId"]] = opaque
        self.send(frame)

    def disconnect(self) -> None:
        """Ask for a new connection, and send nothing more on this one."""
        socket = self._current
        self._current = None
        self.send(self.frame("SYSTEM", "disconnect", {"reason": "maintenance"}), socket)

    def send(self, frame: object, socket: ServerConnection | None = None) -> None:
        """Send anything on the connection, once."""
        socket = socket or self._current
        assert socket is not None, "no bot is connected"
        socket.send(frame if isinstance(frame, str) else json.dumps(frame, ensure_ascii=False))

    def drop(self) -> None:
        """Let the connection break without a word."""
        socket = self._current
        assert socket is not None, "no bot is connected"
        self._current = None
        _break(socket)

    def fail(self, path: str, status: int, code: object = "", times: int = 1) -> None:
        """Answer the next calls of a path with an error; a webhook's come as `errcode` with status 200."""
        is_errcode = path == WEBHOOK and status == 200
        body = {"errcode": code, "errmsg": "refused"} if is_errcode else {"code": code, "message": "refused"}
        self.script(path, status, body, times)

    def script(self, path: str, status: int, body: object, times: int = 1) -> None:
        """Answer the next calls of a path so; a body that is a text need not be JSON."""
        self._scripted.setdefault(path, deque()).extend([Answer(status, body)] * times)

    def expire_tokens(self) -> None:
        """Refuse the tokens that are out."""
        self._tokens.clear()

    def expire_webhooks(self) -> None:
        """Answer webhooks as DingTalk does after their end."""
        self._is_webhook_over = True

    def wait(self, look: Callable[[DingTalk], _T], what: str) -> _T:
        """Wait until something is true of the records, and return it."""
        ends_at = time.monotonic() + DEADLINE_S
        with self._changed:
            while not (found := look(self)):
                left_s = ends_at - time.monotonic()
                assert left_s > 0, f"not within {DEADLINE_S:g} s: {what}; calls: {[call.path for call in self.calls]}"
                self._changed.wait(left_s)
            return found

    def wait_connected(self, count: int = 1) -> None:
        """Wait for the connection of that number, and for it to be ready."""
        self.wait(lambda peer: peer.connections >= count and peer._current is not None, f"connection {count}")

    def calls_of(self, path: str) -> list[Call]:
        """The calls of a path."""
        return [call for call in self.calls if call.path == path]

    # The stream

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        ticket = unquote(parse_qs(urlsplit(request.path).query).get("ticket", [""])[0])
        with self._changed:
            if ticket in self._used:
                self.violations.append("a ticket was used twice")
            is_good = ticket in self._tickets
            self._tickets.discard(ticket)
            self._used.add(ticket)
        return None if is_good else connection.respond(HTTPStatus.UNAUTHORIZED, "bad ticket\n")

    def _hold(self, connection: ServerConnection) -> None:
        with self._changed:
            self.connections += 1
            self._current = connection
            self._held.add(connection)
            self._changed.notify_all()
        try:
            for data in connection:
                self._hear(json.loads(data))
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._changed:
                if self._current is connection:
                    self._current = None
                self._held.discard(connection)
                self._changed.notify_all()

    def _hear(self, frame: dict[str, Any]) -> None:
        with self._changed:
            self.acknowledged.append(frame)
            frame_id = frame.get("headers", {}).get("messageId")
            self._waiting.pop(frame_id, None)
            if frame.get("code") != 200 or frame.get("headers", {}).get("contentType") != "application/json":
                self.violations.append(f"no acknowledgement: {frame}")
            if not isinstance(frame.get("data"), str):
                self.violations.append(f"the data of an acknowledgement is no text: {frame}")
            if frame_id in self._pings and json.loads(frame["data"]) != json.loads(self._pings[frame_id]):
                self.violations.append(f"a ping came back otherwise: {frame}")
            self._changed.notify_all()

    def _deliver(self) -> None:
        """Deliver what waits, and again what was not acknowledged in time."""
        while True:
            with self._changed:
                if self._is_over:
                    return
                now = time.monotonic()
                due = [each for each in self._waiting.values() if each.sent_at + self.ack_s <= now or not each.count]
                socket = self._current
                if socket is None or not due:
                    self._changed.wait(min(0.05, self.ack_s / 4))
                    continue
                for each in due:
                    each.sent_at, each.count = now, each.count + 1
                    self.deliveries.append(each.name)
                    if each.count >= MAX_DELIVERIES:
                        self._waiting.pop(each.frame["headers"]["messageId"])
                self._changed.notify_all()
            for each in due:
                try:
                    socket.send(json.dumps(each.frame, ensure_ascii=False))
                except (ConnectionClosed, OSError):
                    each.count = 0

    # The API

    def _answer(self, call: Call) -> Answer:
        with self._changed:
            self.calls.append(call)
            if call.path == OPEN:
                self.opened_at.append(time.monotonic())
            try:
                scripted = self._scripted.get(call.path)
                return scripted.popleft() if scripted else self._judge(call)
            except Exception:  # noqa: BLE001  a test must hear of it, whatever it is
                self.violations.append(traceback.format_exc())
                return Answer(500, {"code": "unknownError", "message": "未知错误"})
            finally:
                self._changed.notify_all()

    def _judge(self, call: Call) -> Answer:
        if call.path == OPEN:
            return self._open(call.body)
        if call.path == TOKEN:
            return self._sell(call.body)
        if call.path == WEBHOOK:
            return self._webhook(call)
        if call.headers.get("x-acs-dingtalk-access-token") not in self._tokens:
            return Answer(self.token_status, {"code": "InvalidAuthentication", "message": "不合法的access_token"})
        if call.path in (GROUP_SEND, PERSON_SEND):
            return self._robot(call)
        return self.cards.judge(call)

    def _open(self, body: Mapping[str, Any]) -> Answer:
        if (body.get("clientId"), body.get("clientSecret")) != (CLIENT_ID, self._secret):
            return Answer(401, {"code": "authFailed", "message": "鉴权失败"})
        if {"type": "CALLBACK", "topic": BOT_MESSAGES} not in body.get("subscriptions", []):
            self.violations.append(f"no subscription of bot messages: {body}")
        ticket = f"ticket/{uuid.uuid4()}+="
        self._tickets.add(ticket)
        port = self._sockets.socket.getsockname()[1]
        return Answer(200, {"endpoint": f"ws://127.0.0.1:{port}/connect", "ticket": ticket})

    def _sell(self, body: Mapping[str, Any]) -> Answer:
        if (body.get("appKey"), body.get("appSecret")) != (CLIENT_ID, self._secret):
            return Answer(400, {"code": "invalidClientIdOrSecret", "message": "无效的clientId或者clientSecret"})
        token = f"token{uuid.uuid4()}"
        self._tokens.add(token)
        return Answer(200, {"accessToken": token, "expireIn": 7200})

    def _webhook(self, call: Call) -> Answer:
        if self._is_webhook_over:
            return Answer(200, {"errcode": 300001, "errmsg": "session 不存在"})
        if call.size > MAX_BODY_BYTES:
            self.violations.append(f"a webhook's body of {call.size} bytes")
            return Answer(200, {"errcode": 460101, "errmsg": "message too long, exceed 20000 bytes"})
        given = call.body.get("markdown", {})
        self._take(call, "webhook", given, call.body.get("at", {}).get("atUserIds", []))
        return Answer(200, {"errcode": 0, "errmsg": "ok"})

    def _robot(self, call: Call) -> Answer:
        to = "openConversationId" if call.path == GROUP_SEND else "userIds"
        if (
            call.body.get("robotCode") != CLIENT_ID
            or call.body.get("msgKey") != "sampleMarkdown"
            or to not in call.body
        ):
            self.violations.append(f"a robot's message is none: {call.body}")
        if call.size > MAX_BODY_BYTES:
            self.violations.append(f"a robot's message of {call.size} bytes")
        self._take(call, "api", json.loads(call.body.get("msgParam", "{}")), [])
        return Answer(200, {"processQueryKey": "key1"})

    def _take(self, call: Call, way: str, given: Mapping[str, Any], mentioned: list[str]) -> None:
        title, text = str(given.get("title", "")), str(given.get("text", ""))
        if not title.strip() or not text.strip():
            self.violations.append(f"a message without title or text: {call.body}")
        if re.search(r"\\u(?!00[01][0-9a-f])", call.raw):
            self.violations.append("a body is escaped: each character counts for more bytes than it has")
        self.messages.append(Sent(way, title, text, mentioned))


def as_written(text: str) -> str:
    """Return what a bot sent as the model wrote it: without the mention, and without what DingTalk's renderers need.

    It is for texts that have neither two blanks at a line's end nor `<br>` or `&lt;` of their own.
    """
    text = re.sub(r"^@\S+\n\n", "", text)
    return text.replace("  \n", "\n").replace("<br>", "\n").replace("&lt;", "<")


def _break(connection: ServerConnection) -> None:
    """Let the other end see the end of TCP, and no goodbye."""
    try:
        connection.socket.shutdown(sockets.SHUT_RDWR)
    except OSError:
        pass
