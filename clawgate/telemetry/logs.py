"""Where log lines go and what they look like: one configuration for clawgate and gunicorn alike, on stderr.

A line that tells of one thing is a title and `name=value` pairs, and in JSON each pair is a member of its own. No
message text and no token is ever logged, and below debug no id (ids.py).
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import Any

import msgspec

from clawgate.config import LoggingConfig
from clawgate.telemetry.ids import NOT_KNOWN, Pseudonyms

QUOTING = ("Invalid request from ip=", "Ignored premature client disconnection.")
"""How gunicorn's reports of what it cannot read begin; they quote it."""
_QUOTATION = re.compile(r"""[:,]? ?(\w+\()?b?['"].*""", re.DOTALL)
ACCESS_LINE = (
    'request: client=%({clawgate.client}e)s method=%(m)s path="%(U)s" status=%(s)s bytes=%(B)s duration_ms=%(M)s '
    "session=%({x-session-id}o)s run=%({x-run-id}o)s request=%({x-request-id}o)s"
)
"""gunicorn's access line: {…}e is of the WSGI environment, {…}o a header of the response."""
ROUTINE = ("/static/", "/healthz", "/readyz", "/api/status", "/render")
"""What pages and monitors ask all day: where that goes well, it is in the access log only at debug."""
_PAIR = re.compile(r'(\w+)="?%\(([^)]+)\)s')


class SkipRoutine(logging.Filter):
    """Leaves what is routine and goes well out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep a request that somebody made, or that was refused."""
        asked = record.args
        assert isinstance(asked, dict)
        return not str(asked["U"]).startswith(ROUTINE) or int(asked["s"]) >= 400


class Redact(logging.Filter):
    """Cuts the quotation out of gunicorn's reports of requests that it cannot read.

    A body that is longer than its Content-Length is read as a next request, and a head that breaks off may break off
    behind the token.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it quotes; keep it."""
        message = record.getMessage()
        if message.startswith(QUOTING):
            record.msg, record.args = _QUOTATION.sub("", message), None
        return True


class TextFormatter(logging.Formatter):
    """One line a record, whatever its message holds: Ollama's own words must not look like a line of ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Give the record's line, with control characters escaped."""
        record.message = printable(record.message)
        return super().formatMessage(record)


def printable(text: str) -> str:
    """Escape control characters, so that somebody else's text is no line, and no colour, of ours."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message, the pairs, a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as its line."""
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
    """Give the configuration for logging.config.dictConfig, and for gunicorn's `logconfig_dict`; key: `Pseudonyms`."""
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
            "urllib3": {"level": "ERROR"},  # it warns, with a traceback, of a head that was cut; the relay tells that
            "gunicorn.error": {"level": level, "propagate": True, "handlers": []},
            "gunicorn.access": {
                "level": level,
                "propagate": True,
                "handlers": [],
                "filters": [] if level == "DEBUG" else ["skip_routine"],
            },
        },
    }
