"""An answer over several connections: nothing twice, nothing lost, and no question asked twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from clawgate.client import Answer, ClientError, Gateway, NotAGateway, NothingLeft, Patience, Refused, Unreachable
from clawgate.client.events import Ended, Event, Ping, Reconnecting, Reset, Started, Text
from tests.support.tools import DEADLINE_S, wait_for
from tests.unit.client.fake_gateway import (
    RUN,
    SESSION,
    FakeGateway,
    Step,
    begun,
    drop,
    end,
    ended,
    failed,
    hang,
    head,
    reply,
    sse,
    wait,
)

QUICK = Patience(silence_s=5.0, lost_s=5.0, pause_s=0.01, longest_pause_s=0.02)
IMPATIENT = Patience(silence_s=0.15, lost_s=0.5, pause_s=0.01, longest_pause_s=0.02)
"""For a silence that is a part of the test; a busy machine makes such silences by itself."""
STARTED = Started(SESSION, RUN, "qwen3:32b")
STREAM = f"/api/sessions/{SESSION}/stream"


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    """A gateway that does what it is told."""
    with FakeGateway() as gateway:
        yield gateway


def ask(fake: FakeGateway, patience: Patience = QUICK) -> Answer:
    """Ask, on a session that is there."""
    return Gateway(fake.url, patience=patience).ask({"message": "hi", "session_id": SESSION})


def heard(answer: Answer) -> list[Event]:
    """Read an answer to its end; how often it was tried to connect again does not matter."""
    return [event for event in answer if not isinstance(event, Reconnecting)]


def test_an_answer_is_told_to_its_end(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "春", "ping", "光", ended()), end)
    answer = ask(fake)
    assert heard(answer) == [STARTED, Text("春"), Ping(), Text("光"), Ended("stop")]
    assert (answer.session_id, answer.run_id) == (SESSION, RUN)
    (request,) = fake.requests
    assert request.json == {"on_disconnect": "detach", "message": "hi", "session_id": SESSION, "stream": True}
    assert request.headers["Accept"] == "text/event-stream"


@pytest.mark.parametrize("cut", [drop, end, hang], ids=["dropped", "ended", "silent"])
def test_a_lost_connection_is_made_anew_behind_the_last_event(fake: FakeGateway, cut: Step) -> None:
    fake.script(sse(begun(), "a", "ping"), cut)
    fake.script(drop)
    fake.script(failed(503, "busy"))
    fake.script(reply(502, b"<html>Bad Gateway", "text/html"))
    fake.script(sse("ping", "b", first=3), drop)
    fake.script(sse(ended(), first=4), end)
    answer = ask(fake, IMPATIENT if cut is hang else QUICK)
    assert heard(answer) == [STARTED, Text("a"), Ping(), Ping(), Text("b"), Ended("stop")]
    assert fake.asked == ["POST /api/chat", *[f"GET {STREAM}"] * 5]
    places = [request.headers["Last-Event-ID"] for request in fake.requests[1:]]
    assert places == [f"{RUN}:2"] * 4 + [f"{RUN}:3"]


@pytest.mark.parametrize("cut", [drop, hang], ids=["dropped", "silent"])
def test_a_question_whose_head_is_lost_is_asked_under_the_same_key(fake: FakeGateway, cut: Step) -> None:
    fake.script(cut)
    fake.script(sse(begun(), ended()), end)
    assert heard(ask(fake, IMPATIENT if cut is hang else QUICK)) == [STARTED, Ended("stop")]
    first, second = fake.requests
    assert (first.body, second.body) == (second.body, first.body)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    fake.script(sse(begun(), ended()), end)
    heard(ask(fake))
    assert fake.requests[2].headers["Idempotency-Key"] != first.headers["Idempotency-Key"]


def test_a_silence_is_waited_for_longer_each_time(fake: FakeGateway) -> None:
    fake.script(sse(begun()), hang)
    fake.script(sse(first=2), hang)
    fake.script(sse("late", ended(), first=2), end)
    heard(ask(fake, IMPATIENT))
    first, second = fake.requests[0], fake.requests[1]
    gaps = [(request.closed_at or 0) - request.arrived for request in (first, second)]
    assert gaps[0] > 0.14, "30 s as a rule"
    assert gaps[1] > 0.28, "and then 60"


def test_a_connection_that_stays_lost_is_given_up(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "a"), drop)
    answer = iter(ask(fake, IMPATIENT))
    assert [next(answer), next(answer)] == [STARTED, Text("a")]
    assert next(answer) == Reconnecting(1)
    fake.stop()
    with pytest.raises(Unreachable, match=r"no gateway answers at .*: connection refused"):
        list(answer)


def test_a_gateway_that_was_never_there_is_told_at_once(fake: FakeGateway) -> None:
    fake.stop()
    with pytest.raises(Unreachable, match=r"no gateway answers at http://127\.0\.0\.1:.*: connection refused"):
        next(iter(ask(fake, Patience())))


@pytest.mark.parametrize("status", [400, 404, 409, 503])
def test_a_refusal_is_told_at_once(fake: FakeGateway, status: int) -> None:
    fake.script(failed(status, "a_code", "its words"))
    with pytest.raises(Refused, match="its words") as found:
        next(iter(ask(fake, Patience())))
    assert (found.value.status, found.value.code) == (status, "a_code")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(200, {"hello": 1}), "is no gateway"),
        (reply(404, b"<html>", "text/html"), r"is no gateway \(404 Not Found, text/html\)"),
        (reply(500, {"error": "plain"}), "is no gateway"),
        (head(302, "Location: /login\r\n"), "leads elsewhere .*: a sign-in?"),
        (sse({"message": 1}), "not an event of a gateway"),
    ],
)
def test_what_is_no_gateway_is_named(fake: FakeGateway, answer: Step, words: str) -> None:
    fake.script(answer, end)
    with pytest.raises(NotAGateway, match=words):
        list(ask(fake))
    assert len(fake.requests) == 1


def test_a_newer_answer_of_the_session_is_not_taken_for_this_one(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "a"), drop)
    reset = {"status": "reset", "session_id": SESSION, "run_id": "run_2", "text": "other", "message": ""}
    fake.script(sse(reset), hang)
    assert heard(ask(fake)) == [STARTED, Text("a"), Ended("superseded")]


def test_a_place_that_is_gone_gets_all_so_far(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "a"), drop)
    reset = {"status": "reset", "session_id": SESSION, "run_id": RUN, "text": "abc", "message": ""}
    fake.script(sse(reset, ended(), first=9), end)
    assert heard(ask(fake)) == [STARTED, Text("a"), Reset("abc", "", (), SESSION, RUN), Ended("stop")]


def test_an_answer_that_is_kept_no_more_is_lost(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "a"), drop)
    fake.script(reply(204))
    with pytest.raises(NothingLeft):
        list(ask(fake))


def test_a_session_is_followed(fake: FakeGateway) -> None:
    fake.script(sse(begun(), "a"), drop)
    fake.script(sse("b", ended(), first=3), end)
    answer = Gateway(fake.url, patience=QUICK).follow(SESSION)
    assert heard(answer) == [STARTED, Text("a"), Text("b"), Ended("stop")]
    assert [request.headers.get("Last-Event-ID") for request in fake.requests] == [None, f"{RUN}:2"]
    fake.script(sse("b", ended(), first=3), end)
    assert heard(Gateway(fake.url).follow(SESSION, f"{RUN}:2")) == [Text("b"), Ended("stop")]


INTERRUPTED = {"session_id": SESSION, "run_id": RUN, "interrupted": True, "partial": "a"}


def test_an_interrupt_names_the_run_and_the_end_is_read(fake: FakeGateway) -> None:
    is_told = threading.Event()
    fake.script(sse(begun(), "a"), wait(is_told), sse(ended("interrupted"), first=3), end)
    fake.script(lambda _: is_told.set(), reply(200, INTERRUPTED))
    events: list[Event] = []
    answer = ask(fake, Patience())
    for event in answer:
        events.append(event)
        if event == Text("a"):
            done = answer.interrupt()
            assert done is not None
            assert done.partial == "a"
    assert events == [STARTED, Text("a"), Ended("interrupted")]
    assert fake.requests[1].json == {"session_id": SESSION, "run_id": RUN}


def test_an_interrupt_before_the_start_is_told_behind_it(fake: FakeGateway) -> None:
    may_begin, is_told = threading.Event(), threading.Event()
    fake.script(wait(may_begin), sse(begun()), wait(is_told), sse(ended("interrupted"), first=2), end)
    fake.script(lambda _: is_told.set(), reply(200, INTERRUPTED))
    answer = ask(fake, Patience())
    events: list[Event] = []
    reader = threading.Thread(target=lambda: events.extend(answer))
    reader.start()
    wait_for(lambda: fake.requests, "the question arrives")
    assert answer.interrupt() is None
    may_begin.set()
    reader.join()
    assert events == [STARTED, Ended("interrupted")]
    assert fake.asked == ["POST /api/chat", "POST /api/interrupt"]


def test_a_question_that_is_not_wanted_any_more_is_not_sent(fake: FakeGateway) -> None:
    answer = ask(fake)
    assert answer.interrupt() is None
    assert list(answer) == [Ended("interrupted")]
    assert fake.requests == []


def test_a_question_that_is_not_wanted_any_more_is_not_asked_again(fake: FakeGateway) -> None:
    is_there, may_drop = threading.Event(), threading.Event()
    fake.script(lambda _: is_there.set(), wait(may_drop), drop)
    answer = ask(fake)
    events: list[Event] = []
    reader = threading.Thread(target=lambda: events.extend(answer))
    reader.start()
    assert is_there.wait(DEADLINE_S)
    assert answer.interrupt() is None
    may_drop.set()
    reader.join()
    assert events == [Ended("interrupted")]
    assert len(fake.requests) == 1


@pytest.mark.parametrize("is_lost", [False, True])
def test_an_answer_that_is_closed_is_read_no_more(fake: FakeGateway, is_lost: bool) -> None:
    fake.script(sse(begun(), "a", "ping"), drop if is_lost else hang)
    answer = ask(fake, Patience(silence_s=5, pause_s=5))
    for event in answer:
        if event in (Ping(), Reconnecting(1)):
            answer.close()
            if event == Reconnecting(1):
                break
    assert len(fake.requests) == 1


def test_short_calls(fake: FakeGateway) -> None:
    upstream = {"reachable": False, "version": None, "model_ready": False}
    fake.script(reply(200, {"model": "m", "upstream": upstream, "streams": 1, "max_streams": 9, "more": 1}))
    assert Gateway(fake.url).status().upstream.reachable is False
    fake.script(reply(200, {"session_id": SESSION, "messages": [{"role": "user", "content": "hi"}], "turns": 1}))
    assert Gateway(fake.url).session(SESSION).messages == [{"role": "user", "content": "hi"}]
    fake.script(reply(204))
    Gateway(fake.url).forget(SESSION)
    fake.script(reply(200, INTERRUPTED))
    assert Gateway(fake.url).interrupt(SESSION).interrupted
    assert fake.requests[-1].json == {"session_id": SESSION}
    fake.script(reply(200, ["no status"]))
    with pytest.raises(NotAGateway):
        Gateway(fake.url).status()
    fake.script(drop)
    with pytest.raises(ClientError, match="the connection to the gateway was lost"):
        Gateway(fake.url).status()
