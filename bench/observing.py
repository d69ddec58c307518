"""The cost of the metrics (`python -m bench.observing`): the CPU of an answer's report, a read's counts, a scrape.

Each is measured in this process and by itself, in turns with a loop that does nothing but call; the least of the rounds
counts, since whatever else the machine does only adds to it. The log's line is there to compare.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable

from bench.report import table
from clawgate.ollama.ndjson import Frame, FrameMessage
from clawgate.relay.frames import FrameSource
from clawgate.relay.prompt import Prompt
from clawgate.relay.recorder import Recorder
from clawgate.relay.report import Observer, Report, RunIds, Standing
from clawgate.relay.run import Run
from clawgate.relay.stats import Stats
from clawgate.relay.wait import WakeEvent
from clawgate.sessions import Counts, Dropped
from clawgate.telemetry.answers import AnswerLog
from clawgate.telemetry.metrics import OPENMETRICS, PLAIN, Metrics

MODELS = tuple(f"model:{number}b" for number in range(10))
STANDING = Standing(100, 100, 100, 0, 0, Counts(100, 100, 1 << 20, 0, 0, 0, Dropped()))
FRAMES = [Frame(FrameMessage("word "))] * 5
"""The frames of one read: 50 tokens a second, ten reads."""
ROUNDS = 5


def report(*, is_interrupted: bool = False) -> Report:
    """Return the report of an answer."""
    return Report(
        ids=RunIds("sess_" + "0a" * 16, "run_" + "0b" * 16, "0c" * 16),
        model=MODELS[0],
        done_reason="interrupted" if is_interrupted else "stop",
        error=None,
        stats=Stats() if is_interrupted else Stats(eval_count=290, prompt_eval_count=812),
        first_token_s=0.4,
        duration_s=9.1,
        answer_bytes=1480,
        wedges=0,
        requests=1,
        frames=291,
        bad_frames=0,
        phase="text" if is_interrupted else None,
        waited_s=0.0,
    )


def cpu_us(act: Callable[[], object], times: int) -> float:
    """Return the CPU of one call in microseconds."""

    def once(called: Callable[[], object]) -> float:
        began_at = time.process_time()
        for _ in range(times):
            called()
        return (time.process_time() - began_at) / times * 1e6

    return min(once(act) for _ in range(ROUNDS)) - min(once(lambda: None) for _ in range(ROUNDS))


def interrupt(observer: Observer, interrupted: Report) -> None:
    """Tell an observer of an interrupted answer."""
    observer.on_end(interrupted)
    observer.on_cut("text", 0.001)


def main() -> None:
    """Measure all and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.observing", description="what the metrics cost")
    parser.add_argument("--times", type=int, default=20_000, help="calls of each in a round")
    times = parser.parse_args().times
    logging.getLogger("clawgate").setLevel("INFO")
    logging.getLogger("clawgate").addHandler(logging.NullHandler())
    metrics, log = Metrics(lambda: STANDING, MODELS), AnswerLog()
    run = Run("s", "r", Prompt(model=MODELS[0], messages=()), bool, WakeEvent())
    source = FrameSource(3, Recorder(run, (), 0.0))
    good, interrupted = report(), report(is_interrupted=True)
    scrapes = max(times // 200, 1)
    rows = [
        ["the metrics of an answer", cpu_us(lambda: metrics.on_end(good), times)],
        ["the metrics of an interrupted answer", cpu_us(lambda: interrupt(metrics, interrupted), times)],
        ["the log's line of an answer, not written", cpu_us(lambda: log.on_end(good), times)],
        ["the counts of a read of five frames", cpu_us(lambda: source._taken(FRAMES), times)],
        ["a scrape as text, ten models", cpu_us(lambda: metrics.exposition(PLAIN), scrapes)],
        ["a scrape as OpenMetrics, ten models", cpu_us(lambda: metrics.exposition(OPENMETRICS), scrapes)],
    ]
    run.release()
    print(table(["what", "CPU"], [[str(what), f"{us:,.2f} µs"] for what, us in rows]))


if __name__ == "__main__":
    main()
