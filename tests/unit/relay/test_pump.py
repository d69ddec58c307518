"""The pump on a scripted clock: its waits, and the events that it makes."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from clawgate.config import StreamConfig
from clawgate.ollama.failures import CannotContinue
from clawgate.relay import frames, smoothing
from clawgate.relay.events import Ended, Event, Restarted, Resumed, Started, Text, Thinking, ToolCalls, Waiting
from clawgate.relay.intake import Intake
from clawgate.relay.prompt import Prompt
from clawgate.relay.pump import Pump
from clawgate.relay.recorder import Recorder
from clawgate.relay.report import Report, RunIds
from clawgate.relay.run import Run
from clawgate.relay.stats import Stats
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message
from tests.support.tools import wait_for
from tests.unit.relay.desk_room import ScriptedClient
from tests.unit.relay.pump_room import DONE, REFUSED, START_S, WEDGE, MakePumpRoom, PumpRoom, Script, frame

CALL = {"function": {"name": "f", "arguments": {}}}
ANSWER = Script(says=((2.0, frame("a")), (2.5, frame("b") + DONE)))
SILENT = Script(opens_s=float("inf"))
HEADERS_ONLY = Script()


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePumpRoom]:
    """Make rooms, and release their runs afterwards."""
    make = MakePumpRoom(monkeypatch)
    yield make
    for each in make.rooms:
        each.run.release()


def ending(here: PumpRoom) -> tuple[float, str, str]:
    """Drive a run, and return the moment, the reason and the words of its end."""
    here.drive()
    assert here.run.ended is not None
    error = here.run.ended.error
    return here.time.passed_s, error.code if error else here.run.ended.done_reason, error.message if error else ""


def asked_at(here: PumpRoom) -> list[float]:
    """The moments of the requests."""
    return [exchange.asked_s for exchange in here.client.exchanges]


def test_a_run_is_driven_to_its_end_without_any_reader(room: MakePumpRoom) -> None:
    here = room(ANSWER)
    assert here.drive() == [Text("a"), Text("b"), Ended("s", "r", "stop", Stats(eval_count=3))]
    assert here.time.passed_s == 2.5
    assert [message.text for message in here.settled] == ["ab"]
    assert here.client.exchanges[0].is_closed


def test_the_end_tells_how_long_the_model_took_to_load(room: MakePumpRoom) -> None:
    here = room(Script(says=((0.5, frame("a") + b'{"done":true,"load_duration":94000000}\n'),)))
    here.drive()
    assert here.client.loads == [("m", 94_000_000)]


def test_what_is_held_back_is_not_lost_while_ollama_is_waited_for(room: MakePumpRoom) -> None:
    said = b'{"message":{"content":"<think>Hm</thi"}}\n'
    here = room(Script(says=((0.5, said),), drops_s=1), Script(failure=REFUSED))
    while here.time.passed_s < 5:
        here.pump.step(until=1005.0)
    here.run.end("interrupted")
    assert here.run.thinking == "Hm</thi"


def test_no_step_lasts_longer_than_it_may(room: MakePumpRoom) -> None:
    here = room(SILENT)
    here.pump.step(until=here.time.now)
    for seconds in (1.0, 7.5, 299.0):
        here.pump.step(until=1000.0 + seconds)
        assert here.time.passed_s == seconds


def test_a_pump_goes_from_thread_to_thread_in_the_middle() -> None:
    """On real sockets: each thread takes some steps, and the answer is one."""
    prompt = Prompt(model="m", messages=(Message(role="user", content="q"),))
    run, client = Run("s", "r", prompt, lambda _: None, WakeEvent()), ScriptedClient()
    recorder = Recorder(run, (), now=0)
    pump = Pump(run, lambda: client, StreamConfig(smoothing_ms=0), recorder)  # type: ignore[arg-type,return-value]
    for number in range(5):
        is_last = number == 4

        def drive(text: str = "x" * (number + 1)) -> None:
            while run.text != text and run.ended is None:
                pump.step(until=float("inf"))

        thread = threading.Thread(target=drive)
        thread.start()
        wait_for(lambda: client.exchanges and client.exchanges[0].is_open, "it is asked")
        client.exchanges[0].say("x", is_done=is_last)
        thread.join()
    assert run.after(0) == [Started("s", "r", "m"), *[Text("x")] * 5, Ended("s", "r", "stop", Stats(eval_count=7))]
    assert len(client.exchanges) == 1
    run.release()


def test_a_reader_is_told_the_log_and_nothing_else_but_pings(room: MakePumpRoom) -> None:
    here = room(ANSWER)
    told = list(here.read())
    assert [event for _, event in told] == here.run.after(0)
    assert [moment for moment, _ in told] == [0.0, 2.0, 2.5, 2.5]


def test_a_client_that_gave_up_while_it_queued_is_not_served(room: MakePumpRoom) -> None:
    here = room(ANSWER)
    here.time.is_client_gone = True
    assert [type(event) for _, event in here.read(client=object())] == [Started, Ended]
    assert here.client.exchanges == []


@pytest.mark.parametrize(
    ("script", "passed_s"), [(SILENT, 30.0), (HEADERS_ONLY, 30.0), (ANSWER, 2.2), (Script(failure=REFUSED), 0.5)]
)
def test_a_client_that_leaves_ends_the_run(room: MakePumpRoom, script: Script, passed_s: float) -> None:
    here = room(script)
    here.time.after(passed_s, lambda: setattr(here.time, "is_client_gone", True))
    last_at, last = list(here.read(client=object()))[-1]
    assert isinstance(last, Ended)
    assert (last_at, last.done_reason) == (passed_s, "interrupted")
    assert here.client.exchanges[-1].is_closed


def test_a_run_whose_reader_has_left_can_be_driven_on(room: MakePumpRoom) -> None:
    here = room(ANSWER)
    here.time.after(1.0, lambda: setattr(here.time, "is_client_gone", True))
    here.pump.watch_client(object())  # type: ignore[arg-type]
    while not here.pump.step(until=float("inf")):
        pass
    here.pump.watch_client(None)
    here.time.is_client_gone = False
    assert here.drive()[-1] == Ended("s", "r", "stop", Stats(eval_count=3))
    assert here.run.text == "ab"


@pytest.mark.parametrize("script", [SILENT, HEADERS_ONLY], ids=["no headers", "headers"])
def test_a_first_frame_that_does_not_come_is_a_time_out_with_its_reason(room: MakePumpRoom, script: Script) -> None:
    here = room(script)
    words = "no first frame from Ollama within 300 s: it loads the model"
    assert ending(here) == (300.5, "upstream_timeout", words)
    assert room.calls == [(300.0, "why")]


@pytest.mark.parametrize(("answered_at", "call"), [(149, "why"), (151, "queued?")])
def test_a_model_that_has_lately_answered_others_is_busy(room: MakePumpRoom, answered_at: float, call: str) -> None:
    here = room(SILENT)
    here.client.answered_others_at = START_S + answered_at
    assert ending(here)[1] == "upstream_timeout"
    assert room.calls == [(300.0, call)]


@pytest.mark.parametrize("opens_s", [0.0, 300.2], ids=["reading", "opening"])
def test_a_first_frame_that_comes_while_ollama_is_asked_is_taken(room: MakePumpRoom, opens_s: float) -> None:
    here = room(Script(opens_s=opens_s, says=((300.3, frame("late") + DONE),)))
    assert ending(here) == (300.3, "stop", "")
    assert here.run.text == "late"


def test_each_request_has_the_whole_time_and_asks_anew_why_nothing_comes(room: MakePumpRoom) -> None:
    here = room(Script(drops_s=300.2), SILENT, retry_seconds=1000)
    assert ending(here)[:2] == (600.8, "upstream_timeout")
    assert room.calls == [(300.0, "why"), (600.3, "why")]


@pytest.mark.parametrize(("extras", "stall_s"), [({}, 5), ({"tools": [CALL]}, 30), ({"format": "json"}, 30)])
def test_silence_in_the_middle_is_a_stall(room: MakePumpRoom, extras: dict[str, Any], stall_s: int) -> None:
    here = room(Script(says=((2.0, frame("a")),)), extras=extras)
    words = f"Ollama sent nothing for {stall_s} s in the middle of its answer"
    assert ending(here) == (2.0 + stall_s, "upstream_stalled", words)
    assert here.client.exchanges[0].is_closed


def every_second(first_s: float = 0.0, count: int = 500, said: bytes = frame("a")) -> tuple[tuple[float, bytes], ...]:
    """The bytes of a model that never ends."""
    return tuple((first_s + number, said) for number in range(count))


def test_an_answer_without_end_is_ended(room: MakePumpRoom) -> None:
    here = room(Script(says=every_second(100)), max_answer_seconds=30.5)
    assert ending(here) == (130.5, "length", "")
    assert here.run.text == "a" * 31
    assert here.settled[0].interrupted, "it can be continued"
    assert here.client.exchanges[0].is_closed


def test_without_a_limit_it_goes_on(room: MakePumpRoom) -> None:
    assert ending(room(Script(says=(*every_second(), (500.0, DONE)))))[:2] == (500.0, "stop")


@pytest.mark.parametrize("said", [frame(), frame("", "a"), frame("<think>")], ids=["nothing", "thinking", "a tag"])
def test_the_limit_counts_from_the_first_frame_whatever_that_says(room: MakePumpRoom, said: bytes) -> None:
    assert ending(room(Script(says=every_second(50, said=said)), max_answer_seconds=7)) == (57.0, "length", "")


def test_the_limit_holds_for_a_model_that_is_never_waited_for(room: MakePumpRoom) -> None:
    """The model is faster than the pump: each read finds frames, and time passes while they are taken."""
    here = room(Script(says=((1.0, frame("a")),)), smoothing_ms=0, max_answer_seconds=3)
    while here.run.ended is None:
        if here.run.log.has_text:
            here.time.now += 0.001
            here.client.exchanges[0]._come(frame("a"))
        here.pump.step(until=float("inf"))
    assert here.run.ended.done_reason == "length"
    assert here.time.passed_s == pytest.approx(4.0, abs=0.002)


def test_the_limit_counts_through_recoveries_and_waiting(room: MakePumpRoom) -> None:
    scripts = [Script(says=every_second(1, 3), drops_s=4), Script(says=((2.0, frame("b")),), drops_s=2.5)]
    here = room(*scripts, Script(failure=REFUSED), max_answer_seconds=20)
    assert ending(here) == (21.0, "length", "")
    assert here.run.text == "aaab"
    assert len(asked_at(here)) > 10


def test_the_limit_ends_a_silence(room: MakePumpRoom) -> None:
    here = room(Script(says=((1.0, frame("a")),)), stall_seconds=60, max_answer_seconds=20)
    assert ending(here) == (21.0, "length", "")
    here = room(Script(says=((1.0, frame("a")),), drops_s=2), SILENT, max_answer_seconds=20)
    assert ending(here) == (21.0, "length", "")


def test_the_limit_begins_with_the_first_frame(room: MakePumpRoom) -> None:
    here = room(SILENT, max_answer_seconds=1)
    assert ending(here)[:2] == (300.5, "upstream_timeout")


def test_frames_that_say_nothing_are_no_silence(room: MakePumpRoom) -> None:
    here = room(Script(says=(*((4.0 * number, frame()) for number in range(1, 6)), (24.0, frame("a") + DONE))))
    assert ending(here) == (24.0, "stop", "")


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_slot_that_hangs_is_freed_where_that_is_allowed(room: MakePumpRoom, is_allowed: bool) -> None:
    here = room(SILENT, ANSWER, unload_wedged=is_allowed)
    room.silence = WEDGE
    if is_allowed:
        assert ending(here) == (303.5, "stop", "")
        assert here.run.after(0)[1:4] == [Waiting("upstream_timeout", 2), Resumed(), Text("a")]
        assert (asked_at(here), room.calls) == ([0.0, 301.0], [(300.0, "why"), (300.5, "unload")])
        assert here.client.exchanges[0].is_closed
    else:
        assert ending(here)[:2] == (300.5, "upstream_timeout")
    assert (here.report().wedges, len(here.noted.unloads)) == (1, is_allowed)


def test_a_slot_is_freed_once(room: MakePumpRoom) -> None:
    here = room(SILENT, unload_wedged=True)
    room.silence = WEDGE
    assert ending(here) == (601.5, "upstream_timeout", "no first frame from Ollama within 300 s: a slot of it hangs")
    assert [name for _, name in room.calls] == ["why", "unload", "why"]
    assert (here.report().wedges, len(here.noted.unloads)) == (2, 1)


def test_a_model_that_cannot_be_unloaded_is_the_end(room: MakePumpRoom) -> None:
    here = room(SILENT, unload_wedged=True)
    room.silence, room.is_unloaded = WEDGE, False
    moment, code, words = ending(here)
    assert (moment, code, len(here.client.exchanges)) == (301.0, "upstream_timeout", 1)
    assert words.endswith("could not be unloaded; restart Ollama")


def test_a_silence_behind_a_prompt_that_was_given_up_is_explained_once(room: MakePumpRoom) -> None:
    here = room(Script(says=((20.0, frame("a") + DONE),), opens_s=20.0))
    here.client.gave_up = True
    assert ending(here) == (20.0, "stop", "")
    assert here.run.after(0)[1:-1] == [Waiting("evaluating", 1), Text("a")], "nothing was away, so nothing is resumed"
    assert room.calls == [(2.0, "loaded?")]


@pytest.mark.parametrize(
    ("gave_up", "is_loaded", "answers_at", "asks"),
    [(False, True, 20.0, []), (True, False, 20.0, [2.0]), (True, True, 1.9, []), (True, True, 2.2, [2.0])],
    ids=["nothing given up", "still loading", "no silence", "it begins meanwhile"],
)
def test_other_silences_are_not_explained(
    room: MakePumpRoom, gave_up: bool, is_loaded: bool, answers_at: float, asks: list[float]
) -> None:
    here = room(Script(says=((answers_at, frame("a") + DONE),), opens_s=answers_at))
    here.client.gave_up, room.is_loaded = gave_up, is_loaded
    assert ending(here) == (answers_at, "stop", "")
    assert here.run.after(0)[1:-1] == [Text("a")]
    assert room.calls == [(moment, "loaded?") for moment in asks]


def test_a_look_that_finds_no_place_is_taken_later(room: MakePumpRoom) -> None:
    here = room(Script(says=((20.0, frame("a") + DONE),), opens_s=20.0))
    here.client.gave_up, room.taken_until_s = True, 4.5
    assert ending(here) == (20.0, "stop", "")
    assert here.run.after(0)[1:-1] == [Waiting("evaluating", 1), Text("a")]
    assert room.calls == [(5.0, "loaded?")]


def test_an_answer_to_somebody_else_meanwhile_says_that_nothing_is_evaluated(room: MakePumpRoom) -> None:
    here = room(Script(says=((20.0, frame("a") + DONE),), opens_s=20.0))
    here.client.gave_up = True
    here.time.after(2.1, lambda: setattr(here.client, "gave_up", False))
    assert ending(here) == (20.0, "stop", "")
    assert here.run.after(0)[1:-1] == [Text("a")]


def test_each_attempt_explains_its_silence(room: MakePumpRoom) -> None:
    here = room(Script(opens_s=4.0, failure=REFUSED), Script(opens_s=20.0, says=((20.0, frame("a") + DONE),)))
    here.client.gave_up = True
    assert ending(here)[1] == "stop"
    assert here.run.after(0)[1:-1] == [
        Waiting("evaluating", 1),
        Waiting("upstream_unreachable", 2),
        Waiting("evaluating", 2),
        Resumed(),
        Text("a"),
    ]


def test_pauses_grow_to_a_second_and_the_wait_is_given_up(room: MakePumpRoom) -> None:
    here = room(Script(failure=REFUSED), retry_seconds=5)
    assert ending(here) == (5.5, "upstream_unreachable", "Ollama refused the connection")
    assert asked_at(here) == pytest.approx([0, 0.1, 0.3, 0.7, 1.5, 2.5, 3.5, 4.5, 5.5])
    assert here.run.after(0)[1:-1] == [Waiting("upstream_unreachable", attempt) for attempt in range(2, 10)]


def test_without_patience_it_is_the_end_at_once(room: MakePumpRoom) -> None:
    here = room(Script(failure=REFUSED), retry_seconds=0)
    assert [type(event) for event in here.drive()] == [Ended]
    assert here.time.passed_s == 0


def test_patience_and_pauses_begin_anew_with_each_word(room: MakePumpRoom) -> None:
    words = Script(says=((4.0, frame("a")),), drops_s=4.0)
    refused = Script(failure=REFUSED)
    here = room(words, refused, words, refused, words, Script(says=((0.0, DONE),)), retry_seconds=5)
    assert ending(here)[1] == "stop"
    assert here.run.text == "aaa"
    assert asked_at(here) == pytest.approx([0, 4.2, 4.4, 8.6, 8.8, 13.0])


def test_empty_frames_do_not_renew_the_patience(room: MakePumpRoom) -> None:
    here = room(Script(says=((0.0, frame("a")),), drops_s=0.0), Script(says=((1.0, frame()),), drops_s=2.0))
    assert ending(here)[1] == "upstream_unreachable"
    assert 60 <= here.time.passed_s < 64


def test_text_is_gone_on_with_where_it_was_cut(room: MakePumpRoom) -> None:
    first = Script(says=((0.0, frame("", "hm") + frame("a ")),), drops_s=1.0)
    here = room(first, Script(says=((0.0, frame("b") + DONE),)), extras={"options": {"num_predict": 10}})
    assert here.drive()[:-1] == [
        Thinking("hm"),
        Text("a "),
        Waiting("upstream_unreachable", 2),
        Resumed(),
        Text("b"),
    ]
    again = here.client.exchanges[1].request
    assert again["messages"][-1] == {"role": "assistant", "content": "a ", "thinking": "hm"}
    assert (again["options"], again["is_going_on"]) == ({"num_predict": 8}, True)


def test_thinking_begins_again(room: MakePumpRoom) -> None:
    first = Script(says=((0.0, frame("", "hm")),), drops_s=1.0)
    cut = Script(says=((0.0, frame("", "so") + frame("a")),), drops_s=1.0)
    last = Script(says=((0.0, frame("b") + DONE),))
    here = room(first, cut, last, extras={"options": {"num_predict": 10}})
    told = [event for event in here.drive() if not isinstance(event, Waiting)]
    assert told[:-1] == [Thinking("hm"), Restarted(), Thinking("so"), Text("a"), Resumed(), Text("b")]
    assert here.run.thinking == "so"
    limits = [exchange.request["options"]["num_predict"] for exchange in here.client.exchanges]
    assert limits == [10, 10, 8], "void thinking does not count"


@pytest.mark.parametrize(
    ("said", "extras", "expected"),
    [
        (frame(tool_calls=[CALL]), {}, "truncated"),
        (frame("{"), {"format": "json"}, "truncated"),
        (frame("", "hm"), {"format": "json"}, "stop"),
        (b"", {"format": "json"}, "stop"),
    ],
)
def test_what_cannot_be_entered_in_the_middle_is_truncated(
    room: MakePumpRoom, said: bytes, extras: dict[str, Any], expected: str
) -> None:
    here = room(Script(says=((0.0, said),), drops_s=1.0), ANSWER, extras=extras)
    assert ending(here)[1] == expected


def test_a_template_that_cannot_continue_ends_what_has_begun(room: MakePumpRoom) -> None:
    closed = Script(failure=CannotContinue())
    here = room(Script(says=((0.0, frame("a")),), drops_s=1.0), closed)
    assert ending(here)[1] == "truncated"
    assert ending(room(closed))[1] == "cannot_continue"


def test_a_proper_end_without_done_is_truncated_and_its_last_line_is_read(room: MakePumpRoom) -> None:
    here = room(Script(says=((1.0, frame("a") + frame("b")[:-1]),), drops_s=1.0, is_whole=True))
    assert ending(here)[:2] == (1.1, "truncated")
    assert here.run.text == "ab"


def test_the_first_fragment_leaves_at_once_and_a_window_makes_one_event(room: MakePumpRoom) -> None:
    says = tuple((1.0 + number / 100, frame(f"{number} ")) for number in range(100))
    here = room(Script(says=(*says, (2.0, DONE))))
    texts = [(moment, event) for moment, event in here.read() if isinstance(event, Text)]
    assert texts[0] == (1.0, Text("0 "))
    assert "".join(event.text for _, event in texts) == "".join(f"{number} " for number in range(100))
    assert [moment for moment, _ in texts] == pytest.approx([1.0 + number / 10 for number in range(11)])
    assert here.time.waits < 30, "wake-ups do not grow with the model's speed"


def test_a_window_is_longer_while_flushes_are_late(room: MakePumpRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "BUSY_S", 0)  # one late flush tells of too much load
    says = tuple((1.0 + number / 100, frame("x")) for number in range(100))
    here = room(Script(says=(*says, (2.0, DONE))))
    here.time.late_s = 0.005
    moments = [moment for moment, event in here.read() if isinstance(event, Text)]
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert pauses[:3] == pytest.approx([0.105, 0.205, 0.205])


def test_a_pause_ends_the_window(room: MakePumpRoom) -> None:
    """A fragment after a pause is passed on at once, as the first one is."""
    here = room(Script(says=((1.0, frame("a")), (1.05, frame("b")), (3.0, frame("c")), (3.01, DONE))))
    moments = [moment for moment, event in here.read() if isinstance(event, Text)]
    assert moments == pytest.approx([1.0, 1.1, 3.0])


def test_without_smoothing_each_read_is_an_event(room: MakePumpRoom) -> None:
    says = tuple((1.0 + number / 1000, frame("x")) for number in range(20))
    here = room(Script(says=(*says, (2.0, DONE))), smoothing_ms=0)
    assert [type(event) for event in here.drive()].count(Text) == 20


def test_an_interrupt_does_not_wait_for_the_window(room: MakePumpRoom) -> None:
    here = room(Script(says=((1.0, frame("a")),)), smoothing_ms=10_000)
    here.time.after(1.5, lambda: here.run.end("interrupted"))
    assert ending(here)[:2] == (1.5, "interrupted")


@pytest.mark.parametrize("script", [SILENT, HEADERS_ONLY, Script(failure=REFUSED)])
def test_pings_come_every_five_seconds_whatever_is_waited_for(room: MakePumpRoom, script: Script) -> None:
    here = room(script, first_frame_seconds=30, retry_seconds=30)
    assert here.pings() == [5.0 * number for number in range(1, 7)]


def test_pings_come_while_the_model_is_unloaded(room: MakePumpRoom) -> None:
    here = room(SILENT, unload_wedged=True, first_frame_seconds=2)
    room.silence, room.takes_s, room.is_unloaded = WEDGE, 10.0, False
    assert here.pings() == [5.0, 10.0, 15.0, 20.0]


def test_pings_come_between_text(room: MakePumpRoom) -> None:
    says = tuple((number / 50, frame("x")) for number in range(600))
    here = room(Script(says=(*says, (12.0, DONE))))
    assert here.pings() == pytest.approx([5.0, 10.0])


def test_a_reader_that_was_held_up_is_made_up_one_ping(room: MakePumpRoom) -> None:
    here = room(SILENT, first_frame_seconds=60)
    told = here.read()
    moments: list[float] = []
    for moment, _ in told:
        moments.append(moment)
        if moment == 5.0:
            here.time.now += 27.0  # the client read slowly
        if len(moments) == 5:
            break
    assert moments == [0.0, 5.0, 32.0, 32.0, 37.0]


def test_a_fault_of_ours_is_the_one_end(room: MakePumpRoom, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("ours")

    here = room(ANSWER)
    monkeypatch.setattr(Intake, "take", fail)
    assert ending(here)[:2] == (2.0, "internal")
    assert here.client.exchanges[0].is_closed
    assert [(ids.run_id, str(fault)) for ids, fault in here.noted.faults] == [("r", "ours")]


def test_the_report_says_what_a_run_came_to(room: MakePumpRoom) -> None:
    here = room(Script(says=((2.0, frame("", "嗯")), (3.0, frame("春") + DONE))))
    here.drive()
    assert here.report() == Report(
        ids=RunIds("s", "r", ""),
        model="m",
        done_reason="stop",
        error=None,
        stats=Stats(eval_count=3),
        first_token_s=2.0,
        duration_s=3.0,
        answer_bytes=6,
        wedges=0,
        requests=1,
        frames=3,
        bad_frames=0,
        phase=None,
        waited_s=0.0,
    )


def test_the_report_of_a_run_that_failed_has_its_error_and_no_first_token(room: MakePumpRoom) -> None:
    here = room(Script(says=((1.0, frame()),)))
    here.drive()
    report = here.report()
    assert report.error is here.run.ended.error is not None  # type: ignore[union-attr]
    assert (report.done_reason, report.first_token_s, report.duration_s) == ("error", None, 6.0)


def test_frames_that_do_not_parse_are_the_end(room: MakePumpRoom) -> None:
    here = room(Script(says=((1.0, frame("a")), (2.0, b"x\nx\n" + frame("b")), (3.0, b"x\nx\nx\n"))))
    assert ending(here)[:2] == (3.0, "upstream_bad_frames")
    assert here.run.text == "ab"


def test_an_answer_without_end_is_ended_across_its_requests(
    room: MakePumpRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_ANSWER_BYTES", 5 * len(frame("a")))
    here = room(Script(says=((1.0, frame("a") * 2),), drops_s=1.0))
    assert ending(here)[1] == "length"
    assert here.run.text == "a" * 6


def test_an_answer_that_calls_tools_without_end_is_ended_too(
    room: MakePumpRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = frame(tool_calls=[{}] * 20)
    monkeypatch.setattr(frames, "MAX_ANSWER_BYTES", len(calls) + 19 * frames.ELEMENT_BYTES)
    assert ending(room(Script(says=((1.0, calls), (2.0, DONE)))))[:2] == (1.0, "length")


def events_of(here: PumpRoom) -> list[type[Event]]:
    return [type(event) for event in here.drive()]


def test_tool_calls_are_told(room: MakePumpRoom) -> None:
    assert events_of(room(Script(says=((0.0, frame(tool_calls=[CALL]) + DONE),)))) == [ToolCalls, Ended]
