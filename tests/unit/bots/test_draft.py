"""The events of an answer become what a chat is to show of it."""

from __future__ import annotations

import pytest

from clawgate.bots.draft import MAX_TEXT, MAX_THINKING, Cause, Draft
from clawgate.bots.message import Snapshot
from clawgate.bots.talk import Rules
from clawgate.bots.words import ZH
from clawgate.client.events import (
    Ended,
    Event,
    Failure,
    Ping,
    Reconnecting,
    Reset,
    Restarted,
    Resumed,
    Started,
    Text,
    Thinking,
    ToolCalls,
    Waiting,
)

RULES = Rules(ZH, ("停止",), ("继续",), ("/new",), is_thinking_shown=True)
STARTED = Started("bot_1", "run_1")
AWAY = Waiting("upstream_unreachable", 1)


def draft_of(*events: Event, rules: Rules = RULES) -> Draft:
    """A draft that has heard events."""
    draft = Draft(rules)
    for event in events:
        draft.hear(event)
    return draft


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], Snapshot()),
        ([STARTED], Snapshot()),
        ([STARTED, Text("春"), Ping(), Text("光\n")], Snapshot("春光\n")),
        ([STARTED, Thinking("H"), Thinking("m"), Text("春")], Snapshot("春", "Hm")),
        ([STARTED, AWAY], Snapshot(remark=ZH.waiting)),
        ([STARTED, Text("春"), AWAY, Waiting("upstream_unreachable", 2), Ping()], Snapshot("春", remark=ZH.waiting)),
        ([STARTED, Text("春"), AWAY, Resumed()], Snapshot("春")),
        ([STARTED, AWAY, Text("春")], Snapshot("春")),
        ([STARTED, Thinking("Hm"), AWAY, Restarted(), Thinking("Ah")], Snapshot("", "Ah")),
        ([STARTED, Text("春"), Reconnecting(1), Reconnecting(2)], Snapshot("春")),
        ([STARTED, Text("春"), Thinking("H"), AWAY, Reset("春光", "Hm")], Snapshot("春光", "Hm")),
        ([STARTED, Text("春"), Reset("")], Snapshot()),
        ([STARTED, ToolCalls(({},))], Snapshot()),
    ],
)
def test_a_snapshot_is_the_answer_as_it_stands(events: list[Event], expected: Snapshot) -> None:
    assert draft_of(*events).snapshot() == expected


def test_thinking_that_is_hidden_is_not_kept() -> None:
    rules = RULES._replace(is_thinking_shown=False)
    events = [Thinking("Hm"), Reset("", "Hm"), Thinking("Hm"), Text("春")]
    assert draft_of(STARTED, *events, rules=rules).snapshot() == Snapshot("春")


def test_long_thinking_is_cut_at_a_place_that_stays() -> None:
    draft = draft_of(STARTED, *[Thinking("Hmmm ")] * 799, Thinking("Hmmm "))
    assert draft.snapshot().thinking == "Hmmm " * 800
    for _ in range(3):
        draft.hear(Thinking("Ah" * MAX_THINKING))
        assert draft.snapshot().thinking == "Hmmm " * 800 + "…"


def test_a_long_text_is_full_and_takes_no_more() -> None:
    draft = draft_of(STARTED, Text("x" * (MAX_TEXT - 1)))
    assert not draft.is_full
    draft.hear(Text("yz"))
    draft.hear(Text("z"))
    assert draft.is_full
    assert draft.snapshot().text == "x" * (MAX_TEXT - 1) + "y"


@pytest.mark.parametrize(
    ("text", "reason", "cause", "remark"),
    [
        ("春", "stop", None, ""),
        ("春", "stop", Cause.STOPPED, ""),
        ("", "stop", None, ZH.empty),
        ("\n", "stop", None, ZH.empty),
        ("春", "interrupted", Cause.STOPPED, ZH.stopped),
        ("春", "superseded", Cause.STOPPED, ZH.stopped),
        ("", "interrupted", Cause.STOPPED, ZH.stopped),
        ("春", "interrupted", Cause.FORGOTTEN, ZH.stopped),
        ("春", "interrupted", Cause.SUPERSEDED, ZH.superseded),
        ("春", "superseded", None, ZH.superseded),
        ("春", "interrupted", Cause.RESTARTING, RULES.say(ZH.restarting)),
        ("春", "interrupted", Cause.TOO_LONG, RULES.say(ZH.shortened)),
        ("春", "interrupted", None, RULES.say(ZH.truncated)),
        ("春", "truncated", None, RULES.say(ZH.truncated)),
        ("春", "length", None, RULES.say(ZH.shortened)),
        ("春", "of the future", None, RULES.say(ZH.truncated)),
    ],
)
def test_an_end_has_its_remark(text: str, reason: str, cause: Cause | None, remark: str) -> None:
    draft = draft_of(STARTED, Text(text), AWAY)
    draft.end(Ended(reason), cause)
    assert draft.snapshot() == Snapshot(text, remark=remark, is_over=True)


@pytest.mark.parametrize(
    ("code", "remark", "is_failed"),
    [
        ("busy", ZH.busy, True),
        ("unreachable", ZH.away, True),
        ("not_a_gateway", ZH.away, True),
        ("shutting_down", ZH.away, True),
        ("unknown_session", ZH.away, True),
        ("upstream_unreachable", ZH.model_away, True),
        ("upstream_stalled", ZH.model_away, True),
        ("upstream_of_the_future", ZH.model_away, True),
        ("upstream_refused", RULES.say(ZH.refused_by_model), True),
        ("too_large", RULES.say(ZH.refused_by_model), True),
        ("model_not_found", ZH.model_missing, True),
        ("unauthorized", ZH.unauthorized, True),
        ("nothing_left", RULES.say(ZH.truncated), True),
        ("internal", RULES.say(ZH.failed, code="internal"), True),
        ("nothing_to_continue", ZH.nothing_to_continue, False),
        ("cannot_continue", ZH.cannot_continue, False),
    ],
)
def test_an_error_is_told_by_its_code_alone(code: str, remark: str, is_failed: bool) -> None:
    draft = draft_of(STARTED)
    draft.fail(Failure(code, "http://10.0.0.1 says no", "words of Ollama"))
    assert draft.snapshot() == Snapshot(remark=remark, is_over=True, is_failed=is_failed)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [("upstream_stalled", ZH.truncated), ("upstream_error", ZH.truncated), ("unknown_session", ZH.away)],
)
def test_an_error_in_the_middle_says_whether_the_answer_can_go_on(code: str, sentence: str) -> None:
    draft = draft_of(STARTED, Text("春"))
    draft.fail(Failure(code, "it ended"))
    assert draft.snapshot() == Snapshot("春", remark=RULES.say(sentence), is_over=True, is_failed=True)


def test_the_version_changes_with_what_is_to_be_seen_alone() -> None:
    draft = draft_of(STARTED, Text("春"))
    before = draft.version
    for event in (Ping(), Reconnecting(1), ToolCalls(())):
        draft.hear(event)
    assert draft.version == before
    draft.hear(AWAY)
    draft.hear(Waiting("upstream_unreachable", 2))
    assert draft.version == before + 1
