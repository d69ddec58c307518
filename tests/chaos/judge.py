"""All invariants over one life, and the report of outcomes and violations."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator

from tests.chaos import invariants, order
from tests.chaos.histories import Histories
from tests.chaos.lives import Life
from tests.chaos.telling import in_order

SHOWN = 3
"""The number of violations of one invariant whose whole history is in the report."""
INVARIANTS: tuple[Callable[[Life], Iterator[str]], ...] = (
    invariants.every_act_is_answered,
    invariants.one_end_and_it_is_last,
    invariants.ids_count_up,
    invariants.a_stream_names_its_run,
    invariants.text_is_what_the_model_said,
    invariants.thinking_is_what_the_model_thought,
    invariants.nothing_is_told_of_others,
    invariants.an_end_has_its_cause,
    invariants.an_interrupt_ends_one_run,
    invariants.an_interrupt_closes_upstream,
    invariants.every_end_closes_upstream,
    invariants.one_connection_at_a_time,
    order.what_is_in_flight_is_found,
    order.busy_means_in_flight,
    order.what_is_deleted_is_gone,
    order.what_is_refused_is_left_out,
)


class Judge:
    """Judges lives and keeps the count.

    Threads: any; `_lock` guards the counts.
    """

    def __init__(self, is_trimmed: bool) -> None:
        self.lives = 0
        self.outcomes: Counter[str] = Counter()
        self.violations: Counter[str] = Counter()
        self._is_trimmed = is_trimmed
        self._invariants = INVARIANTS if is_trimmed else (*INVARIANTS, order.nothing_admitted_is_lost)
        self._shown: list[str] = []
        self._lock = threading.Lock()

    def judge(self, life: Life) -> None:
        """Take a life that is over."""
        found = [(check.__name__, told) for check in self._invariants for told in check(life)]
        found += Histories(life, self._is_trimmed).flaws()
        with self._lock:
            self.lives += 1
            self.outcomes.update(act.outcome for act in life.acts)
            self.violations.update(name for name, _ in found)
            self._shown += [
                f"{name}: {told}\n{in_order(life)}" for name, told in found if self.violations[name] <= SHOWN
            ]

    def report(self) -> str:
        """Return the report: each kind of act with its outcome, then each violation with its session's history."""
        counts = [f"{number:9,}  {outcome}" for outcome, number in sorted(self.outcomes.items())]
        broken = [f"{number:9,}  {name}" for name, number in sorted(self.violations.items())] or ["        0  in all"]
        return "\n".join(
            [
                f"{self.outcomes.total():,} outcomes in {self.lives:,} lives:",
                *counts,
                "violations:",
                *broken,
                *self._shown,
            ]
        )
