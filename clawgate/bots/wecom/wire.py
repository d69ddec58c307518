"""WeCom's protocol on a connection: the subscription, heartbeats, callbacks and events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from clawgate.bots.failures import Denied, Disconnected, TakenOver
from clawgate.bots.link import Frame, Link
from clawgate.bots.message import Message
from clawgate.bots.wecom import frames
from clawgate.bots.wecom.outbox import Outbox
from clawgate.bots.wecom.reading import message_in, text_at

logger = logging.getLogger(__name__)

SUBSCRIBE_S = 10.0
MAX_EARLY = 100
"""The frames that are kept until the subscription is acknowledged."""
PING_S = 30.0
PONG_S = 10.0
"""So old the second unanswered ping may be: a dead connection is left after 70 s."""
TOO_OFTEN = 45009
TOO_OFTEN_S = 30.0
"""The least pause after a subscription that came too often."""
NOT_SUBSCRIBED = 846609
"""The connection lives, and WeCom has forgotten the subscription: nothing is delivered on it any more."""
CONFLICT = 6000
"""Two frames of one callback at the same time, says WeCom; users see it for a second stream of one callback, too."""
DENIALS = {40001, 93019, 600041, 853000}
"""Errors of a wrong id or secret. Any other may end by itself: a bot that starts at night does not give up for it."""
PASSING = {-1, TOO_OFTEN, 45033, NOT_SUBSCRIBED, CONFLICT}
"""Errors that end by themselves: WeCom is busy, or finds that too much comes."""


class WecomWire:
    """Subscribes a bot, and hands its messages on.

    take: takes a message at once. welcome: the words for a person, by their ID, who enters a chat.
    is_command: tells whether a text is a command, such as the one that stops an answer.
    """

    def __init__(
        self,
        endpoint: str,
        bot_id: str,
        secret: str,
        outbox: Outbox,
        take: Callable[[Message], object],
        welcome: Callable[[str], str],
        is_command: Callable[[str], bool] = lambda _: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = endpoint
        self._bot_id = bot_id
        self._secret = secret
        self._outbox = outbox
        self._take = take
        self._welcome = welcome
        self._is_command = is_command
        self._clock = clock
        self._pings: dict[str, int] = {}  # each with the number of frames that were sent before it
        self._pinged_at = 0.0

    def address(self) -> str:
        """Return the endpoint."""
        return self._endpoint

    def begin(self, link: Link) -> None:
        """Subscribe, and wait until WeCom has taken it."""
        self._pings.clear()
        frame = frames.subscribe(self._bot_id, self._secret)
        link.send(frame)
        early: list[Frame] = []
        ends_at = self._clock() + SUBSCRIBE_S
        while text_at(answer := link.receive(1.0), "headers", "req_id") != frame["headers"]["req_id"]:
            if answer:
                early.append(answer)
            if self._clock() >= ends_at or len(early) > MAX_EARLY:
                raise Disconnected(f"WeCom did not answer the subscription within {SUBSCRIBE_S:g} s")
        assert answer is not None
        self._check(answer)
        self._pinged_at = self._clock()
        self._outbox.attach(link)
        for each in early:
            self.hear(link, each)

    def hear(self, link: Link, frame: Frame) -> None:
        """Take a frame; what is none of WeCom's is dropped."""
        req_id, command = text_at(frame, "headers", "req_id"), frame.get("cmd")
        if command == "aibot_msg_callback":
            self._hear_message(req_id, frame.get("body"))
        elif command == "aibot_event_callback":
            self._hear_event(link, req_id, frame.get("body"))
        elif "errcode" in frame:
            self._hear_answer(req_id, frame)
        else:
            logger.debug("a frame without a known command was dropped")

    def tick(self, link: Link) -> None:
        """Send a heartbeat each 30 s; leave a connection that did not answer two."""
        since_s = self._clock() - self._pinged_at
        if len(self._pings) >= 2 and since_s >= PONG_S:
            raise Disconnected("WeCom did not answer two pings: the connection counts as dead")
        if since_s >= PING_S:
            frame = frames.ping()
            self._pings[frame["headers"]["req_id"]] = self._outbox.sent
            self._pinged_at = self._clock()
            link.send(frame)

    def end(self) -> None:
        """Let replies wait for the next connection."""
        self._outbox.detach()

    def _check(self, answer: Frame) -> None:
        """Raise what an answer to the subscription says."""
        code, words = answer.get("errcode"), " ".join(text_at(answer, "errmsg").split())[:200]
        if code == 0:
            return
        if not isinstance(code, int) or code not in DENIALS:
            pause_s = TOO_OFTEN_S if code == TOO_OFTEN else 0.0
            raise Disconnected(f"WeCom did not take the subscription: {code} {words}", pause_s=pause_s)
        raise Denied(
            f"WeCom refuses the bot: {code} {words} (bots.wecom_bot_id and bots.wecom_secret are those of the robot's "
            "API mode with a long connection)"
        )

    def _hear_message(self, req_id: str, body: object) -> None:
        message = message_in(req_id, body, self._is_command)
        if message is None:
            logger.warning("a message without a sender was dropped")
        else:
            self._take(message)

    def _hear_event(self, link: Link, req_id: str, body: object) -> None:
        event = text_at(body, "event", "eventtype")
        if event == "disconnected_event":
            raise TakenOver(
                "another program has connected with the same wecom_bot_id: WeCom keeps the newest one alone"
            )
        if event == "enter_chat" and req_id:
            link.send(frames.welcome(req_id, self._welcome(text_at(body, "from", "userid"))))

    def _hear_answer(self, req_id: str, frame: Frame) -> None:
        if req_id in self._pings:
            self._outbox.note_arrival(self._pings[req_id])
            self._pings.clear()
        else:
            self._outbox.take(req_id, frame)
        if frame.get("errcode") == NOT_SUBSCRIBED:
            raise Disconnected("WeCom has forgotten the subscription")
