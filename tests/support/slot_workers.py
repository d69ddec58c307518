"""Workers that share slots: real processes that take, give back and are killed.

`python -m tests.support.slot_workers SEED…` runs apart from the tests' process, which has threads and so may not fork.
Exit 0 where all has held.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterator

from clawgate.relay.slots import SharedSlots

WORKERS, SHARE = 3, 3
LIMIT = WORKERS * SHARE
STEPS = 120
CHURNS = 150
TAKE, BEYOND, GIVE, CHURN = b"t", b"b", b"g", b"c"


class Worker:
    """A forked process at a place; it does what it is told, one command after the other."""

    def __init__(self, slots: SharedSlots, place: int) -> None:
        self.place = place
        self.held = 0
        self._slots = slots
        commands, answers = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(commands[1])
            os.close(answers[0])
            self._work(commands[0], answers[1])
        os.close(commands[0])
        os.close(answers[1])
        self._commands, self._answers = commands[1], answers[0]

    def tell(self, command: bytes) -> None:
        """Send a command."""
        os.write(self._commands, command)

    def answer(self) -> bytes:
        """Read the answer; nothing where the worker has been killed."""
        data = b""
        while not data.endswith(b"\n") and (more := os.read(self._answers, 1 << 16)):
            data += more
        return data[:-1]

    def kill(self) -> None:
        """Kill it, as the master sees that: the slots are the others' as soon as it has been waited for."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._commands)
        os.close(self._answers)
        self._slots.clear(self.place)

    def _work(self, commands: int, answers: int) -> None:
        self._slots.join(self.place)
        while command := os.read(commands, 1):
            os.write(answers, self._done(command) + b"\n")
        os._exit(0)

    def _done(self, command: bytes) -> bytes:
        if command == GIVE:
            self._slots.give_back()
        elif command == CHURN:
            return b" ".join(b"%d:%d" % span for span in self._churn())
        else:
            return b"%d" % self._slots.take(is_beyond=command == BEYOND)
        return b""

    def _churn(self) -> Iterator[tuple[int, int]]:
        """Take and give back as fast as can be; yield from when until when each slot was surely held."""
        rng, begun = random.Random(os.getpid()), list[int]()
        for _ in range(CHURNS):
            if rng.random() < 0.6 and self._slots.take():
                begun.append(time.monotonic_ns())
            elif begun:
                yield begun.pop(), time.monotonic_ns()
                self._slots.give_back()
        for since in begun:
            yield since, time.monotonic_ns()
        self._slots.give_back(len(begun))


def step(slots: SharedSlots, workers: list[Worker], rng: random.Random) -> None:
    """Have one worker do one thing, and compare with what it should have done."""
    worker = rng.choice(workers)
    total = sum(each.held for each in workers)
    what = rng.choices((TAKE, BEYOND, GIVE, b""), (10, 1, 6, 1))[0]
    if what == GIVE and worker.held:
        worker.tell(what)
        worker.answer()
        worker.held -= 1
    elif what in (TAKE, BEYOND):
        worker.tell(what)
        is_taken = worker.answer() == b"1"
        assert is_taken == (total < LIMIT or what == BEYOND), f"{total} of {LIMIT} were taken"
        worker.held += is_taken
    elif not what:
        worker.kill()
        workers[worker.place] = Worker(slots, worker.place)
    assert slots.taken == sum(each.held for each in workers)


def most_at_once(spans: list[tuple[int, int]]) -> int:
    """Return how many of these spans overlap at most."""
    moments = sorted([(since, 1) for since, _ in spans] + [(until, -1) for _, until in spans])
    count = most = 0
    for _, change in moments:
        count += change
        most = max(most, count)
    return most


def churn(slots: SharedSlots, workers: list[Worker], victim: int) -> None:
    """Have all workers take and give back at once, and kill one meanwhile; the sum holds at every moment."""
    for worker in workers:
        worker.tell(CHURN)
    workers[victim].kill()
    told = b" ".join(worker.answer() for worker in workers if worker.place != victim)
    spans = [(int(since), int(until)) for since, until in (span.split(b":") for span in told.split())]
    assert 0 < most_at_once(spans) <= LIMIT
    workers[victim] = Worker(slots, victim)


def main() -> None:
    """Play one game for each seed, and end it with nothing taken."""
    for seed in map(int, sys.argv[1:]):
        rng, slots = random.Random(seed), SharedSlots(WORKERS, SHARE)
        workers = [Worker(slots, place) for place in range(WORKERS)]
        for _ in range(STEPS):
            step(slots, workers, rng)
        for worker in workers:
            while worker.held:
                worker.tell(GIVE)
                worker.answer()
                worker.held -= 1
        assert slots.taken == 0
        for victim in range(WORKERS):
            churn(slots, workers, victim)
        assert slots.taken == 0
        for worker in workers:
            worker.tell(TAKE)
            assert worker.answer() == b"1"
            worker.kill()
        assert slots.taken == 0
        assert [slots.take() for _ in range(LIMIT + 1)] == [True] * LIMIT + [False]


if __name__ == "__main__":
    main()
