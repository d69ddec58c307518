"""The mirror of runs: what it says is each run's log, once and in order, and bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest

from clawgate.relay.events import Ended, Event, Reset, Started, Text
from clawgate.relay.locks import SessionLocks
from clawgate.relay.log import Log, size_of
from clawgate.relay.mirror import Mirror
from clawgate.relay.peers import Batch, Fate
from clawgate.relay.prompt import Prompt
from clawgate.relay.run import Run
from clawgate.relay.wait import WakeEvent

WRITTEN = Fate(is_written=True)
BOUND = 20_000


@pytest.fixture
def run() -> Iterator[Run]:
    """A run whose log is bounded."""
    wake_event = WakeEvent()
    yield Run("s", "run_1", Prompt(model="m", messages=()), lambda _: True, wake_event, max_log_bytes=BOUND)
    wake_event.release()


@pytest.fixture
def mirror(run: Run) -> Mirror:
    """A mirror of the run."""
    made = Mirror(SessionLocks())
    made.add(run)
    return made


def written(mirror: Mirror, fate: Fate = WRITTEN, *, is_everything: bool = True) -> Sequence[Batch]:
    """Write what there is."""
    batches = mirror.batches(is_everything)
    mirror.note((batch, fate) for batch in batches)
    return batches


def test_each_event_is_said_once_and_in_order(mirror: Mirror, run: Run) -> None:
    said: list[Event] = []
    for number in range(5):
        run.publish([Text(f"{number} "), Text("x")])
        [batch] = written(mirror)
        assert (batch.first, batch.last) == (len(said) + 1, len(said) + len(batch.events))
        said += batch.events
    run.end("stop")
    [batch] = written(mirror)
    assert [*said, *batch.events] == run.log.after(0)
    assert isinstance(batch.events[-1], Ended)
    assert written(mirror) == []
    assert mirror.of_id("run_1") is None


def test_a_silent_run_is_said_to_live(mirror: Mirror) -> None:
    assert [type(event) for event in written(mirror)[0].events] == [Started]
    [batch] = written(mirror)
    assert (batch.events, batch.first, batch.last) == ((), 2, 1)
    assert written(mirror, is_everything=False) == []


def test_what_was_not_written_is_said_again_and_what_is_gone_from_the_start(mirror: Mirror, run: Run) -> None:
    run.publish([Text("a")])
    assert mirror.batches(True) == mirror.batches(True)
    written(mirror)
    run.publish([Text("b")])
    assert written(mirror, Fate(is_written=False))[0].first == 3
    [batch] = written(mirror)
    assert (batch.first, batch.is_anew, list(batch.events)) == (1, True, list(run.log.after(0)))
    run.publish([Text("c")])
    assert not written(mirror)[0].is_anew


@pytest.mark.parametrize(("owner", "reason"), [("run_2", "superseded"), (False, "interrupted")])
def test_a_run_that_has_lost_its_session_ends(mirror: Mirror, run: Run, owner: str | bool, reason: str) -> None:
    run.publish([Text("a")])
    written(mirror, Fate(is_written=True, owner=owner))
    assert run.ended is not None
    assert run.ended.done_reason == reason


def test_what_is_written_down_of_a_long_answer_is_bounded(mirror: Mirror, run: Run) -> None:
    """As the log is: the oldest events become one, whenever it has grown to twice its bound."""
    elsewhere = Log(Started("s", "run_1", "m"), math.inf)
    kept_bytes = most_bytes = 0
    resets = 0
    for number in range(4000):
        run.publish([Text(f"{number:04d} ")])
        run.make_room()
        if number % 7 == 6:
            [batch] = written(mirror)
            size_bytes = sum(map(size_of, batch.events))
            kept_bytes = size_bytes if batch.is_anew else kept_bytes + size_bytes
            most_bytes = max(most_bytes, kept_bytes)
            resets += isinstance(batch.events[0], Reset)
            assert elsewhere.append_from(batch.first, batch.events)
            assert elsewhere.text == run.text
    assert most_bytes < 2 * max(BOUND, len(run.text)) + 2 * BOUND
    assert 1 < resets < 60
