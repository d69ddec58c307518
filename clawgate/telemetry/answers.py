"""The log lines of an answer: its end, its failure, a fault of our own, and a slot of Ollama's that hangs."""

from __future__ import annotations

import logging

from msgspec import UNSET

from clawgate.relay.report import Observer, Report, RunIds
from clawgate.telemetry.ids import NAMED, NOT_KNOWN, Id

ENDED = (
    "answer ended: session=%(session)s run=%(run)s request=%(request)s model=%(model)s reason=%(reason)s "
    "tokens=%(tokens)s context=%(context)s first_token_ms=%(first_token_ms)s duration_ms=%(duration_ms)s "
    "bytes=%(bytes)s"
)
FAILED = f"answer failed: {NAMED} error=%(error)s"

_ends = logging.getLogger("clawgate.relay.desk")
_troubles = logging.getLogger("clawgate.relay.pump")
"""Operators filter these lines by the names of their loggers, which stay as they are."""


class AnswerLog(Observer):
    """Writes the log lines of answers; an observer of the relay's."""

    def on_end(self, report: Report) -> None:
        """Write the figures of an answer, and before them why it failed where it did."""
        names = _names(report.ids)
        if report.error is not None:
            _troubles.warning(FAILED, {**names, "error": f"{report.error.code}: {report.error}"})
        first_token_s, stats, context = report.first_token_s, report.stats, report.stats.context
        _ends.info(
            ENDED,
            {
                **names,
                "model": report.model,
                "reason": report.error.code if report.error is not None else report.done_reason,
                "tokens": stats.eval_count if stats.eval_count is not UNSET else NOT_KNOWN,
                "context": f"{context.used}/{context.size}" if context is not UNSET else NOT_KNOWN,
                "first_token_ms": NOT_KNOWN if first_token_s is None else _ms(first_token_s),
                "duration_ms": _ms(report.duration_s),
                "bytes": report.answer_bytes,
            },
        )

    def on_unload(self, ids: RunIds) -> None:
        """Warn that a slot hangs."""
        _troubles.warning(f"a slot of Ollama's hangs, unloading the model: {NAMED}", _names(ids))

    def on_fault(self, ids: RunIds, fault: Exception) -> None:
        """Write the traceback of a fault of our own."""
        _troubles.error(f"answer failed: {NAMED}", _names(ids), exc_info=fault)


def _names(ids: RunIds) -> dict[str, object]:
    return {"session": Id(ids.session_id), "run": Id(ids.run_id), "request": ids.request_id or NOT_KNOWN}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
