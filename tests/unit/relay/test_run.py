"""A run: its log grows in order, and it ends once and is settled, whichever thread ends it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from clawgate.errors import UpstreamStalled
from clawgate.relay.events import Ended, Restarted, Started, Text, Thinking, ToolCalls
from clawgate.relay.prompt import Prompt
from clawgate.relay.run import Run
from clawgate.relay.stats import Stats
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Message
from tests.support.tools import DEADLINE_S, require_procfs, wait_for

CALL = {"function": {"name": "f", "arguments": {}}}


class Settled(list[Message]):
    """The answers that were settled, in order."""


class Connection:
    """The part of an exchange that a run uses: it can be closed and released."""

    def __init__(self) -> None:
        self.closed = 0
        self.released = 0

    def close(self) -> None:
        """Count it."""
        self.closed += 1

    def release(self) -> None:
        """Count it."""
        self.released += 1


@pytest.fixture
def settled() -> Settled:
    """A store that only keeps the answers."""
    return Settled()


@pytest.fixture
def run(settled: Settled) -> Iterator[Run]:
    """A run that has just been admitted."""
    run = Run("s", "r", Prompt(model="m", messages=()), settled.append, WakeEvent(), ("tpyo",))
    yield run
    run.wake_event.release()


@pytest.mark.parametrize(("held", "thinking"), [(Text("<thi"), "Hm"), (Thinking("</thi"), "Hm</thi"), (None, "Hm")])
@pytest.mark.parametrize("is_superseded", [False, True])
def test_thinking_that_is_held_back_is_published_by_any_end_and_the_beginning_of_a_tag_is_not(
    run: Run, settled: Settled, held: Text | Thinking | None, thinking: str, is_superseded: bool
) -> None:
    run.publish_and_hold([Thinking("Hm")], held)
    assert run.after(0)[1:] == [Thinking("Hm")]
    if is_superseded:
        with run.ending("superseded") as answer:
            settled += [answer] if answer is not None else []
    else:
        assert run.end("interrupted")
    assert run.after(0)[1:-1] == [event for event in (Thinking("Hm"), held) if isinstance(event, Thinking)]
    assert (run.text, run.thinking) == ("", thinking)
    assert [(message.content, message.thinking) for message in settled] == [("", thinking)]


def test_a_finished_answer_that_reads_like_the_beginning_of_a_tag_is_text(run: Run, settled: Settled) -> None:
    run.publish_and_hold([], Text("<thi"))
    run.end("stop")
    assert (run.text, settled[0].text) == ("<thi", "<thi")


def test_what_is_held_back_is_published_once(run: Run) -> None:
    run.publish_and_hold([], Text("<thi"))
    run.publish_and_hold([Text("<this")], None)
    run.end("stop")
    assert run.text == "<this"


@pytest.mark.parametrize("held", [Text(" <thi"), Thinking("</thi"), None])
def test_a_model_that_has_said_only_what_is_held_back_has_begun_to_answer(
    run: Run, held: Text | Thinking | None
) -> None:
    run.publish_and_hold([], held)
    assert run.is_accepted == (held is not None)


def test_a_run_starts_with_its_start_event(run: Run) -> None:
    assert run.after(0) == [Started("s", "r", "m", ("tpyo",))]
    assert (run.text, run.thinking, run.log.has_text, run.log.has_calls, run.ended) == ("", "", False, False, None)


def test_what_is_published_is_logged_and_kept_in_order(run: Run) -> None:
    run.publish([Thinking("hm "), Text("春")])
    run.publish([ToolCalls((CALL,)), Thinking("so"), Text("光 ")])
    assert run.after(0)[1:] == [Thinking("hm "), Text("春"), ToolCalls((CALL,)), Thinking("so"), Text("光 ")]
    assert (run.text, run.thinking, run.log.has_text, run.log.has_calls) == ("春光 ", "hm so", True, True)


def test_thinking_that_is_void_is_forgotten_but_stays_told(run: Run) -> None:
    run.publish([Thinking("hm")])
    assert not run.resume()
    run.publish([Thinking("anew")])
    assert run.thinking == "anew"
    assert run.after(0)[1:] == [Thinking("hm"), Restarted(), Thinking("anew")]


@pytest.mark.parametrize(
    ("done_reason", "is_unfinished"),
    [("stop", False), ("length", True), ("interrupted", True), ("superseded", True), ("truncated", True)],
)
def test_an_end_settles_what_was_said_and_wakes_the_pump(
    run: Run, settled: Settled, done_reason: str, is_unfinished: bool
) -> None:
    run.publish([Thinking("hm"), Text("a "), ToolCalls((CALL,)), ToolCalls(({"x": 1},))])
    assert run.end(done_reason, stats=Stats(eval_count=2))
    assert run.after(0)[-1] is run.ended
    assert run.ended == Ended("s", "r", done_reason, Stats(eval_count=2), None)
    assert run.wake_event.is_set()
    assert settled == [
        Message(role="assistant", content="a ", thinking="hm", tool_calls=(CALL, {"x": 1}), interrupted=is_unfinished)
    ]


def test_an_error_is_the_end_and_the_text_is_unfinished(run: Run, settled: Settled) -> None:
    error = UpstreamStalled("silence")
    run.publish([Text("a")])
    assert run.end("error", error=error)
    assert run.ended is not None
    assert (run.ended.done_reason, run.ended.error, settled[0].interrupted) == ("error", error, True)


def test_nothing_is_published_after_the_end(run: Run, settled: Settled) -> None:
    run.publish([Text("a")])
    run.end("interrupted")
    run.publish([Text("b"), Thinking("c"), ToolCalls((CALL,))])
    assert [type(event) for event in run.after(0)] == [Started, Text, Ended]
    assert (run.text, run.thinking, run.log.has_calls) == ("a", "", False)
    assert not run.end("stop")
    assert run.ended is not None
    assert (run.ended.done_reason, len(settled)) == ("interrupted", 1)


def test_the_first_of_many_ends_wins_and_what_was_told_before_is_what_is_settled(run: Run, settled: Settled) -> None:
    gate = threading.Barrier(51)
    won: list[str] = []

    def end(reason: str) -> None:
        gate.wait()
        if run.end(reason):
            won.append(reason)

    def publish() -> None:
        gate.wait()
        for _ in range(200):
            run.publish([Text("x")])

    threads = [threading.Thread(target=end, args=(f"reason{number}",)) for number in range(50)]
    threads.append(threading.Thread(target=publish))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.ended is not None
    assert won == [run.ended.done_reason]
    assert [index for index, event in enumerate(run.after(0)) if isinstance(event, Ended)] == [len(run.after(0)) - 1]
    assert [answer.text for answer in settled] == [run.text] == ["x" * (len(run.after(0)) - 2)]


def test_closing_closes_the_exchange_and_the_predecessors(settled: Settled) -> None:
    old = Run("s", "old", Prompt(model="m", messages=()), settled.append, WakeEvent())
    new = Run("s", "new", Prompt(model="m", messages=()), settled.append, WakeEvent(), predecessor=old)
    connections = [Connection(), Connection()]
    assert old.connect(connections[0])  # type: ignore[arg-type]
    new.close()
    assert [connection.closed for connection in connections] == [1, 0]
    assert new.clear_at() is None
    assert [connection.closed for connection in connections] == [2, 0], "before another is made"
    assert new.connect(connections[1])  # type: ignore[arg-type]
    new.close()
    assert [connection.closed for connection in connections] == [2, 1]
    old.release()
    new.release()
    assert [connection.released for connection in connections] == [1, 1]


def test_a_thousand_superseded_runs_are_closed_without_a_call_inside_a_call(settled: Settled) -> None:
    """Each may have a client that reads nothing, so that none of them is released yet."""
    connection = Connection()
    runs = [Run("s", "r0", Prompt(model="m", messages=()), settled.append, WakeEvent())]
    assert runs[0].connect(connection)  # type: ignore[arg-type]
    for number in range(1, 1500):
        runs[-1].wake_event.release()
        runs.append(
            Run("s", f"r{number}", Prompt(model="m", messages=()), settled.append, WakeEvent(), predecessor=runs[-1])
        )
    runs[-1].close()
    runs[-1].wake_event.release()
    assert connection.closed == 1


def test_an_ended_run_takes_no_exchange(run: Run) -> None:
    run.end("interrupted")
    connection = Connection()
    assert not run.connect(connection)  # type: ignore[arg-type]
    run.close()
    assert connection.closed == 0


def test_releasing_ends_what_nobody_ended_and_gives_the_fds_back(settled: Settled) -> None:
    require_procfs()
    before = os.listdir("/proc/self/fd")
    run = Run("s", "r", Prompt(model="m", messages=()), settled.append, WakeEvent())
    run.publish([Text("a")])
    run.release()
    assert run.ended is not None
    assert (run.ended.done_reason, settled[0].text) == ("interrupted", "a")
    assert os.listdir("/proc/self/fd") == before


def test_releasing_waits_for_the_thread_that_ends_the_run() -> None:
    """The report behind a release needs the outcome."""
    is_settling, go = threading.Event(), threading.Event()

    def settle(_: Message) -> None:
        is_settling.set()
        assert go.wait(DEADLINE_S)

    run = Run("s", "r", Prompt(model="m", messages=()), settle, WakeEvent())
    ending = threading.Thread(target=run.end, args=("superseded",))
    ending.start()
    assert is_settling.wait(DEADLINE_S)
    releasing = threading.Thread(target=run.release)
    releasing.start()
    releasing.join(0.05)
    assert (releasing.is_alive(), run.ended) == (True, None)
    go.set()
    releasing.join()
    ending.join()
    assert run.ended is not None
    assert run.ended.done_reason == "superseded"


def test_the_end_is_told_even_where_settling_fails() -> None:
    def fail(answer: Message) -> None:
        raise RuntimeError(f"{answer.role} is not settled")

    run = Run("s", "r", Prompt(model="m", messages=()), fail, WakeEvent())
    with pytest.raises(RuntimeError, match="assistant is not settled"):
        run.end("stop")
    run.wake_event.release()
    assert isinstance(run.after(0)[-1], Ended)


def test_an_ending_gives_the_answer_away_and_is_told_behind_it(run: Run, settled: Settled) -> None:
    run.publish([Text("a")])
    with run.ending("superseded") as answer:
        assert answer is not None
        assert (answer.text, answer.interrupted) == ("a", True)
        assert (run.has_outcome, run.ended, run.wake_event.is_set()) == (True, None, False)
        assert not run.end("interrupted")
    assert run.ended is not None
    assert (run.ended.done_reason, settled) == ("superseded", [])
    with run.ending("interrupted") as answer:
        assert answer is None
    assert [type(event) for event in run.after(0)] == [Started, Text, Ended]


def test_an_ending_that_fails_settles_the_answer(run: Run, settled: Settled) -> None:
    run.publish([Text("a")])
    with pytest.raises(RuntimeError), run.ending("superseded"):
        raise RuntimeError("the store is away")
    assert [answer.text for answer in settled] == ["a"]
    assert isinstance(run.after(0)[-1], Ended)


@pytest.mark.parametrize("is_taken", [True, False])
def test_an_ending_that_fails_says_whether_the_session_has_taken_the_answer(is_taken: bool) -> None:
    """An answer that the session has taken is replayed."""
    run = Run("s", "r", Prompt(model="m", messages=()), lambda _: is_taken, WakeEvent())
    with pytest.raises(RuntimeError), run.ending("superseded"):
        raise RuntimeError("there is nothing to continue")
    run.wake_event.release()
    assert run.is_settled is is_taken


def test_an_ending_takes_the_answer_of_an_end_that_waits_for_the_sessions_lock(settled: Settled) -> None:
    lock = threading.RLock()
    run = Run("s", "r", Prompt(model="m", messages=()), settled.append, WakeEvent(), session_lock=lambda: lock)
    run.publish([Text("a")])
    with lock:
        ends = threading.Thread(target=run.end, args=("stop",))
        ends.start()
        wait_for(lambda: run.has_outcome, "the end is decided")
        with run.ending("superseded") as answer:
            assert answer is not None
            assert (answer.text, answer.interrupted) == ("a", False)
        assert run.ended is not None
    ends.join()
    assert (run.ended.done_reason, settled) == ("stop", [])
    assert [type(event) for event in run.after(0)] == [Started, Text, Ended]
    run.wake_event.release()
