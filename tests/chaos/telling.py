"""A life told in the order of time, so that what happened is understood without running it again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from tests.chaos.lives import FOREVER, Act, Life
from tests.support.sse import Event


def in_order(life: Life) -> str:
    """Tell what clients did and saw and what the model was asked, a line each."""
    lines = [line for act in life.acts for line in _lines_of(act)]
    began_at = min((at for at, _ in lines), default=0.0)
    told = [f"  {1000 * (at - began_at):8.1f} ms  {words}" for at, words in sorted(lines)]
    return "\n".join([f"session {life.session_id}, life {life.number}:", *told])


def _lines_of(act: Act) -> Iterator[tuple[float, str]]:
    given = {name: _short(str(value)) for name, value in act.body.items() if name != "session_id"}
    yield act.sent_at, f"{act.name} {act.kind} {given}" + (f" {act.plan}" if act.is_chat else "")
    for kind, group in groupby(act.events, key=_kind_of):
        events = list(group)
        told = "".join(event.text or event.data.get("thinking", "") for event in events)
        words = f" {len(events)} × {_short(told)}" if told else f" {events[-1].data}" * (kind != "ping")
        yield events[-1].at, f"{act.name}   < {kind}{words}"
    if act.over_at < FOREVER:
        said = "left" if act.is_left else f"{act.status} {act.code}{'' if act.events else _short(str(act.reply or ''))}"
        yield act.over_at, f"{act.name}   = {said} {act.fault}"
    for asked in act.asked:
        prompt = [f"{role[0]}:{_short(content)}" for role, content in asked.messages]
        yield asked.request.arrived, f"{act.name}      model asked on {asked.request.connection}: {prompt}"
        for which in asked.overlaps:
            yield asked.request.arrived, f"{act.name}      !! while {which} was open"
        if asked.ending_at < FOREVER:
            yield asked.ending_at, f"{act.name}      model ends it, {asked.sent} characters sent"
        if (closed_at := asked.request.closed_at) is not None:
            yield closed_at, f"{act.name}      gateway closed {asked.request.connection}, {asked.sent} characters sent"


def _kind_of(event: Event) -> str:
    if event.is_end:
        return "end"
    if event.is_ping:
        return "ping"
    return "text" if event.is_text else "thinking" if "thinking" in event.data else event.data.get("status", "start")


def _short(text: str) -> str:
    text = re.sub(r"\s+", " ", text)
    return text if len(text) < 60 else f"{text[:28]}…{text[-28:]}({len(text)})"
