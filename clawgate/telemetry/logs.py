"""The configuration of logging, one for clawgate and gunicorn: all lines go to stderr, as text or as JSON.

A line that reports one thing is a title and `name=value` pairs; in JSON each pair is a member of its own. No message
text and no token is ever logged, and below debug no id (ids.py).
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import Any

import msgspec

from clawgate.config import LoggingConfig
from clawgate.telemetry.ids import NOT_KNOWN, Pseudonyms

QUOTING = "Invalid request from ip="
"""The beginning of gunicorn's reports of requests that it cannot read; they quote the request."""
_QUOTATION = re.compile(r"""[:,]? ?(\w+\()?b?['"].*""", re.DOTALL)
ACCESS_LINE = (
    'request: client=%({clawgate.client}e)s method=%(m)s path="%(U)s" status=%(s)s bytes=%(B)s duration_ms=%(M)s '
    "session=%({x-session-id}o)s run=%({x-run-id}o)s request=%({x-request-id}o)s"
)
"""gunicorn's access line: {…}e is a value of the WSGI environment, {…}o a header of the response."""
ROUTINE = ("/static/", "/healthz", "/readyz", "/metrics", "/api/status", "/render")
"""Paths that pages and monitors request all day: a success is in the access log only at debug."""
_PAIR = re.compile(r'(\w+)="?%\(([^)]+)\)s')


class SkipRoutine(logging.Filter):
    """Leaves routine requests that succeed out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a request that is no routine, or that was refused."""
        asked = record.args
        assert isinstance(asked, dict)
        return not str(asked["U"]).startswith(ROUTINE) or int(asked["s"]) >= 400


class Redact(logging.Filter):
    """Cuts the quotation out of gunicorn's reports of requests that it cannot read.

    The quotation may hold a message: a body beyond its Content-Length is read as the next request. It may hold the
    token: a head can break off behind it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record that quotes; keep every record."""
        message = record.getMessage()
        if message.startswith(QUOTING):
            record.msg, record.args = _QUOTATION.sub("", message), None
        return True


class TextFormatter(logging.Formatter):
    """Writes one line a record, whatever its message holds: Ollama's words must not look like a line of ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the record's line, with control characters escaped."""
        record.message = printable(record.message)
        return super().formatMessage(record)


def printable(text: str) -> str:
    """Escape control characters, so that foreign text makes no line and no colour of ours."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class JsonFormatter(logging.Formatter):
    """Writes one JSON object a line: time (RFC 3339), level, logger, message, the pairs, and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if isinstance(record.args, dict) and (pairs := _PAIR.findall(record.msg)):
            entry["message"] = record.msg.partition(":")[0]
            entry |= {name: value for name, key in pairs if (value := record.args[key]) not in (None, NOT_KNOWN)}
        if record.exc_info:
            entry["traceback"] = record.exc_text or self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode()


def dict_config(logging_config: LoggingConfig, key: bytes) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig` and gunicorn; key is for `Pseudonyms`."""
    level = logging_config.level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": TextFormatter, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {"()": JsonFormatter},
        },
        "filters": {
            "redact": {"()": Redact},
            "skip_routine": {"()": SkipRoutine},
            "pseudonyms": {"()": Pseudonyms, "key": key, "is_whole": level == "DEBUG"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": logging_config.format,
                "filters": ["redact", "pseudonyms"],
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "clawgate": {"level": level},
            "urllib3": {"level": "ERROR"},  # it warns, with a traceback, of a cut head, which the relay reports
            "gunicorn.error": {"level": level, "propagate": True, "handlers": []},
            "gunicorn.access": {
                "level": level,
                "propagate": True,
                "handlers": [],
                "filters": [] if level == "DEBUG" else ["skip_routine"],
            },
        },
    }
