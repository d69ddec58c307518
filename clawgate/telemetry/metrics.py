"""The metrics, for Prometheus: an observer of runs that counts what they came to, and a reading of how things stand.

A run costs nothing here until its end, when its report is added up. A state that is no event (slots, sessions,
memory) is read when somebody asks. The labels have few values, all known beforehand: names of models that a request
may ask for, reasons, codes and phases. Another value is `other`, so that no client makes a series.

Source: Prometheus, "Metric and label naming" and "Exposition formats"; OpenMetrics 1.0.
"""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec import UNSET
from prometheus_client import CollectorRegistry, Info, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from clawgate import __version__
from clawgate.errors import (
    CannotContinue,
    ClawgateError,
    ConfigError,
    InternalError,
    UpstreamFailure,
    UpstreamRefused,
)
from clawgate.relay.report import INTERRUPTED, InHand, Observer, Phase, Report, RunIds, Standing
from clawgate.telemetry.crowd import Crowd
from clawgate.telemetry.series import Counters, Histograms
from clawgate.telemetry.tallies import Board, Names, Tally, Times

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OTHER = "other"
MAX_MODELS = 50
"""The models that get series of their own while the process lives; reloads may name new ones again and again."""
REASONS = ("stop", "length", "interrupted", "superseded", "truncated", "error", "load", "unload")
PHASES: tuple[Phase, ...] = ("opening", "thinking", "text", "stalled", "waiting")
ENDING: tuple[type[ClawgateError], ...] = (
    *UpstreamFailure.__subclasses__(),
    UpstreamRefused,
    CannotContinue,
    InternalError,
)
"""The errors that can end an answer."""

FIRST_TOKEN_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
ANSWER_S = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
CLOSE_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
WAIT_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
RENDER_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class _OfModel(NamedTuple):
    """The series of one model."""

    answers: Mapping[str, Tally]
    first_token: Times
    duration: Times
    prompt_tokens: Tally
    answer_tokens: Tally


OF_MODEL = len(REASONS) + 1 + Times.size(FIRST_TOKEN_S) + Times.size(ANSWER_S) + 2
"""The numbers that the series of one model take."""


class Metrics(Observer):
    """Counts what the relay reports, and tells it in Prometheus' formats; an observer of the relay's.

    standing: returns how things stand; it is asked at a scrape alone.
    workers: the processes that are going to be forked. Where there are several, each tells the counts of all.
    Threads: any. A lock is held for one addition.
    """

    def __init__(self, standing: Callable[[], Standing], models: Iterable[str] = (), workers: int = 1) -> None:
        registry = self._registry = CollectorRegistry()
        self._standing = standing
        self._crowd = Crowd(workers) if workers > 1 else None
        for collector in (ProcessCollector(registry=None), _Threads()) if self._crowd is None else (self._crowd,):
            registry.register(collector)
        Info("clawgate_build", "The version of clawgate, and of the Python that runs it.", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        registry.register(_Now(self._now))
        board = self._board = Board()
        families = self._families = list[Counters | Histograms]()

        def counter(name: str, words: str, *labels: str) -> Counters:
            families.append(made := Counters(board, f"clawgate_{name}", words, labels))
            return made

        def histogram(name: str, words: str, bounds: tuple[float, ...], *labels: str) -> Histograms:
            families.append(made := Histograms(board, f"clawgate_{name}", words, bounds, labels))
            return made

        self._answers = counter("answers", "Answers that have ended, by how they ended.", "model", "reason")
        self._first_token = histogram(
            "first_token_seconds", "Time from the request to the first token.", FIRST_TOKEN_S, "model"
        )
        self._duration = histogram("answer_seconds", "Time from the request to the end.", ANSWER_S, "model")
        self._prompt_tokens = counter("prompt_tokens", "Tokens of the prompts, as Ollama counts them.", "model")
        self._answer_tokens = counter("answer_tokens", "Tokens of the answers, as Ollama counts them.", "model")
        errors = counter("answer_errors", "Answers that ended with an error, by its code.", "code")
        self._errors = _children(errors, {kind.code for kind in ENDING})
        words = "Answers that were ended from outside, by the phase that they were in."
        interrupts = counter("interrupts", words, "reason", "phase")
        self._interrupts = {
            reason: {phase: interrupts.add(reason, phase) for phase in PHASES} for reason in INTERRUPTED
        }
        closes = histogram(
            "interrupt_close_seconds", "Time from an interrupt to the closed connection to Ollama.", CLOSE_S, "phase"
        )
        self._closes = {phase: closes.add(phase) for phase in PHASES}
        self._frames = counter("frames", "Frames that were read from Ollama; one is a token as a rule.").add()
        self._bad_frames = counter("bad_frames", "Frames from Ollama that could not be read.").add()
        self._retries = counter("retries", "Further requests to Ollama for an answer that it did not finish.").add()
        self._waits = histogram(
            "upstream_wait_seconds", "Time for which an answer waited for an Ollama that was away.", WAIT_S
        ).add()
        self._wedges = counter("hung_slots", "Slots of Ollama's that were found to hang.").add()
        self._unloads = counter("unloads", "Models that were unloaded to free a slot that hangs.").add()
        refusals = counter("error_responses", "Requests that were answered with an error, by its code.", "code")
        self._refusals = _children(refusals, set(_codes(ClawgateError)))
        self._renders = histogram("render_seconds", "Time to render the texts of a request to /render.", RENDER_S).add()
        registry.register(self)
        self._models: dict[str, _OfModel] = {}
        self._names = Names(MAX_MODELS)
        self._first_of_models = board.reserve(OF_MODEL * (MAX_MODELS + 1))
        board.build(workers)
        self._other: _OfModel | None = None
        self.name_models(models)

    def join(self, place: int) -> None:
        """Be the worker at this place; called in its process. It goes on with the counts of the one before it."""
        self._board.join(place)
        self._names.is_open = False
        if self._crowd is not None:
            self._crowd.join(place)

    def clear(self, place: int) -> None:
        """Forget how things stood with a worker that has ended; its counts stay."""
        if self._crowd is not None:
            self._crowd.clear(place)

    def tell(self, in_hand: InHand) -> None:
        """Tell the other workers how things stand here; nothing waits for that."""
        if self._crowd is not None:
            self._crowd.tell(in_hand)

    def _now(self) -> Standing:
        return self._standing() if self._crowd is None else self._crowd.total(self._standing())

    def collect(self) -> Iterator[Metric]:
        """Yield what has been counted."""
        sums = self._board.sums()
        if self._other is None and any(sums[self._first_of_models + OF_MODEL * MAX_MODELS :]):
            self._of_other()  # another worker has counted it
        for family in self._families:
            yield family.family(sums)

    def name_models(self, models: Iterable[str]) -> None:
        """Give these models series of their own, from now on; those that have some keep them.

        `name` and `name:latest` are the same model, as in Ollama, and so are capital and small letters.
        """
        for name in models:
            plain = name.removesuffix(":latest")
            key = plain.lower()
            if key not in self._models and (number := self._names.number_of(key)) is not None:
                self._models[key] = self._models[f"{key}:latest"] = self._of_model(plain, number)

    def _of_model(self, name: str, number: int) -> _OfModel:
        first = self._first_of_models + OF_MODEL * number
        reasons = (*REASONS, OTHER)
        answers = {reason: self._answers.add(name, reason, at=first + at) for at, reason in enumerate(reasons)}
        first_token = self._first_token.add(name, at=(first := first + len(reasons)))
        duration = self._duration.add(name, at=(first := first + Times.size(FIRST_TOKEN_S)))
        prompt_tokens = self._prompt_tokens.add(name, at=(first := first + Times.size(ANSWER_S)))
        return _OfModel(answers, first_token, duration, prompt_tokens, self._answer_tokens.add(name, at=first + 1))

    def _of_other(self) -> _OfModel:
        self._other = self._of_model(OTHER, MAX_MODELS)
        return self._other

    def _series_of(self, model: str) -> _OfModel:
        return self._models.get(model.lower()) or self._other or self._of_other()

    def on_end(self, report: Report) -> None:
        """Add up the report of a run."""
        series, reason = self._series_of(report.model), report.done_reason
        (series.answers.get(reason) or series.answers[OTHER]).inc()
        series.duration.observe(report.duration_s)
        if report.first_token_s is not None:
            series.first_token.observe(report.first_token_s)
        if (prompt := report.stats.prompt_eval_count) is not UNSET:
            series.prompt_tokens.inc(prompt)
        if (answer := report.stats.eval_count) is not UNSET:
            series.answer_tokens.inc(answer)
        if report.error is not None:
            (self._errors.get(report.error.code) or self._errors[OTHER]).inc()
        if report.phase is not None:
            self._interrupts[reason][report.phase].inc()
        self._frames.inc(report.frames)
        self._add_troubles(report)

    def _add_troubles(self, report: Report) -> None:
        """Add what most answers have none of."""
        if report.bad_frames:
            self._bad_frames.inc(report.bad_frames)
        if report.requests > 1:
            self._retries.inc(report.requests - 1)
        if report.waited_s:
            self._waits.observe(report.waited_s)
        if report.wedges:
            self._wedges.inc(report.wedges)

    def on_cut(self, phase: Phase, after_s: float) -> None:
        """Add the time that a close took."""
        self._closes[phase].observe(after_s)

    def on_unload(self, ids: RunIds) -> None:  # noqa: ARG002 - no series is of one run
        """Count the unload."""
        self._unloads.inc()

    def note_refusal(self, code: str) -> None:
        """Count a request that was answered with an error."""
        (self._refusals.get(code) or self._refusals[OTHER]).inc()

    def note_render(self, seconds: float) -> None:
        """Add the time that a request to /render took."""
        self._renders.observe(seconds)

    def exposition(self, content_type: str) -> bytes:
        """Tell everything in one of the two formats: PLAIN or OPENMETRICS."""
        generate = generate_openmetrics if content_type == OPENMETRICS else generate_latest
        exposition: bytes = generate(self._registry)
        return exposition


class _Threads:
    """The threads of the process, which prometheus_client does not count."""

    def collect(self) -> Iterator[Metric]:
        """Yield the metric."""
        yield GaugeMetricFamily("process_threads", "Number of threads.", threading.active_count())


class _Now:
    """The standing of the desk and of its sessions, at the moment of a scrape."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        now = self._standing()
        kept = now.sessions
        words = "Slots that are taken: by answers, further readers of theirs, and calls that pass through to Ollama."
        yield _gauge("streams", words, now.streams)
        yield _gauge("streams_limit", "Slots that there are (server.max_streams of each worker).", now.max_streams)
        yield _gauge("answers_in_flight", "Answers whose request is not over.", now.answers)
        yield _gauge("answers_waiting", "Answers that wait for an Ollama that is away.", now.waiting)
        yield _gauge("closes_waiting", "Connections to Ollama that are too young to be closed.", now.closes)
        yield _gauge("sessions", "Sessions that are kept.", {"idle": kept.idle, "streaming": kept.in_flight}, "state")
        memory = {"text": kept.text_bytes, "images": kept.image_bytes}
        yield _gauge("sessions_memory_bytes", "Memory that the idle sessions take.", memory, "kind")
        ends = {"lru": kept.evicted, "ttl": kept.expired}
        words = "Sessions that were dropped: the least recently used, and those that nobody used for too long."
        yield _counter("sessions_evicted", words, ends, "reason")
        trimmed = {"turns": kept.trimmed.turns, "images": kept.trimmed.images}
        words = "Turns and pictures that sessions lost, because they were over their limits."
        yield _counter("sessions_trimmed", words, trimmed, "kind")
        words = "Whether the place where the sessions are kept can be asked: 1, or 0."
        yield _gauge("session_store_up", words, now.is_store_available)


def _gauge(name: str, words: str, values: float | Mapping[str, float], label: str = "") -> GaugeMetricFamily:
    if not isinstance(values, Mapping):
        return GaugeMetricFamily(f"clawgate_{name}", words, values)
    family = GaugeMetricFamily(f"clawgate_{name}", words, labels=[label])
    _fill(family, values)
    return family


def _counter(name: str, words: str, values: Mapping[str, float], label: str) -> CounterMetricFamily:
    family = CounterMetricFamily(f"clawgate_{name}", words, labels=[label])
    _fill(family, values)
    return family


def _fill(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> None:
    for value, number in values.items():
        family.add_metric([value], number)


def _children(parent: Counters, values: set[str]) -> dict[str, Tally]:
    """Return a counter's series by their label's value. They begin at 0, so that a first event is seen as one."""
    return {value: parent.add(value) for value in sorted(values | {OTHER})}


def _codes(kind: type[ClawgateError]) -> Iterator[str]:
    """Yield the codes that an answer can carry."""
    if kind is not ConfigError:
        yield kind.code
    for below in kind.__subclasses__():
        yield from _codes(below)
