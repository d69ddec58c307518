"""The logs of runs in Redis: every event comes back as it was, once and in order, whatever is lost between."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest
from msgspec import Raw

from clawgate import errors
from clawgate.errors import ClawgateError, UpstreamRefused
from clawgate.redis.link import Link
from clawgate.redis.logs import PAGE, Logs, decoded, encoded
from clawgate.redis.naming import process_of, session_hash
from clawgate.relay.events import (
    Ended,
    Event,
    Ping,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    ToolCalls,
    Waiting,
)
from clawgate.relay.log import Log
from clawgate.relay.peers import Batch, Fate
from clawgate.relay.stats import Context, Stats
from tests.support.redis import RedisServer

RUN = "run_" + "a" * 48
STARTED = Started("s", RUN, "qwen3:32b", ("misspelt",), 1, 2)
CALL = {"function": {"name": "weather", "arguments": {"city": "北京"}}}
EVENTS: Sequence[Event] = (
    STARTED,
    Waiting("upstream_unreachable", 2),
    Resumed(),
    Thinking("hm "),
    Restarted(),
    Thinking("right"),
    Text("故宫 "),
    Text("\u2028\u0085 "),
    ToolCalls((CALL,)),
)
END = Ended("s", RUN, "stop", Stats(eval_count=7, context=Context(1, 2)), None, True, Raw(b"[1,2]"))


@pytest.fixture
def logs(shared: RedisServer) -> Iterator[Logs]:
    """Logs in an empty Redis."""
    shared.client().flushall()
    link = Link(shared.url, "t")
    yield Logs(link, lambda: 1800)
    link.close()


def batch(first: int, *events: Event, is_anew: bool = False, session_id: str | None = None) -> Batch:
    """Events of the run, from this number on."""
    return Batch(RUN, session_id, first, first + len(events) - 1, events, is_anew, is_wanted=True)


def all_errors(kind: type[ClawgateError] = ClawgateError) -> Iterator[type[ClawgateError]]:
    """Every class of the tree."""
    if kind.__module__ == errors.__name__:
        yield kind
    for below in kind.__subclasses__():
        yield from all_errors(below)


def test_every_event_comes_back_as_it_was() -> None:
    reset = Reset(STARTED, 9, "text", "thinking", (CALL,))
    for event in (*EVENTS, END, reset, Ended("s", RUN, "interrupted")):
        assert decoded(encoded([event])) == [event]
    kinds = set(Event.__subclasses__()) - {Ping}
    assert kinds == {type(event) for event in (*EVENTS, END, reset)}


@pytest.mark.parametrize("kind", sorted({*all_errors()}, key=str))
def test_every_error_comes_back_as_it_was(kind: type[ClawgateError]) -> None:
    error = kind.__new__(kind, "a: expected b").said_by_ollama("its own words", 400)
    [ended] = decoded(encoded([Ended("s", RUN, "error", error=error)]))
    assert isinstance(ended, Ended)
    assert ended.error is not None
    assert type(ended.error) is kind
    assert (str(ended.error), ended.error.upstream_words, ended.error.upstream_status) == (
        "a: expected b",
        "its own words",
        400,
    )


def test_an_error_of_another_version_is_an_internal_one() -> None:
    refused = encoded([Ended("s", RUN, "error", error=UpstreamRefused("no"))])
    [ended] = decoded(refused.replace(b"UpstreamRefused", b"NeverHeardOf"))
    assert isinstance(ended, Ended)
    assert type(ended.error) is errors.InternalError
    assert type(decoded(refused.replace(b"UpstreamRefused", b"TYPE_CHECKING"))[0].error) is errors.InternalError  # type: ignore[attr-defined]


@pytest.mark.parametrize("cut", range(1, len(EVENTS)))
def test_a_log_is_read_back_as_it_was_written(logs: Logs, cut: int) -> None:
    assert logs.write([batch(1, *EVENTS[:cut])]) == [Fate(is_written=True)]
    found = logs.read(RUN)
    assert found is not None
    assert logs.write([batch(cut + 1, *EVENTS[cut:], END)]) == [Fate(is_written=True)]
    assert logs.more(RUN, found, 0)
    whole = Log(STARTED, math.inf)
    for event in (*EVENTS[1:], END):
        whole.append(event)
    for log in (found, logs.read(RUN)):
        assert log is not None
        assert log.after(0) == [*EVENTS, END]
        assert (log.text, log.thinking, log.calls, log.last) == (whole.text, whole.thinking, whole.calls, whole.last)


def test_what_was_written_already_is_not_written_twice(logs: Logs) -> None:
    for _ in range(2):
        assert logs.write([batch(1, *EVENTS[:3])])[0].is_written
    assert logs.write([batch(2, *EVENTS[1:3])])[0].is_written
    log = logs.read(RUN)
    assert log is not None
    assert log.after(0) == list(EVENTS[:3])


def test_a_gap_is_noticed_by_the_writer_and_by_the_reader(logs: Logs, shared: RedisServer) -> None:
    logs.write([batch(1, *EVENTS[:2])])
    log = logs.read(RUN)
    assert log is not None
    shared.client().flushall()
    assert logs.write([batch(3, EVENTS[2])]) == [Fate(is_written=False)]
    assert logs.write([batch(1, *EVENTS[:4], is_anew=True)]) == [Fate(is_written=True)]
    assert logs.more(RUN, log, 0)
    assert log.after(0) == list(EVENTS[:4])
    shared.client().delete("t:log:" + RUN)
    assert logs.write([batch(6, *EVENTS[5:7], is_anew=True)])[0].is_written
    assert not logs.more(RUN, log, 0)
    assert log.last == 4


def test_a_reader_far_behind_gets_everything_as_one(logs: Logs) -> None:
    logs.write([batch(1, *EVENTS[:2])])
    log = logs.read(RUN)
    assert log is not None
    reset = Reset(STARTED, 8, "故宫 ", "right")
    assert logs.write([Batch(RUN, None, 8, 9, [reset, EVENTS[8]], is_anew=True, is_wanted=True)])[0].is_written
    assert logs.more(RUN, log, 0)
    assert log.after(2) == [Reset(STARTED, 9, "故宫 ", "right", (CALL,))]
    assert log.after(8) == [EVENTS[8]]
    assert logs.read(RUN).text == "故宫 "  # type: ignore[union-attr]


def test_a_log_is_written_anew_though_nothing_new_is_said(logs: Logs, shared: RedisServer) -> None:
    for number in range(3):
        logs.write([batch(number + 1, EVENTS[number])])
    reset = Batch(RUN, None, 3, 3, [Reset(STARTED, 3, "", "")], is_anew=True, is_wanted=True)
    for _ in range(2):  # the second time as if the answer to the first was lost
        assert logs.write([reset])[0].is_written
        assert shared.client().xlen("t:log:" + RUN) == 1
    assert logs.write([batch(4, EVENTS[3])])[0].is_written
    assert logs.write([reset])[0].is_written, "it comes too late"
    log = logs.read(RUN)
    assert log is not None
    assert (log.last, log.after(3)) == (4, [EVENTS[3]])


def test_a_reader_keeps_no_more_of_a_long_answer_than_its_text(shared: RedisServer) -> None:
    link = Link(shared.url, "long")
    logs = Logs(link, lambda: 1800, lambda: 4000)
    words = [f"w{number} " for number in range(PAGE * 2)]
    logs.write([batch(1, STARTED)])
    for number, word in enumerate(words, start=2):
        logs.write([batch(number, Text(word))])
    log = logs.read(RUN)
    assert log is not None
    assert log.text == "".join(words)
    assert log.pieces == [log.text]
    assert log.event_bytes <= 4000
    assert log.after(log.last - 1) == [Text(words[-1])]
    assert logs.session_of(RUN) == "s"
    assert logs.session_of("run_" + "b" * 48) is None
    link.close()


def test_the_owner_of_the_session_is_told(logs: Logs, shared: RedisServer) -> None:
    client = shared.client()
    key = "t:session:" + session_hash("s")
    own = batch(1, STARTED, session_id="s")
    assert logs.write([own])[0].owner is False
    client.hset(key, mapping={"run": RUN, "last_run": RUN})
    assert logs.write([own])[0].owner is True
    client.hdel(key, "run")
    assert logs.write([own])[0].owner is False
    client.hset(key, mapping={"run": "run_other", "last_run": "run_other"})
    assert logs.write([own])[0].owner == "run_other"


def test_nothing_is_written_of_a_run_that_lost_its_session_and_has_no_reader(logs: Logs, shared: RedisServer) -> None:
    shared.client().hset("t:session:" + session_hash("s"), mapping={"run": "run_other", "last_run": "run_other"})
    assert logs.write([batch(1, STARTED, session_id="s")._replace(is_wanted=False)])[0].is_written
    assert logs.read(RUN) is None
    assert logs.write([batch(1, STARTED, session_id="gone")._replace(is_wanted=False)])[0].is_written
    assert logs.read(RUN) is None


def test_a_large_answer_is_written_in_several_trips(logs: Logs) -> None:
    batches = [
        Batch(f"run_{number:048d}", None, 1, 2, [STARTED, Text("x" * 400_000)], is_anew=False, is_wanted=True)
        for number in range(8)
    ]
    assert logs.write(batches) == [Fate(is_written=True)] * 8


@pytest.mark.parametrize(
    ("run_id", "process"),
    [("run_" + "0123456789abcdef" + "f" * 32, "0123456789abcdef"), ("run_" + "f" * 32, ""), ("f" * 48, ""), ("", "")],
)
def test_a_runs_id_names_its_process(run_id: str, process: str) -> None:
    assert process_of(run_id) == process


def test_batches_that_are_too_much_for_one_trip_are_all_written(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawgate.redis.logs.MOST_AT_ONCE", 150)
    texts = [Text(f"word {number} ") for number in range(20)]
    batches = [batch(1, STARTED), *(batch(number, text) for number, text in enumerate(texts, 2))]
    assert logs.write(batches) == [Fate(is_written=True)] * 21
    log = logs.read(RUN)
    assert log is not None
    assert log.text == "".join(text.text for text in texts)
