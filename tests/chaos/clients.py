"""The clients of the mixed load: each does its steps one after another on one session, and records what it sees.

A step may have another one within it, which is done once the answer has come to a phase: so an interrupt, a view or a
newer message meets an answer at its start, while it thinks, and in the middle of its text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.answers import FRAME, Plan, says
from tests.chaos.lives import Act, Life
from tests.chaos.teller import Teller
from tests.support.client import Reply, StreamClient
from tests.support.gateway import Gateway
from tests.support.sse import Event

LEAVING = ("close", "reset")
PHASES: dict[str, Callable[[Event], bool]] = {
    "start": lambda _: True,
    "thinking": lambda event: "thinking" in event.data or event.is_text,
    "text": lambda event: event.is_text,
    "end": lambda event: event.is_end,
}
"""The event that each phase begins with. Before them is "unread": the request was sent, and nothing is read."""


@dataclass(frozen=True)
class Step:
    """One thing to do; `pause` comes before it, in units of the load.

    Shape: `kind` is an act's, or "replay": `messages` with the history that the client knows. `by` is what an interrupt
    names. A chat is read to its end unless it is left (`way`) once `phase` is there; `then` is done at that moment.
    """

    kind: str
    plan: Plan = field(default_factory=Plan)
    pause: float = 0.0
    fields: tuple[tuple[str, Any], ...] = ()
    by: str = "session"
    prefill: int = 0
    padding: int = 0
    phase: str = "end"
    way: str = ""
    then: Step | None = None


class Client:
    """One client of one life.

    Threads: one; several clients may share a life.
    """

    def __init__(self, gateway: Gateway, teller: Teller, life: Life, unit_s: float) -> None:
        self._gateway = gateway
        self._teller = teller
        self._life = life
        self._unit_s = unit_s
        self._run_id = ""
        self._old_run_id = ""

    def do(self, step: Step) -> None:
        """Do a step; after a 404 send the whole history, as a client does."""
        time.sleep(step.pause * self._unit_s)
        if step.kind in ("interrupt", "delete", "view"):
            self._do_aside(step)
            return
        act = self._chat(step)
        if act.code == "unknown_session":
            self._chat(replace(step, kind="replay"))

    def _do_aside(self, step: Step) -> None:
        session_id = self._life.session_id
        path = f"/api/sessions/{session_id}"
        if step.kind == "interrupt":
            self._call(step.kind, lambda body: self._gateway.post("/api/interrupt", body), self._interrupt_of(step.by))
        elif step.kind == "delete":
            self._call(step.kind, lambda _: self._gateway.delete(path))
        else:
            act = self._call(step.kind, lambda _: self._gateway.get(path))
            if act.status == 200:
                self._life.known = [
                    {"role": message["role"], "content": message["content"]}
                    for message in act.reply["messages"]
                    if message["content"] and not (act.reply["streaming"] or message.get("refused"))
                ]

    def _interrupt_of(self, by: str) -> dict[str, Any]:
        session, run = {"session_id": self._life.session_id}, {"run_id": self._run_id}
        if by == "stale" and self._old_run_id:
            return {**session, "run_id": self._old_run_id}
        if by == "session" or not self._run_id:
            return session
        return {**session, **run} if by == "both" else run

    def _call(self, kind: str, ask: Callable[[dict[str, Any]], Reply], body: dict[str, Any] | None = None) -> Act:
        act = self._life.begin(kind, body or {})
        try:
            _take(act, ask(act.body))
        except (AssertionError, OSError) as error:
            act.fault = repr(error)[:300]
        act.over_at = time.monotonic()
        act.open_after = self._teller.open_of(self._life)
        return act

    def _chat(self, step: Step) -> Act:
        kind = "messages" if step.kind == "replay" else step.kind
        tag = "" if kind == "continue" else self._life.new_tag()
        act = self._life.begin(kind, self._body_of(step, tag), tag, step.plan)
        self._teller.expect(self._life, act)
        try:
            if act.is_streamed:
                self._stream(step, act)
            else:
                _take(act, self._gateway.post("/api/chat", act.body, {"X-Request-Id": act.name}))
                act.run_id = act.reply["run_id"] if act.status == 200 else ""
        except (AssertionError, OSError, ValueError, KeyError) as error:
            act.fault = repr(error)[:300]
        act.over_at = min(act.over_at, time.monotonic())
        return act

    def _body_of(self, step: Step, tag: str) -> dict[str, Any]:
        session = {"session_id": self._life.session_id} if self._life.session_id else {}
        question = {"role": "user", "content": f"{tag} {'x' * step.padding}"}
        said: dict[str, Any]
        if step.kind == "continue":
            said = {"continue": True}
        elif step.kind == "message":
            said = {"message": question["content"]}
        elif step.prefill:
            said = {"messages": [question, {"role": "assistant", "content": says(tag, 0, step.prefill * FRAME)}]}
        else:
            said = {"messages": [*(self._life.known if step.kind == "replay" else [SYSTEM]), question]}
        return {**session, **said, **dict(step.fields)}

    def _stream(self, step: Step, act: Act) -> None:
        with self._gateway.stream(act.body, headers={"X-Request-Id": act.name}) as stream:
            act.events = stream.events
            if step.phase != "unread" and not self._read_to(step.phase, stream, act):
                return
            if step.way in LEAVING:
                act.is_left = True
                act.over_at = time.monotonic()
                getattr(stream, step.way)()
                return
            if step.then is not None:
                self.do(step.then)
            if self._read_to("end", stream, act):
                stream.read_all()
                act.is_whole = stream.complete
                act.over_at = act.events[-1].at

    def _read_to(self, phase: str, stream: StreamClient, act: Act) -> bool:
        """Read up to a phase; False where the chat was refused."""
        act.status = stream.status
        if act.status != 200:
            _take(act, Reply(act.status, stream.headers, json.loads(stream.read_body())))
            return False
        act.run_id = stream.headers["X-Run-Id"]
        is_there = PHASES[phase]
        if not (act.events and (act.events[-1].is_end or phase == "start")):
            stream.read_until(lambda event: event.is_end or is_there(event))
        if act.run_id != self._run_id:
            self._run_id, self._old_run_id = act.run_id, self._run_id
        self._life.session_id = self._life.session_id or act.events[0].data["session_id"]
        return True


SYSTEM = {"role": "system", "content": "Be brief."}


def _take(act: Act, reply: Reply) -> None:
    act.status, act.reply = reply.status, reply.json
    if isinstance(reply.json, dict) and "error" in reply.json:
        act.code = reply.json["error"]["code"]
