"""Mixed load by 24 clients: a seed draws what they do, and the machine decides what meets what.

The clients are divided among cells; a cell lives one life after another, each under a session's id of its own, and
judges it when it is over. In the larger cells several clients are at one session at once. The pauses are multiples of
what a whole answer takes here and now, so that answers are met in the same phases on a fast machine and a busy one.
"""

from __future__ import annotations

import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median

from tests.chaos.answers import ENDINGS, Plan
from tests.chaos.clients import LEAVING, Client, Step
from tests.chaos.judge import Judge
from tests.chaos.lives import MODELS, Life
from tests.chaos.teller import Teller
from tests.support.gateway import Gateway
from tests.support.ollama import ScriptedOllama, call
from tests.support.reloading import rewrite
from tests.support.tools import DEADLINE_S, wait_for

CROWDED = (6, 6, 3, 3, 2, 1, 1, 1, 1)
SCATTERED = (3, 2, 2, 2, *[1] * 15)
"""The number of clients in each cell: many at few sessions, or few at many sessions that push each other out."""
CLIENTS = 24
STEPS = 6
"""The number of things that each client does in a life."""
RELOAD_UNITS = 100


class Mixture:
    """The load before one gateway and its scripted Ollama.

    Threads: one a client, one a cell, one that reloads.
    """

    def __init__(
        self, gateway: Gateway, ollama: ScriptedOllama, cells: tuple[int, ...], seed: int, judge: Judge
    ) -> None:
        self.reloads = 0
        self._gateway = gateway
        self._ollama = ollama
        self._cells = cells
        self._seed = seed
        self._judge = judge
        ollama.models.extend(set(MODELS) - set(ollama.models))
        self.unit_s = _unit_of(gateway)
        self.teller = Teller(self.unit_s)
        ollama.default(call(self.teller))

    def run(self, seconds: float, max_sessions: tuple[int, ...]) -> None:
        """Load the gateway for so long; reloads change the model, the smoothing, and max_sessions within a range."""
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(CLIENTS) as clients, ThreadPoolExecutor(len(self._cells) + 1) as cells:
            reloading = cells.submit(self._reload, until, max_sessions)
            for living in [cells.submit(self._live, cell, clients, until) for cell in range(len(self._cells))]:
                living.result()
            reloading.result()

    def _live(self, cell: int, clients: ThreadPoolExecutor, until: float) -> None:
        number, before = cell, None
        while time.monotonic() < until:
            chance = random.Random(f"{self._seed}/{number}")
            is_named = self._cells[cell] > 1 or chance.random() < 0.7
            life = Life(number, f"s-{self._seed}-{number}" if is_named else None)
            scripts = [_script(chance, is_first=client == 0) for client in range(self._cells[cell])]
            list(clients.map(partial(self._act, life), scripts))
            self._end(life, chance)
            if before is not None:  # a client that left at once may have its question asked a moment later
                self.teller.forget(before)
            number, before = number + len(self._cells), life

    def _act(self, life: Life, script: list[Step]) -> None:
        client = Client(self._gateway, self.teller, life, self.unit_s)
        for step in script:
            client.do(step)

    def _end(self, life: Life, chance: random.Random) -> None:
        """Interrupt what was left in flight, look at what there is, forget half of it, and judge."""
        self._act(life, [Step("interrupt")])
        try:
            wait_for(lambda: all(asked.is_over for _, asked in life.asked), "the model has nothing more to do")
        except AssertionError:
            life.acts[-1].fault = f"the gateway left an answer open for {DEADLINE_S:g} s"
        self._act(life, [Step("view"), *[Step("delete"), Step("view")] * (chance.random() < 0.5)])
        self._judge.judge(life)
        self._ollama.requests.clear()  # the harness must not grow itself

    def _reload(self, until: float, max_sessions: tuple[int, ...]) -> None:
        chance = random.Random(self._seed)
        while time.monotonic() < until:
            self.reloads += 1
            model = MODELS[self.reloads % len(MODELS)]
            smoothing = {"smoothing_ms": chance.choice((0, 0, 2, 10, 30))}
            sessions = {"max_sessions": chance.choice(max_sessions)}
            rewrite(self._gateway, model={"model_name": model}, stream=smoothing, session=sessions)
            self._gateway.signal(signal.SIGHUP)
            wait_for(lambda: self._gateway.get("/api/status").json["model"] == model, "the reload is in force")  # noqa: B023
            time.sleep(min(RELOAD_UNITS * self.unit_s, max(0.0, until - time.monotonic())))


def _unit_of(gateway: Gateway) -> float:
    """Return the time of a whole answer at rest, within bounds that keep a pause noticeable and short."""
    taken = []
    for _ in range(9):
        began_at = time.monotonic()
        gateway.post("/api/chat", {"message": "hi", "stream": False})
        taken.append(time.monotonic() - began_at)
    return min(max(median(taken), 0.004), 0.04)


def _script(chance: random.Random, is_first: bool) -> list[Step]:
    """Draw what one client does in a life; the first one begins the session."""
    steps = [_step(chance) for _ in range(STEPS)]
    return (
        [_chat(chance, "messages" if chance.random() < 0.7 else "message", phase="start"), *steps]
        if is_first
        else steps
    )


def _step(chance: random.Random) -> Step:
    kind = chance.choices(
        ("message", "messages", "replay", "continue", "interrupt", "delete", "view"), (40, 6, 6, 14, 16, 3, 15)
    )[0]
    return _aside(chance, kind) if kind in ("interrupt", "delete", "view") else _chat(chance, kind)


def _aside(chance: random.Random, kind: str, is_at_once: bool = False) -> Step:
    by = chance.choices(("session", "run", "both", "stale"), (5, 3, 3, 2))[0]
    return Step(kind, by=by, pause=0 if is_at_once else _pause(chance))


def _chat(chance: random.Random, kind: str, phase: str = "") -> Step:
    """Draw a chat: most are read to their end, the others are left or cut at some phase."""
    plan = _plan(chance)
    is_whole = not phase and chance.random() < 0.15
    fields = {"stream": False} if is_whole else {}
    if chance.random() < 0.1:
        fields["on_busy"] = "reject"  # type: ignore[assignment]
    phase = phase or chance.choice(("unread", "start", "thinking", "text", "text"))
    then, way = None, ""
    if not is_whole:
        fate = chance.random()
        if fate < 0.15:
            way = chance.choice(LEAVING)
        elif fate < 0.65:
            then = _then(chance)
    return Step(
        kind,
        plan,
        _pause(chance),
        tuple(fields.items()),
        prefill=chance.choice((0, 0, 3)) if kind == "messages" else 0,
        padding=chance.choice((0, 0, 100, 600)),
        phase=phase if way or then else "start",
        way=way,
        then=then,
    )


def _then(chance: random.Random) -> Step:
    kind = chance.choices(("interrupt", "delete", "view", "message", "continue"), (8, 1, 2, 6, 2))[0]
    if kind in ("message", "continue"):
        return Step(kind, _plan(chance), padding=chance.choice((0, 300)))
    return _aside(chance, kind, is_at_once=chance.random() < 0.7)


def _plan(chance: random.Random) -> Plan:
    words = chance.choice((1, 4, 10, 30))
    return Plan(
        ending=chance.choices(ENDINGS, (30, 3, 30, 6, 5, 3, 3, 3, 3, 3, 3, 2, 2))[0],
        silent=chance.choice((0, 0, 0, 1, 3)),
        thoughts=chance.choice((0, 0, 2, 5)),
        words=words,
        pace=chance.choice((0, 0, 0.1, 0.3)),
        at=chance.randrange(words),
    )


def _pause(chance: random.Random) -> float:
    return chance.choice((0, 0, 0, 0, 1, 3))
