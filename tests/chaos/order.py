"""The invariants of order: a run in flight is found, one that is over is remembered, and what was deleted is gone.

Each function is one invariant, as in invariants.py. "Before" is certain: the one was over for its client before the
other was sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.answers import tag_of
from tests.chaos.invariants import refused_by
from tests.chaos.lives import FOREVER, Act, Life


def what_is_in_flight_is_found(life: Life) -> Iterator[str]:
    """While an answer is certainly in flight and nobody deleted it, there is no 404 and every interrupt hits."""
    for act in life.acts:
        is_missed = act.kind == "interrupt" and act.status == 200 and not act.reply["interrupted"]
        is_let_in = act.is_admitted and act.body.get("on_busy") == "reject"
        if not (act.status == 404 or is_missed or is_let_in):
            continue
        for run in _in_flight(life, act):
            if act.body.get("run_id", run.run_id) == run.run_id:
                yield f"{act.name}: {act.outcome}, while {run.name} was in flight"


def busy_means_in_flight(life: Life) -> Iterator[str]:
    """A chat is refused as busy only where another answer may be in flight."""
    for act in life.chats:
        others = [other for other in life.chats if other is not act and other.may_be_admitted]
        if act.code == "busy_session" and not any(other.meets(act) for other in others):
            yield f"{act.name} was refused as busy, and no other was there"


def nothing_admitted_is_lost(life: Life) -> Iterator[str]:
    """Every question that was over before another one came is in that one's prompt, unless all began anew.

    One that the model refused is not, nor need one be that was cut before its answer, where the model refused two.
    """
    refused = refused_by(life)
    refusals = sum(act.may_be_refused for act in life.chats)
    anew = [act for act in life.acts if (act.kind == "messages" and act.may_be_admitted) or act.status == 204]
    for act in life.chats:
        if act.kind == "messages" or not act.asked:
            continue
        asked = _questions_of(act)
        for run in life.chats:
            is_over = run.tag and run.is_admitted and not run.is_left and run.over_at < act.sent_at
            if run.tag in refused or (not run.told and not run.thought and refusals > 1):
                continue
            if is_over and run.tag not in asked and not any(_is_between(each, run, act) for each in anew):
                yield f"{act.name} was asked without {run.tag}, which {run.name} had asked before"


def what_is_deleted_is_gone(life: Life) -> Iterator[str]:
    """Nothing that was asked before a delete comes back after it, unless a client gives it again."""
    for delete in life.acts:
        if delete.kind != "delete" or delete.status != 204:
            continue
        gone = {act.tag for act in life.chats if act.tag and act.started_at < delete.sent_at}
        for act in life.chats:
            if act.kind == "messages" and act.over_at > delete.sent_at:
                gone -= {tag_of(message["content"]) for message in act.body["messages"]}
        for act in life.chats:
            if act.kind != "messages" and act.sent_at > delete.over_at and (found := gone & _questions_of(act)):
                yield f"{act.name} was asked with {sorted(found)}, which {delete.name} had deleted"


def _questions_of(act: Act) -> set[str]:
    return {tag_of(content) for asked in act.asked for role, content in asked.messages if role == "user"}


def _is_between(other: Act, first: Act, second: Act) -> bool:
    if other.is_left:
        return True
    return other is not first and other.over_at > first.sent_at and other.sent_at < second.over_at


def _in_flight(life: Life, seen: Act) -> Iterator[Act]:
    """Yield the answers that were certainly in flight all the while an act lasted.

    Its start event was read before, the model began its end only afterwards, and no other act might have ended it.
    """
    for run in life.chats:
        if run.started_at > seen.sent_at or run.is_left or run is seen:
            continue
        ending_at = min((each.ending_at for each in run.asked), default=FOREVER)
        others = [
            each
            for each in life.acts
            if each not in (run, seen) and each.kind != "view" and each.sent_at < seen.over_at
        ]
        if ending_at > seen.over_at and not any(each.status != 404 and each.meets(run) for each in others):
            yield run


def what_is_refused_is_left_out(life: Life) -> Iterator[str]:
    """No prompt has a question that a client knew to be refused, unless it is asked again or given anew."""
    for run in life.chats:
        if not run.tag or run.reason != "upstream_refused":
            continue
        for act in life.chats:
            if act.kind != "message" or act.sent_at < run.over_at or run.tag not in _questions_of(act):
                continue
            others = [other for other in life.chats if other not in (run, act) and other.sent_at < act.over_at]
            if not any(other.kind in ("continue", "messages") and other.over_at > run.sent_at for other in others):
                yield f"{act.name} was asked with {run.tag}, which was refused"
