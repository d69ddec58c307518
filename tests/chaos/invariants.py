"""The invariants of every act, whatever meets what: how streams begin and end, what they tell, and why they ended.

Each function is one invariant: its name names a violation, and it yields a sentence for each. They say only what is
certain, from what clients knew before they asked and after they were answered, and from when the model sent what.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

from tests.chaos.answers import FRAME, says, strangers, tag_of, thinks
from tests.chaos.lives import FOREVER, MODELS, Act, Asked, Life
from tests.support.sse import check

CLOSE_S = 5.0
"""A close of a connection may take so long on a busy machine; the contract gives it 50 ms."""
HELD_S = 0.5
"""A close waits so long at most behind its question: Ollama leaks a connection that is cut earlier."""
STATUSES = {
    "message": (200, 400, 404, 409, 502),
    "messages": (200, 400, 409, 502),
    "continue": (200, 400, 404, 409, 502),
    "interrupt": (200, 404),
    "delete": (204, 404),
    "view": (200, 404),
}


def every_act_is_answered(life: Life) -> Iterator[str]:
    """Each client that waits for an answer has one, of a status that the contract names."""
    for act in life.acts:
        if act.fault and not act.events:
            yield f"{act.name}: {act.fault}"
        elif act.status is None and not act.is_left:
            yield f"{act.name} was never answered"
        elif act.status is not None and (
            act.status not in STATUSES[act.kind] or (act.status == 400 and act.code != "upstream_refused")
        ):
            yield f"{act.name}: status {act.status} {act.code}"


def one_end_and_it_is_last(life: Life) -> Iterator[str]:
    """A stream that is read to its end has one end event, last, and the terminating chunk behind it."""
    for act in _read_streams(life):
        try:
            assert not act.fault, act.fault
            assert act.is_whole, "the terminating chunk is missing"
            check(act.events)
        except AssertionError as error:
            yield f"{act.name}: {error}"


def ids_count_up(life: Life) -> Iterator[str]:
    """The events' ids are the run's, and count up from 1 without a gap."""
    for act in life.chats:
        ids = [event.id for event in act.events if not event.is_ping]
        if ids != [f"{act.run_id}:{number}" for number in range(1, len(ids) + 1)]:
            yield f"{act.name}: {ids}"


def a_stream_names_its_run(life: Life) -> Iterator[str]:
    """The start and the end say the session that was asked, one run of its own, and a model that is allowed."""
    runs = Counter(act.run_id for act in life.chats if act.run_id)
    yield from (f"{run_id} is the run of {number} acts" for run_id, number in runs.items() if number > 1)
    for act in life.chats:
        named = [event.data for event in act.events if "run_id" in event.data]
        named += [act.reply] if act.status == 200 and not act.is_streamed else []
        wrong = [data for data in named if (data["session_id"], data["run_id"]) != (life.session_id, act.run_id)]
        wrong += [data for data in named[:1] if data["model"] not in MODELS]
        if wrong:
            yield f"{act.name} of {life.session_id}, {act.run_id}: {wrong}"


def text_is_what_the_model_said(life: Life) -> Iterator[str]:
    """Text is a prefix of the answer to this very question, no longer than what was sent, and all of it at its end."""
    for act in life.chats:
        told, asked = act.told, act.asked
        tag = question_of(asked[0]) if asked else act.tag
        base = asked[0].base if asked else 0
        sent = max((each.base + each.sent for each in asked), default=0)
        if told != says(tag, base, base + len(told)):
            yield f"{act.name}: {told!r} is not what {tag} is answered with from {base} on"
        elif base + len(told) > sent and told:
            yield f"{act.name}: {base + len(told)} characters were told, {sent} sent"
        elif (
            act.reason == act.plan.reason and act.status == 200 and base + len(told) != asked[-1].base + asked[-1].sent
        ):
            yield f"{act.name} ended as {act.reason}: {base + len(told)} characters told, {sent} sent"
        elif act.reason == "stop" and act.plan.ending != "empty" and len(told) < act.plan.words * FRAME:
            yield f"{act.name} ended as stop: {len(told)} of {act.plan.words * FRAME} characters were told"


def thinking_is_what_the_model_thought(life: Life) -> Iterator[str]:
    """Thinking is a prefix of what the model thinks of this question, and no more than was sent."""
    for act in life.chats:
        thought = act.thought
        sent = max((each.thoughts_sent for each in act.asked), default=0)
        if thought and thought != thinks(question_of(act.asked[0]), len(thought)):
            yield f"{act.name}: {thought!r}"
        elif len(thought) > sent:
            yield f"{act.name}: {len(thought)} characters of thinking were told, {sent} sent"


def nothing_is_told_of_others(life: Life) -> Iterator[str]:
    """Neither a client nor the model hears a word of another session."""
    for act in life.acts:
        told = "".join(event.raw.decode() for event in act.events) + json.dumps(act.reply)
        told += "".join(content for each in act.asked for _, content in each.messages)
        if found := strangers(told, life.number):
            yield f"{act.name} was told of {sorted(found)}"


def an_end_has_its_cause(life: Life) -> Iterator[str]:
    """An answer ends as its plan wants it, or because somebody interrupted, deleted or superseded it."""
    for act in life.chats:
        reason = act.reason
        if not act.is_admitted or act.is_left or not reason or act.fault:
            continue
        if reason == "interrupted":
            if not any(_interrupts(other, act) for other in life.acts):
                yield f"{act.name} ended as interrupted, and nobody did that"
        elif reason == "superseded":
            others = [other for other in life.chats if other is not act and other.may_be_admitted]
            if not any(other.meets(act) and other.body.get("on_busy") != "reject" for other in others):
                yield f"{act.name} ended as superseded, and no other was admitted"
        elif reason != act.plan.reason:
            yield f"{act.name} ended as {reason}, and its plan was {act.plan.ending}"
        elif not act.asked or act.asked[-1].ending_at == FOREVER:
            yield f"{act.name} ended as {reason}, and the model had not ended it"


def an_interrupt_ends_one_run(life: Life) -> Iterator[str]:
    """The run that an interrupt says it hit ended as interrupted, was hit once, and was the one that was named."""
    hits = [act for act in life.acts if _is_hit(act)]
    for run_id, number in Counter(hit.reply["run_id"] for hit in hits).items():
        ended = {act.reason for act in life.chats if act.run_id == run_id and not act.is_left}
        if number > 1 or ended - {"interrupted", ""}:
            yield f"{run_id} was interrupted {number} times and ended as {ended}"
    for hit in hits:
        if hit.body.get("run_id", hit.reply["run_id"]) != hit.reply["run_id"]:
            yield f"{hit.name} wanted {hit.body['run_id']} and hit {hit.reply['run_id']}"


def an_interrupt_closes_upstream(life: Life) -> Iterator[str]:
    """Once an interrupt or a delete is answered, the connection of what it ended is closed, or may be held yet."""
    for cut in life.acts:
        for act, asked in life.asked:
            is_cut = (
                act.run_id == cut.reply["run_id"]
                if _is_hit(cut)
                else cut.status == 204 and act.started_at < cut.sent_at
            )
            is_held = cut.over_at < asked.request.arrived + HELD_S
            if is_cut and asked.request.connection in cut.open_after and not is_held:
                yield f"{cut.name} was answered while connection {asked.request.connection} of {act.name} was open"


def every_end_closes_upstream(life: Life) -> Iterator[str]:
    """Once an answer is over, and once its client has left, the model's connection is closed."""
    for act, asked in life.asked:
        if asked.is_dropped or asked.ending_at < FOREVER:  # the model has ended it
            continue
        if (asked.request.closed_at or time.monotonic()) > act.over_at + CLOSE_S:
            yield f"{act.name}: connection {asked.request.connection} was not closed within {CLOSE_S:g} s of its end"


def one_connection_at_a_time(life: Life) -> Iterator[str]:
    """No question of a session comes to the model while an earlier answer's connection is open at the gateway."""
    for act, asked in life.asked:
        if asked.overlaps:
            yield f"{act.name} was asked while {asked.overlaps} were open"


def question_of(asked: Asked) -> str:
    """Return the tag of the question that the model was asked."""
    return tag_of(next((content for role, content in reversed(asked.messages) if role == "user"), ""))


def refused_by(life: Life) -> set[str]:
    """Return the tags of the questions that the model has refused; a `continue` may have asked another act's."""
    return {question_of(act.asked[-1]) for act in life.chats if act.may_be_refused}


def _read_streams(life: Life) -> Iterator[Act]:
    return (act for act in life.chats if act.is_streamed and act.status == 200 and not act.is_left)


def _is_hit(act: Act) -> bool:
    return act.kind == "interrupt" and act.status == 200 and act.reply["interrupted"]


def _interrupts(other: Act, act: Act) -> bool:
    if other.kind == "delete":
        return other.status == 204 and other.meets(act)
    return _is_hit(other) and other.reply["run_id"] == act.run_id
