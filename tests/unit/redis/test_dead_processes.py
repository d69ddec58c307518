"""Processes that die, or know nothing of their own runs: their sessions are free, and what they wrote down is kept."""

from __future__ import annotations

import threading

import pytest

from clawgate.redis.peers import Request
from clawgate.relay.events import Ended, Started
from tests.support.redis import RedisServer
from tests.support.tools import wait_for
from tests.unit.redis.two_desks import Process, read, text_of
from tests.unit.relay.desk_room import QUESTION


def refuse(_: threading.Thread) -> None:
    """Refuse to start a thread, as a machine does that has no room for one."""
    raise RuntimeError("can't start new thread")


def test_the_answer_of_a_dead_process_is_what_it_has_written_down(pair: list[Process]) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    logs = there.peers._logs
    wait_for(lambda: (log := logs.read(reader.run.run_id)) and log.text, "it is written down")
    follower = read(there)
    assert isinstance(next(follower), Started)
    here.vanish()
    wait_for(lambda: there.desk.session("s").run_id is None, "the dead process's answer is settled")
    assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]
    events = list(follower)
    assert text_of(events) == "one "
    assert isinstance(events[-1], Ended)
    assert events[-1].done_reason == "interrupted"
    here.exchange(0).say("late", is_done=True)
    assert reader.end().done_reason == "stop"
    assert there.messages() == [("user", "q", False), ("assistant", "one ", True)]


def test_a_log_that_cannot_be_read_keeps_no_session_taken(pair: list[Process], shared: RedisServer) -> None:
    """As of a process of another version, which has died; those that died after it are settled too."""
    here, there = pair
    log_of = here.link.key("log", here.ask("damaged").run.run_id)
    here.exchange(said="one ")
    here.ask("whole")
    here.exchange(1, said="two ")
    client = shared.client()
    wait_for(lambda: client.xlen(log_of), "it is written down")
    here.vanish()
    client.delete(log_of)
    client.xadd(log_of, {"first": 1, "events": '[["started",{"of":"another version"}]]'}, "7-0")
    for session_id, said in (("damaged", ""), ("whole", "two ")):
        wait_for(lambda name=session_id: there.desk.session(name).run_id is None, "it is settled")  # type: ignore[misc]
        assert there.messages(session_id)[-1] == ("assistant", said, True)


def test_many_runs_of_a_dead_process_keep_no_other_from_its_own(
    pair: list[Process], shared: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    for session_id in "ab":
        here.ask(session_id)
    beat = there.peers._beat
    assert beat is not None
    beat._is_over.set()  # no turn but those of the test
    there.desk._mirror.wake()
    beat._thread.join()
    monkeypatch.setattr("clawgate.redis.beat.BURY_S", 0)
    here.vanish()
    beat._bury()
    assert sorted(there.store.head(session_id).run_id is None for session_id in "ab") == [False, True]
    assert beat._has_dead
    beat._bury()
    beat._bury()
    assert [there.store.head(session_id).run_id for session_id in "ab"] == [None, None]
    assert not beat._has_dead
    assert shared.client().zscore(here.link.key("processes"), here.peers._process) is None


def test_a_process_is_known_by_its_runs_however_long_they_take(pair: list[Process], shared: RedisServer) -> None:
    here, _ = pair
    here.ask()
    runs = here.link.key("runs", here.peers._process)
    client = shared.client()
    client.pexpire(runs, 5_000)
    assert here.peers._beat is not None
    here.peers._beat._renew()
    assert client.ttl(runs) > 1_000


def test_a_question_does_not_wait_for_a_dead_process(pair: list[Process]) -> None:
    here, there = pair
    here.ask()
    here.exchange(said="one ")
    here.vanish()
    second = there.ask(messages=(QUESTION,))
    there.exchange(said="two").say(is_done=True)
    assert second.end().done_reason == "stop"
    assert there.messages() == [("user", "q", False), ("assistant", "two", False)]


def test_a_process_without_a_thread_to_spare_listens_again_once_it_has_one(
    pair: list[Process], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here, there = pair
    reader = here.ask()
    here.exchange(said="one ")
    with monkeypatch.context() as patch:
        patch.setattr("concurrent.futures.thread.threading.Thread.start", refuse)
        assert there.peers._push(Request("leave", reader.run.run_id, ""))
        wait_for(lambda: "the inbox of this process has failed" in caplog.text, "it has no thread")
    assert there.desk.interrupt("s", None).interrupted
    assert reader.end().done_reason == "interrupted"


def test_a_run_that_nobody_makes_does_not_keep_its_session(pair: list[Process]) -> None:
    """A `begin` that was given up may be taken later, as after a hang of Redis."""
    here, there = pair
    run_id = here.peers.name_run()
    here.store.begin("s", run_id, (QUESTION,))
    beat = here.peers._beat
    assert beat is not None
    beat._sweep()
    assert there.store.head("s").run_id == run_id
    beat._sweep()
    assert there.store.head("s").run_id is None
    assert there.messages() == [("user", "q", False), ("assistant", "", True)]
    reader = here.ask("other")
    for _ in range(3):
        beat._sweep()
    assert not reader.run.has_outcome
