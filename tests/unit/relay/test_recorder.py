"""The recorder: the figures of a run's report that the log does not show, and the close of an interrupted run."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from clawgate.ollama.exchange import Exchange
from clawgate.ollama.failures import refusal_of
from clawgate.relay.closings import Closings
from clawgate.relay.events import Event, Text, Thinking, ToolCalls
from clawgate.relay.prompt import Prompt
from clawgate.relay.recorder import STALLED_S, Recorder
from clawgate.relay.report import Phase
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message
from tests.support.observer import Noted
from tests.support.tools import DEADLINE_S, wait_for
from tests.unit.relay.pump_room import DONE, REFUSED, WEDGE, MakePumpRoom, Script, frame

BAD = b"{oops\n"


@pytest.fixture
def pump_room(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePumpRoom]:
    """Make rooms on a scripted clock, and release their runs afterwards."""
    make = MakePumpRoom(monkeypatch)
    yield make
    for each in make.rooms:
        each.run.release()


@pytest.fixture
def run() -> Iterator[Run]:
    """A run without a pump."""
    made = Run("s", "r", Prompt(model="m", messages=(Message(role="user", content="q"),)), bool, WakeEvent())
    yield made
    made.release()


def test_frames_and_bad_ones_are_counted_over_all_requests(pump_room: MakePumpRoom) -> None:
    here = pump_room(
        Script(says=((1.0, frame("a") + BAD + frame("b")),), drops_s=2.0),
        Script(says=((1.0, BAD * 2 + frame("c") + DONE[:-1]),), drops_s=1.0, is_whole=True),
    )
    here.drive()
    report = here.report()
    assert (report.done_reason, report.requests, report.frames, report.bad_frames) == ("stop", 2, 4, 3)


def test_the_wait_for_an_ollama_that_is_away_is_summed_up(pump_room: MakePumpRoom) -> None:
    """The first frame ends a wait, as it does for the reader."""
    here = pump_room(
        Script(failure=REFUSED),
        Script(says=((1.0, frame("a")),), drops_s=3.0),
        Script(says=((2.0, frame("b") + DONE),)),
    )
    here.drive()
    report = here.report()
    assert report.requests == 3
    assert report.waited_s == pytest.approx((0.1 + 1.0) + (0.1 + 2.0))


def test_a_run_waits_from_the_failure_to_the_next_frame_or_its_end(pump_room: MakePumpRoom) -> None:
    here = pump_room(Script(says=((1.0, frame("a")),), drops_s=2.0), Script(says=((1.0, frame("b")),)))
    told = []
    while here.time.passed_s < 4:
        here.pump.step(until=here.time.now + 0.5)
        told.append((here.time.passed_s, here.recorder.is_waiting))
    assert {is_waiting for moment, is_waiting in told if 2.0 < moment < 3.1} == {True}
    assert {is_waiting for moment, is_waiting in told if moment < 2 or moment > 3.2} == {False}


def test_a_run_that_has_ended_waits_no_more(pump_room: MakePumpRoom) -> None:
    here = pump_room(Script(failure=REFUSED))
    while not here.recorder.is_waiting:
        here.pump.step(until=here.time.now)
    here.run.end("interrupted")
    assert not here.recorder.is_waiting
    assert here.report().phase == "waiting"


def test_the_wait_for_a_slot_that_is_freed_is_one_too(pump_room: MakePumpRoom) -> None:
    pump_room.silence = WEDGE
    here = pump_room(Script(), Script(says=((1.0, frame("a") + DONE),)), unload_wedged=True, first_frame_seconds=10)
    here.drive()
    report = here.report()
    assert (report.wedges, report.requests, report.waited_s) == (1, 2, 1.5)


@pytest.mark.parametrize(
    ("events", "silence_s", "phase"),
    [
        ([], 0, "opening"),
        ([], 2 * STALLED_S, "opening"),
        ([Thinking("嗯")], 0, "thinking"),
        ([Thinking("嗯")], STALLED_S, "stalled"),
        ([Thinking("嗯"), Text("a")], 0, "text"),
        ([ToolCalls(({},))], 0, "text"),
        ([Text("a")], STALLED_S, "stalled"),
    ],
)
def test_the_phase_of_an_interrupt_is_what_the_model_did(
    run: Run, events: list[Event], silence_s: float, phase: Phase
) -> None:
    noted = Noted()
    recorder = Recorder(run, (noted,), now=0)
    run.publish(events)
    recorder.heard_at = time.monotonic() - silence_s
    run.end("interrupted")
    recorder.report_end(run, 1.0)
    assert noted.reports[0].phase == phase
    assert noted.cuts == [], "there was no connection to close"


def exchange_on(sock: socket.socket, floor_s: float) -> Exchange:
    """An exchange whose request has just left on this socket, and may not be cut for so long."""
    exchange = Exchange(lambda _: None, b"", lambda *given: refusal_of("", *given), floor_s=floor_s)  # type: ignore[arg-type,return-value]
    exchange._is_checked = True
    exchange.on_connected(sock)
    exchange.on_last_byte()
    return exchange


@pytest.mark.parametrize("floor_s", [0.0, 0.05], ids=["at once", "later"])
def test_the_close_of_an_interrupted_run_is_told_when_it_is_done(run: Run, floor_s: float) -> None:
    ours, theirs = socket.socketpair()
    noted, closings = Noted(), Closings()
    with ours, theirs:
        recorder = Recorder(run, (noted,), 0, closings)
        exchange = exchange_on(ours, floor_s)
        recorder.note_request(exchange)
        run.end("superseded")
        closings.close("s", exchange)
        recorder.report_end(run, 1.0)
        assert len(noted.cuts) == (not floor_s)
        theirs.settimeout(DEADLINE_S)
        assert theirs.recv(1) == b""
    wait_for(lambda: noted.cuts, "the close is told")
    ((phase, after_s),) = noted.cuts
    assert phase == "opening"
    assert floor_s / 2 <= after_s < DEADLINE_S


def test_a_connection_that_was_given_up_before_is_no_close_of_the_interrupts(run: Run) -> None:
    ours, theirs = socket.socketpair()
    noted, closings = Noted(), Closings()
    with ours, theirs:
        recorder = Recorder(run, (noted,), 0, closings)
        exchange = exchange_on(ours, 0)
        recorder.note_request(exchange)
        closings.close("s", exchange)
        recorder.note_absence(1.0)
        run.end("interrupted")
        recorder.report_end(run, 3.0)
    assert noted.cuts == []
    assert (noted.reports[0].phase, noted.reports[0].waited_s) == ("waiting", 2.0)


def test_an_answer_that_ends_by_itself_has_neither_phase_nor_close(run: Run) -> None:
    ours, theirs = socket.socketpair()
    noted, closings = Noted(), Closings()
    with ours, theirs:
        recorder = Recorder(run, (noted,), 0, closings)
        exchange = exchange_on(ours, 0)
        recorder.note_request(exchange)
        run.end("stop")
        closings.close("s", exchange)
        recorder.report_end(run, 1.0)
    assert (noted.reports[0].phase, noted.cuts) == (None, [])
