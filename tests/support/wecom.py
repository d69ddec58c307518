"""A scripted WeCom: the long connection of an intelligent robot, with its rules, on a loopback port.

What a bot sends is recorded, what WeCom forbids is a violation, and a violation fails the test at the end. It answers
as WeCom's document 101463 and public reports say; it is no proof of what the real one does. WeCom's own SDK has been
run against it (tests/unit/bots/wecom/test_frames.py has what it sent).
"""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.support.tools import DEADLINE_S
from tests.support.wecom_rules import (
    CONFLICT,
    CONTENT_BYTES,
    DENIED,
    EXPIRED,
    NOT_SUBSCRIBED,
    OK,
    TOO_LONG,
    TOO_OFTEN,
    UNKNOWN,
    Answer,
    Rules,
    Shown,
)


class ScriptedWecom:
    """The server; a context manager that fails the test with the bot's violations.

    Threads: each connection has its own; `_changed` guards everything, and is notified of each frame.
    """

    def __init__(self, bot_id: str = "bot", secret: str = "s3cr3t", rules: Rules | None = None, port: int = 0) -> None:
        self.rules = rules or Rules()
        self.frames: list[dict[str, Any]] = []
        """All that came, in its order."""
        self.messages: list[Shown] = []
        """All that people see, in its order."""
        self.violations: list[str] = []
        self.subscriptions = 0
        self.most_live = 0
        """The most subscriptions that were alive at once; two are a bot that fights itself."""
        self._credentials = (bot_id, secret)
        self._changed = threading.Condition()
        self._live: list[ServerConnection] = []
        self._chats: dict[str, tuple[str, ServerConnection | None]] = {}
        self._streams: dict[tuple[str, str], Shown] = {}
        self._pending: dict[str, float] = {}
        self._sent_at: dict[str, deque[float]] = {}
        self._subscribed_at = float("-inf")
        self._open: set[ServerConnection] = set()
        self._server = serve(self._serve, "127.0.0.1", port, compression=None, ping_interval=None, close_timeout=1)
        self._thread = threading.Thread(target=self._server.serve_forever, name="scripted-wecom")
        self._thread.start()

    def __enter__(self) -> ScriptedWecom:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
        assert kind is not None or not self.violations, "\n".join(self.violations)

    @property
    def port(self) -> int:
        """Its port."""
        return int(self._server.socket.getsockname()[1])

    @property
    def url(self) -> str:
        """Its address, for `bots.wecom_endpoint`."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def is_subscribed(self) -> bool:
        """Whether a bot is there now."""
        with self._changed:
            return bool(self._live)

    @property
    def is_settled(self) -> bool:
        """Whether every frame so far has its acknowledgement."""
        with self._changed:
            return not self._pending

    def wait(self, predicate: Any, what: str) -> Any:
        """Wait until something is so, which each frame may change; return its value."""
        with self._changed:
            value = self._changed.wait_for(predicate, DEADLINE_S)
            assert value, f"not within {DEADLINE_S:g} s: {what}\nframes: {self.frames[-5:]}"
            return value

    def wait_subscribed(self, times: int = 1) -> None:
        """Wait until a bot is there, and has subscribed so many times in all."""
        self.wait(lambda: self._live and self.subscriptions >= times, f"subscription no. {times}")

    def say(self, text: str, user: str = "zhang", group: str = "", **body: Any) -> str:
        """Let a person write; return the req_id. body: other fields, such as msgtype and quote."""
        return self.callback({"msgtype": "text", "text": {"content": text}, **body}, user, group)

    def callback(self, body: dict[str, Any], user: str = "zhang", group: str = "") -> str:
        """Send a message's callback."""
        place = {"chattype": "group", "chatid": group} if group else {"chattype": "single"}
        whole = {"msgid": uuid.uuid4().hex, "aibotid": self._credentials[0], **place, "from": {"userid": user}, **body}
        return self._call("aibot_msg_callback", whole, group or user)

    def event(self, kind: str, user: str = "zhang") -> str:
        """Send an event's callback; return the req_id."""
        body = {"msgid": uuid.uuid4().hex, "msgtype": "event", "from": {"userid": user}, "event": {"eventtype": kind}}
        return self._call("aibot_event_callback", body, user)

    def raw(self, text: str | bytes) -> None:
        """Send anything at all."""
        with self._changed:
            connection = self._live[-1]
        connection.send(text)

    def answer(self, chat: str = "zhang", count: int = 1) -> list[Shown]:
        """Wait until so many messages in a chat are over; return them."""

        def over() -> list[Shown]:
            found = [each for each in self.messages if each.chat == chat and each.is_over]
            return found if len(found) >= count else []

        found: list[Shown] = self.wait(over, f"{count} whole messages in {chat}")
        return found

    def drop(self) -> None:
        """End every connection without a word."""
        with self._changed:
            gone, self._live = list(self._open), []
        for connection in gone:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)

    def forget(self) -> None:
        """Forget the subscription; the connection stays."""
        with self._changed:
            self._live.clear()

    def close(self) -> None:
        """End everything."""
        self._server.shutdown()
        self.drop()
        self._thread.join(DEADLINE_S)

    def _call(self, command: str, body: dict[str, Any], chat: str) -> str:
        req_id = f"req_{uuid.uuid4().hex}"
        with self._changed:
            connection = self._live[-1]
            self._chats[req_id] = (chat, connection)
        connection.send(json.dumps({"cmd": command, "headers": {"req_id": req_id}, "body": body}, ensure_ascii=False))
        return req_id

    def _serve(self, connection: ServerConnection) -> None:
        with self._changed:
            self._open.add(connection)
        try:
            for text in connection:
                self._hear(connection, text)
        except (ConnectionClosed, OSError):
            pass
        finally:
            with self._changed:
                self._open.discard(connection)
                self._live = [each for each in self._live if each is not connection]
                self._changed.notify_all()

    def _hear(self, connection: ServerConnection, text: str | bytes) -> None:
        try:
            frame = json.loads(text)
            command, req_id = frame["cmd"], frame["headers"]["req_id"]
        except (ValueError, KeyError, TypeError):
            self._violate(f"no frame: {text!r:.200}")
            return
        with self._changed:
            self.frames.append(frame)
            if self.rules.is_silent:
                self._changed.notify_all()
                return
            answer, kicked = self._judge(connection, command, req_id, frame)
            is_acknowledged, ack_s = self._is_acknowledged(command), self.rules.ack_s
            self._changed.notify_all()
        if kicked is not None:
            self._kick(kicked)
        if is_acknowledged and command not in ("ping", "aibot_subscribe") and ack_s:
            timer = threading.Timer(ack_s, self._acknowledge, (connection, req_id, answer))
            timer.start()
        elif is_acknowledged:
            self._acknowledge(connection, req_id, answer)

    def _is_acknowledged(self, command: str) -> bool:
        if self.rules.unacknowledged and command not in ("ping", "aibot_subscribe"):
            self.rules.unacknowledged -= 1
            return False
        return True

    def _acknowledge(self, connection: ServerConnection, req_id: str, answer: Answer) -> None:
        with self._changed:
            self._pending.pop(req_id, None)
            with suppress(ConnectionClosed, OSError):
                connection.send(json.dumps({"headers": {"req_id": req_id}, "errcode": answer[0], "errmsg": answer[1]}))
            self._changed.notify_all()

    def _judge(
        self, connection: ServerConnection, command: str, req_id: str, frame: dict[str, Any]
    ) -> tuple[Answer, ServerConnection | None]:
        if command == "aibot_subscribe":
            return self._subscribe(connection, frame["body"])
        if command == "ping":
            return OK, None
        if connection not in self._live:
            if not self.subscriptions:
                self._violate(f"{command} before the subscription")
            return NOT_SUBSCRIBED, None
        if (sent_at := self._pending.get(req_id)) is not None and time.monotonic() - sent_at < 0.95 * self.rules.next_s:
            self._violate(f"a second {command} of {req_id} before the acknowledgement of the first")
        self._pending[req_id] = time.monotonic()
        if self.rules.refusals:
            return self.rules.refusals.popleft(), None
        return self._take(connection, command, req_id, frame["body"]), None

    def _subscribe(self, connection: ServerConnection, body: dict[str, Any]) -> tuple[Answer, ServerConnection | None]:
        now, since_s = time.monotonic(), time.monotonic() - self._subscribed_at
        self._subscribed_at = now
        if since_s < self.rules.subscribe_s:
            return TOO_OFTEN, None
        if (body["bot_id"], body["secret"]) != self._credentials:
            return DENIED, None
        self.subscriptions += 1
        others = [each for each in self._live if each is not connection]
        kicked = others[-1] if others else None
        self.most_live = max(self.most_live, len(others) + 1)
        self._live = [connection]
        if not self.rules.has_sticky_ids:
            self._chats = {req_id: (chat, None) for req_id, (chat, _) in self._chats.items()}
        return OK, kicked

    def _kick(self, connection: ServerConnection) -> None:
        body = {"msgtype": "event", "event": {"eventtype": "disconnected_event"}}
        frame = {"cmd": "aibot_event_callback", "headers": {"req_id": f"req_{uuid.uuid4().hex}"}, "body": body}
        with suppress(ConnectionClosed, OSError):
            connection.send(json.dumps(frame))
            connection.close()

    def _take(self, connection: ServerConnection, command: str, req_id: str, body: dict[str, Any]) -> Answer:
        if command == "aibot_send_msg":
            return self._show(body["chatid"], "push", body["markdown"]["content"])
        chat, origin = self._chats.get(req_id, ("", None))
        if origin is None or (origin is not connection and not self.rules.has_sticky_ids):
            return UNKNOWN
        if command == "aibot_respond_welcome_msg":
            return self._show(chat, "welcome", body["text"]["content"])
        if body["msgtype"] == "markdown":
            return self._show(chat, "whole", body["markdown"]["content"])
        return self._stream(chat, req_id, **body["stream"])

    def _stream(self, chat: str, req_id: str, id: str, content: str, finish: bool) -> Answer:
        refusal = self._refusal_of(chat, content)
        if refusal is not None:
            return refusal
        shown = self._streams.get((req_id, id))
        if shown is None:
            if self.rules.has_one_stream and any(known == req_id for known, _ in self._streams):
                return CONFLICT
            shown = self._streams[(req_id, id)] = Shown(chat, "stream", began_at=time.monotonic())
            self.messages.append(shown)
        if time.monotonic() - shown.began_at > self.rules.stream_s:
            return EXPIRED
        if shown.is_over and content != shown.contents[-1]:
            self._violate("a frame after the end of a stream")
        if finish and not content.replace("<think></think>", "").strip():
            self._violate(
                "a stream ends with nothing to be seen, which leaves the animation of thinking there for good"
            )
        if finish and self.rules.is_dull and [content] == shown.contents[-1:]:
            return OK
        shown.contents.append(content)
        shown.is_over = finish
        return OK

    def _show(self, chat: str, kind: str, content: str) -> Answer:
        refusal = self._refusal_of(chat, content)
        if refusal is None:
            self.messages.append(Shown(chat, kind, [content], is_over=True))
        return refusal or OK

    def _refusal_of(self, chat: str, content: str) -> Answer | None:
        if len(content.encode()) > CONTENT_BYTES:
            self._violate(f"a content of {len(content.encode())} bytes")
            return TOO_LONG
        now, sent = time.monotonic(), self._sent_at.setdefault(chat, deque())
        while sent and now - sent[0] >= 60:
            sent.popleft()
        sent.append(now)
        if self.rules.per_minute is not None and len(sent) > self.rules.per_minute:
            self._violate(f"more than {self.rules.per_minute} frames a minute in one chat")
            return TOO_OFTEN
        return None

    def _violate(self, what: str) -> None:
        self.violations.append(what)
