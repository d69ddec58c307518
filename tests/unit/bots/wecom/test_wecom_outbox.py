"""Frames and their acknowledgements: one of a req_id at a time, over whatever connection there is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from clawgate.bots.failures import Disconnected
from clawgate.bots.link import Link
from clawgate.bots.wecom import outbox as module
from clawgate.bots.wecom.frames import Place, push, whole
from clawgate.bots.wecom.outbox import Outbox, Refused
from tests.support.tools import DEADLINE_S, wait_for

QUICK_S = 0.05
FRAME = whole(Place("req", "zhang", False), "words")


class FakeLink:
    """A connection that keeps what is sent, and does something at each frame."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.then: Callable[[], None] = lambda: None

    def send(self, frame: dict[str, Any]) -> None:
        """Keep it."""
        self.sent.append(frame)
        self.then()


@pytest.fixture
def link() -> FakeLink:
    """A connection."""
    return FakeLink()


@pytest.fixture
def outbox(link: FakeLink) -> Outbox:
    """A way out with a connection, and little patience."""
    made = Outbox(QUICK_S)
    made.attach(cast(Link, link))
    return made


@pytest.fixture
def run() -> Iterator[Callable[[Callable[[], object]], list[object]]]:
    """Call something on a thread; its result or its error is in the list."""
    threads = []

    def start(call: Callable[[], object]) -> list[object]:
        results: list[object] = []

        def work() -> None:
            try:
                results.append(call())
            except Exception as error:  # noqa: BLE001  the test looks at it
                results.append(error)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return results

    yield start
    for thread in threads:
        thread.join()


def acknowledged(code: object = 0, words: object = "ok") -> dict[str, Any]:
    """An acknowledgement."""
    return {"headers": {"req_id": "req"}, "errcode": code, "errmsg": words}


def test_an_acknowledged_frame_was_taken(outbox: Outbox, link: FakeLink) -> None:
    link.then = lambda: outbox.take("req", acknowledged())
    assert outbox.send(FRAME)
    assert link.sent == [FRAME]


def test_a_refused_one_says_why(outbox: Outbox, link: FakeLink) -> None:
    link.then = lambda: outbox.take("req", acknowledged(846605, "invalid req_id"))
    with pytest.raises(Refused, match="WeCom says 846605 invalid req_id") as caught:
        outbox.send(FRAME)
    assert caught.value.code == 846605


@pytest.mark.parametrize("code", [None, "0", 1.5, []])
def test_an_acknowledgement_without_a_code_is_a_refusal(outbox: Outbox, link: FakeLink, code: object) -> None:
    link.then = lambda: outbox.take("req", acknowledged(code, None))
    with pytest.raises(Refused):
        outbox.send(FRAME)


def test_without_an_acknowledgement_it_may_be_lost(outbox: Outbox) -> None:
    assert not outbox.send(FRAME)


def test_the_acknowledgement_of_another_frame_does_not_count(outbox: Outbox, link: FakeLink) -> None:
    link.then = lambda: outbox.take("another", acknowledged())
    assert not outbox.send(FRAME)


def test_one_that_came_too_late_is_not_taken_for_the_next_ones(outbox: Outbox, link: FakeLink) -> None:
    assert not outbox.send(FRAME)

    def both() -> None:
        outbox.take("req", acknowledged())
        outbox.take("req", acknowledged(846608, "expired"))

    link.then = both
    with pytest.raises(Refused, match="846608"):
        outbox.send(FRAME)


def test_one_that_never_comes_does_not_hold_up_the_next_ones(outbox: Outbox, link: FakeLink) -> None:
    assert not outbox.send(FRAME)
    link.then = lambda: outbox.take("req", acknowledged())
    assert outbox.send(FRAME)
    assert outbox.send(FRAME)
    assert not outbox._owed


def test_the_next_frame_of_a_req_id_waits_for_the_one_before(
    link: FakeLink, run: Callable[[Callable[[], object]], list[object]]
) -> None:
    outbox = Outbox()
    outbox.attach(cast(Link, link))
    first = run(lambda: outbox.send(FRAME))
    wait_for(lambda: link.sent, "the first frame leaves")
    second = run(lambda: outbox.send(FRAME))
    assert outbox_sends_another(outbox, link), "only the same req_id waits"
    assert [frame for frame in link.sent if frame == FRAME] == [FRAME]
    outbox.take("req", acknowledged())
    wait_for(lambda: first == [True], "the first one is over")
    wait_for(lambda: len(link.sent) == 3, "the second frame leaves")
    outbox.take("req", acknowledged())
    wait_for(lambda: second == [True], "the second one is over")


def test_a_frame_whose_predecessor_is_not_over_in_time_is_not_sent(
    link: FakeLink, run: Callable[[Callable[[], object]], list[object]]
) -> None:
    """A write may take longer than an acknowledgement."""
    outbox, let_go = Outbox(QUICK_S), threading.Event()
    outbox.attach(cast(Link, link))

    def write_slowly() -> None:
        let_go.wait(DEADLINE_S)
        outbox.take("req", acknowledged())

    link.then = write_slowly
    first = run(lambda: outbox.send(FRAME))
    wait_for(lambda: link.sent, "the first frame is being written")
    assert not outbox.send(FRAME)
    let_go.set()
    wait_for(lambda: first == [True], "the first one is over")
    assert link.sent == [FRAME]
    assert not outbox._waiting


def outbox_sends_another(outbox: Outbox, link: FakeLink) -> bool:
    """Send a frame with another req_id."""
    frame = push(Place("req", "zhang", False), "words")
    link.then = lambda: outbox.take(frame["headers"]["req_id"], acknowledged())
    taken = outbox.send(frame)
    link.then = lambda: None
    return taken


def test_without_a_connection_nothing_is_sent() -> None:
    with pytest.raises(Disconnected, match="there is no connection to WeCom now"):
        Outbox().send(FRAME)


def test_a_lost_connection_ends_the_wait(link: FakeLink) -> None:
    outbox = Outbox(ack_s=1000)
    outbox.attach(cast(Link, link))
    link.then = outbox.detach
    with pytest.raises(Disconnected, match="before WeCom acknowledged"):
        outbox.send(FRAME)


def test_a_new_connection_is_waited_for(run: Callable[[Callable[[], object]], list[object]], link: FakeLink) -> None:
    outbox = Outbox()
    waited = run(lambda: outbox.wait_open(20))
    outbox.attach(cast(Link, link))
    wait_for(lambda: waited == [True], "the wait ends")


def test_nobody_waits_once_the_bot_leaves(run: Callable[[Callable[[], object]], list[object]]) -> None:
    outbox = Outbox()
    waited = run(lambda: outbox.wait_open(20))
    outbox.close()
    wait_for(lambda: waited == [False], "the wait ends")


def test_what_is_owed_is_bounded(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OWED", 2)
    for number in range(4):
        outbox._ack_s = 0.0
        outbox.send(whole(Place(f"req{number}", "zhang", False), "words"))
    assert list(outbox._owed) == ["req2", "req3"]
    outbox.detach()
    assert not outbox._owed, "a new connection owes nothing"


def test_nothing_is_kept_of_frames_that_are_over(outbox: Outbox, link: FakeLink) -> None:
    link.then = lambda: outbox.take("req", acknowledged())
    outbox.send(FRAME)
    outbox.take("req", acknowledged())
    assert not outbox._waiting
    assert not outbox._owed


def test_a_frame_that_has_arrived_is_not_sent_again(outbox: Outbox, link: FakeLink) -> None:
    assert not outbox.send(FRAME)
    outbox.note_arrival(outbox.sent)
    other = whole(Place("other", "zhang", False), "words")
    assert not outbox.send(other), "it was sent behind the ping"
    assert outbox.send(FRAME)
    assert link.sent == [FRAME, other]


def test_a_frame_whose_acknowledgement_came_between_is_not_sent_again(outbox: Outbox, link: FakeLink) -> None:
    assert not outbox.send(FRAME)
    outbox.take("req", acknowledged())
    assert outbox.send(FRAME)
    assert link.sent == [FRAME]


@pytest.mark.parametrize("code", [0, 45009])
def test_an_acknowledgement_that_came_between_is_not_waited_for_again(
    outbox: Outbox, link: FakeLink, code: int
) -> None:
    assert not outbox.send(FRAME)
    outbox.take("req", acknowledged(code))
    outbox._ack_s = DEADLINE_S
    link.then = lambda: outbox.take("req", acknowledged())
    began_at = time.monotonic()
    assert outbox.send(whole(Place("req", "zhang", False), "more words"))
    assert time.monotonic() - began_at < DEADLINE_S


def test_of_two_frames_without_one_the_first_is_acknowledged_first(outbox: Outbox, link: FakeLink) -> None:
    more = whole(Place("req", "zhang", False), "more words")
    assert not outbox.send(FRAME)
    assert not outbox.send(more)
    outbox.take("req", acknowledged())
    assert not outbox.send(more), "it may not have arrived"
    assert link.sent == [FRAME, more, more]


@pytest.mark.parametrize("reason", ["earlier", "changed", "refused", "elsewhere"])
def test_a_frame_that_may_not_have_arrived_is_sent_again(outbox: Outbox, link: FakeLink, reason: str) -> None:
    sent, again = outbox.sent, FRAME
    assert not outbox.send(FRAME)
    outbox.note_arrival(sent if reason == "earlier" else outbox.sent)
    if reason == "changed":
        again = whole(Place("req", "zhang", False), "more words")
    elif reason == "refused":
        outbox.take("req", acknowledged(45009, "too often"))
    elif reason == "elsewhere":
        outbox.detach()
        outbox.attach(cast(Link, link))
    assert not outbox.send(again)
    assert link.sent == [FRAME, again]
