"""The life of one session, as its clients and the model recorded it: what the invariants judge.

A life is all that is done under one session's id, by one client or by several at once. Its acts are what clients did
and saw; each act that reached the model has what the model was asked for it. Nothing is judged here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.answers import Plan
from tests.support.ollama import DEFAULT_MODEL
from tests.support.record import Request
from tests.support.sse import Event, text_of, thinking_of

FOREVER = float("inf")
MODELS = (DEFAULT_MODEL, "other:1b")
"""The models that a run may have: reloads change it."""


@dataclass(eq=False)
class Asked:
    """One request of the gateway's to the model. A byte counts as sent from just before it goes to the kernel."""

    request: Request
    base: int
    """The length of the partial text that the request brings along."""
    sent: int = 0
    thoughts_sent: int = 0
    ending_at: float = FOREVER
    """The time at which the model began to send the answer's end; none where the client closed first."""
    is_dropped: bool = False
    """True where the model ended it without an end, so that it is asked again."""
    is_over: bool = False
    """True where the model has nothing more to do with it."""
    overlaps: list[int] = field(default_factory=list)
    """The earlier requests of the session that the gateway had certainly not closed when this one came."""

    @property
    def messages(self) -> list[tuple[str, str]]:
        """The prompt, as pairs of role and content; without empty answers, which say nothing."""
        return [(message["role"], message["content"]) for message in self.request.messages if message["content"]]


@dataclass(eq=False)
class Act:
    """One thing that a client did, and what it saw of it.

    Units: times are `time.monotonic()`; `sent_at` is before the first byte left, `over_at` after the last was read.
    """

    name: str
    kind: str
    body: dict[str, Any] = field(default_factory=dict)
    tag: str = ""
    plan: Plan = field(default_factory=Plan)
    sent_at: float = field(default_factory=time.monotonic)
    over_at: float = FOREVER
    status: int | None = None
    """None while nothing was answered, and for ever where the client left before."""
    code: str = ""
    reply: Any = None
    events: list[Event] = field(default_factory=list)
    run_id: str = ""
    is_left: bool = False
    is_whole: bool = False
    """True where the stream was read to its proper end."""
    fault: str = ""
    """The error of the strict reader, or of the act itself."""
    asked: list[Asked] = field(default_factory=list)
    open_after: list[int] = field(default_factory=list)
    """The session's connections to the model that the gateway certainly had open when it was over."""

    @property
    def is_chat(self) -> bool:
        """True where it asks for an answer."""
        return self.kind in ("message", "messages", "continue")

    @property
    def is_streamed(self) -> bool:
        """True where the answer comes as events."""
        return self.is_chat and self.body.get("stream", True)

    @property
    def is_admitted(self) -> bool:
        """True where the gateway has certainly made a run of it."""
        return self.is_chat and (self.status == 200 or self.code.startswith("upstream_") or bool(self.asked))

    @property
    def may_be_admitted(self) -> bool:
        """True where the gateway may have made a run of it: nobody knows of a client that left at once."""
        return self.is_admitted or (self.is_chat and self.status is None)

    @property
    def may_be_refused(self) -> bool:
        """True where the model has refused it, unless that came too late."""
        return self.plan.ending == "refused" and bool(self.asked)

    @property
    def started_at(self) -> float:
        """The time at which the client knew that its run is in flight."""
        return self.events[0].at if self.events else FOREVER

    def meets(self, other: Act) -> bool:
        """Tell whether the two may have been at the gateway together; one that was left may stay for a while."""
        ends = (FOREVER if act.is_left else act.over_at for act in (self, other))
        return other.sent_at < next(ends) and self.sent_at < next(ends)

    @property
    def told(self) -> str:
        """The text that the client was told."""
        return text_of(self.events) if self.is_streamed else str((self.reply or {}).get("message", ""))

    @property
    def thought(self) -> str:
        """The thinking that the client was told."""
        return thinking_of(self.events) if self.is_streamed else str((self.reply or {}).get("thinking", ""))

    @property
    def reason(self) -> str:
        """The answer's reason, or its error's code; "" where the client does not know."""
        if self.code:
            return self.code
        end = self.events[-1].data if self.events and self.events[-1].is_end else self.reply or {}
        return str(end["error"]["code"] if "error" in end else end.get("done_reason", "")) if self.is_chat else ""

    @property
    def outcome(self) -> str:
        """The act and what came of it, to be counted."""
        if self.is_chat:
            came = "left" if self.is_left else self.reason or str(self.status)
        elif self.kind == "interrupt" and self.status == 200:
            came = "hit" if self.reply["interrupted"] else "nothing to interrupt"
        else:
            came = self.code or str(self.status)
        return f"{self.kind}: {came}"


@dataclass(eq=False)
class Life:
    """All that is done under one session's id.

    Threads: `lock` guards the lists, which only grow while the life goes on.
    """

    number: int
    session_id: str | None
    acts: list[Act] = field(default_factory=list)
    known: list[dict[str, str]] = field(default_factory=list)
    """The history that its clients know: what they saw last."""
    tags: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, kind: str, body: dict[str, Any], tag: str = "", plan: Plan | None = None) -> Act:
        """Record that a client is about to do something."""
        with self.lock:
            act = Act(f"L{self.number}a{len(self.acts)}", kind, body, tag, plan or Plan())
            self.acts.append(act)
            return act

    def new_tag(self) -> str:
        """Name another question."""
        with self.lock:
            self.tags += 1
            return f"L{self.number}q{self.tags}"

    @property
    def chats(self) -> list[Act]:
        """The acts that ask for an answer."""
        return [act for act in self.acts if act.is_chat]

    @property
    def asked(self) -> Iterator[tuple[Act, Asked]]:
        """The questions to the model, in no order."""
        return ((act, asked) for act in self.acts for asked in act.asked)
