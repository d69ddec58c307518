"""The scripted model of the mixed load: it answers as the act's plan wants, and notes what it was asked, and when.

It knows for certain what it had sent by when, and whether the gateway has two connections of a session open at one
moment. A FIN that is on its way, or a thread here that reads late, is no overlap: the kernel of this very machine
says whether the gateway's end of a connection is open.
"""

from __future__ import annotations

import select
import socket
import threading
import time

from tests.chaos.answers import FRAME, RECOVERED, Plan, says, tag_of, thinks
from tests.chaos.lives import Act, Asked, Life
from tests.support import tcp
from tests.support.answer import Answer
from tests.support.ollama import Step, chunk, done, drop, end, error_line, reset, status, text, thinking

LONG = 15
"""Units of time that a slow ending, or a load, takes: long enough to be cut, and it ends by itself."""
LOADED = status(503, {"error": "server busy, please try again.  maximum pending requests exceeded"})
REFUSED = status(400, {"error": "no such thing"})
FAULTS: dict[str, tuple[Step, ...]] = {
    "drop": (drop(),),
    "reset": (reset(),),
    "error": (error_line("out of memory"),),
    "bad": (chunk(b"no frame\n"), chunk(b"{}}\n"), chunk(b"[]\n")),
    "truncated": (end(),),
}
"""The frames that come instead of the rest of the text, at the plan's frame."""


class Teller:
    """Plays every answer of the load.

    Threads: the scripted Ollama's, one a request. `_lock` guards the running requests and the known acts.
    """

    def __init__(self, unit_s: float) -> None:
        self.unknown: list[str] = []
        """The requests that belong to no act."""
        self.late = 0
        """The number of closes that were noticed here only after the next request, though the kernel had them."""
        self._unit_s = unit_s
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Life, Act]] = {}
        self._on_air: dict[int, list[tuple[Asked, socket.socket]]] = {}

    def expect(self, life: Life, act: Act) -> None:
        """Answer requests that carry the act's name."""
        with self._lock:
            self._known[act.name] = life, act

    def forget(self, life: Life) -> None:
        """Let a life go that is over."""
        with self._lock:
            for act in life.acts:
                self._known.pop(act.name, None)
            self._on_air.pop(life.number, None)

    def open_of(self, life: Life) -> list[int]:
        """Return which of a life's connections the gateway has certainly not closed by now."""
        with self._lock:
            on_air = self._on_air.get(life.number, [])
        return [each.request.connection for each, sock in on_air if not _is_hung_up(sock) and _is_open_there(sock)]

    def __call__(self, answer: Answer) -> None:
        """Play one answer."""
        name = answer.request.headers.get("X-Request-Id", "")
        with self._lock:
            life, act = self._known.get(name, (None, None))
        if life is None or act is None:
            self.unknown.append(f"{name}: {answer.request.messages}")
            REFUSED.play(answer)
            return
        asked = self._note(life, act, answer)
        try:
            self._play(act, asked, answer)
            if not answer.is_ended:  # three bad frames: the gateway has to close
                answer.hang()
        finally:
            asked.is_over = True

    def _note(self, life: Life, act: Act, answer: Answer) -> Asked:
        last = answer.request.messages[-1]
        asked = Asked(answer.request, len(last["content"]) if last["role"] == "assistant" else 0)
        sock = answer._connection.sock
        with self._lock:
            earlier = [each for each in self._on_air.get(life.number, ()) if not each[0].is_over]
            self._on_air[life.number] = [*earlier, (asked, sock)]
        self._look_at_others(asked, sock, earlier)
        with life.lock:
            act.asked.append(asked)
        return asked

    def _look_at_others(self, asked: Asked, sock: socket.socket, others: list[tuple[Asked, socket.socket]]) -> None:
        """Note which others of the session's connections the gateway has open together with this one.

        This one is looked at last: it was opened before all of that. A request may be read here after the gateway has
        closed it and asked the next one, when its thread was long in coming; then this one is the closed one.
        """
        live = [other for other, its in others if other.ending_at > asked.request.arrived and not _is_hung_up(its)]
        opened = [other.request.connection for other, its in others if other in live and _is_open_there(its)]
        if not live:
            return
        if opened and _is_open_there(sock):
            asked.overlaps += opened
        else:
            self.late += 1

    def _play(self, act: Act, asked: Asked, answer: Answer) -> None:
        plan = act.plan
        ending = plan.ending if asked is act.asked[0] or plan.ending not in RECOVERED else "done"
        self._pause(answer, LONG if ending == "loads" else plan.silent)
        if ending == "unavailable":
            asked.is_dropped = True
            LOADED.play(answer)
        elif ending == "refused":
            asked.ending_at = time.monotonic()
            REFUSED.play(answer)
        else:
            tag = _question_of(asked)
            if not asked.base:
                self._think(plan, tag, asked, answer)
            whole = 0 if ending == "empty" else act.asked[0].base + plan.words * FRAME
            self._speak(plan, ending, says(tag, asked.base, whole), asked, answer)

    def _think(self, plan: Plan, tag: str, asked: Asked, answer: Answer) -> None:
        thoughts = thinks(tag, plan.thoughts * FRAME)
        for start in range(0, len(thoughts), FRAME):
            self._pause(answer, plan.pace)
            asked.thoughts_sent = start + FRAME
            thinking(thoughts[start : start + FRAME]).play(answer)

    def _speak(self, plan: Plan, ending: str, words: str, asked: Asked, answer: Answer) -> None:
        for index, start in enumerate(range(0, len(words), FRAME)):
            if index == plan.at and ending in FAULTS:
                break
            if index == plan.at and ending == "one bad":
                chunk(b"no frame\n").play(answer)
            self._pause(answer, plan.pace)
            asked.sent = min(start + FRAME, len(words))
            text(words[start : start + FRAME]).play(answer)
        if ending == "slow":
            self._pause(answer, LONG)
        asked.is_dropped = ending in RECOVERED
        if not asked.is_dropped:
            asked.ending_at = time.monotonic()
        for step in FAULTS.get(ending, (done("length" if ending == "length" else "stop"),)):
            step.play(answer)

    def _pause(self, answer: Answer, units: float) -> None:
        if units:
            answer.pause_until(time.monotonic() + units * self._unit_s)


def _question_of(asked: Asked) -> str:
    return tag_of(next(content for role, content in reversed(asked.messages) if role == "user"))


def _is_hung_up(sock: socket.socket) -> bool:
    """Tell whether the gateway's FIN is here; our own close counts as well."""
    try:
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except ValueError:  # closed here
        return True


def _is_open_there(sock: socket.socket) -> bool:
    try:
        return tcp.is_open(sock.getpeername(), sock.getsockname())
    except OSError:  # closed meanwhile
        return False
