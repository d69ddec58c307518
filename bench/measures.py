"""The measures: a distribution, every counter at one moment, and the result of one round against one target."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.proc import Usage, machine_cpu_s, usage


@dataclass
class Spread:
    """The distribution of one quantity, in milliseconds."""

    count: int = 0
    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0

    @classmethod
    def of_us(cls, values: array[int] | list[int]) -> Spread:
        """Summarise microseconds."""
        if not values:
            return cls()
        ordered = sorted(values)
        last = len(ordered) - 1
        return cls(len(ordered), *(round(ordered[int(last * part)] / 1000, 2) for part in (0.5, 0.99, 1)))


@dataclass(frozen=True)
class Sample:
    """Every counter at one moment: their differences are a window."""

    at_s: float
    tokens: int
    own_cpu_s: float
    target: Usage
    upstream: Usage
    machine_cpu_s: float
    beside: Usage = field(default_factory=Usage)

    @classmethod
    def take(cls, tokens: int, read_target: Callable[[], Usage], upstream_pid: int, beside_pid: int = 0) -> Sample:
        """Read all of them now."""
        upstream, beside = (usage(pid) if pid else Usage() for pid in (upstream_pid, beside_pid))
        return cls(time.monotonic(), tokens, time.process_time(), read_target(), upstream, machine_cpu_s(), beside)

    def others_cpu_s(self) -> float:
        """Return the CPU time of everything on this machine that has no part in the measurement."""
        known_s = self.target.cpu_s + self.upstream.cpu_s + self.beside.cpu_s + self.own_cpu_s
        return self.machine_cpu_s - known_s


@dataclass
class Result:
    """The result of one round.

    Units: cpu_us is the target's CPU per token in the window; answer_cpu_ms is what an answer costs beyond its tokens
    (its request, thread, connections, end), chat_cpu_ms what it costs with them; the *_busy are shares of one core in
    the window (others: of all that has no part in the measurement). beside_us is the CPU per token of the service that
    the target uses, and no part of the others.
    """

    target: str
    tokens_per_s: float = 0.0
    expected_per_s: float = 0.0
    cpu_us: float = 0.0
    answer_cpu_ms: float = 0.0
    chat_cpu_ms: float = 0.0
    target_busy: float = 0.0
    upstream_busy: float = 0.0
    own_busy: float = 0.0
    beside_us: float = 0.0
    others_busy: float = 0.0
    events_per_s: float = 0.0
    lag: Spread = field(default_factory=Spread)
    added: Spread = field(default_factory=Spread)
    added_opening: Spread = field(default_factory=Spread)
    idle: Usage = field(default_factory=Usage)
    loaded: Usage = field(default_factory=Usage)
    streams: int = 0
    complete: int = 0
    probes: int = 0
    probes_complete: int = 0
    troubles: dict[str, int] = field(default_factory=dict)

    @property
    def kb_per_stream(self) -> float:
        """Return the memory that a stream takes."""
        return (self.loaded.rss_kb - self.idle.rss_kb) / max(1, self.streams)

    @property
    def served(self) -> float:
        """Return the share of the window's tokens that arrived."""
        return self.tokens_per_s / self.expected_per_s if self.expected_per_s else 0.0
