"""Where log lines go and what they look like: one configuration for clawgate and gunicorn alike, on stderr.

No message text and no token is ever logged.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from typing import Any

import msgspec

from clawgate.config import LoggingConfig

QUOTING = ("Invalid request from ip=", "Ignored premature client disconnection.")
"""How gunicorn's reports of what it cannot read begin; they quote it."""
_QUOTATION = re.compile(r"""[:,]? ?(\w+\()?b?['"].*""", re.DOTALL)


class Discretion(logging.Filter):
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
        if not record.message.isprintable():
            record.message = "".join(each if each.isprintable() else repr(each)[1:-1] for each in record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message, and the traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as its line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def dict_config(logging_config: LoggingConfig) -> dict[str, Any]:
    """Give the configuration for logging.config.dictConfig, and for gunicorn's `logconfig_dict`."""
    level = logging_config.level.upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": TextFormatter, "format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {"()": JsonFormatter},
        },
        "filters": {"discretion": {"()": Discretion}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": logging_config.format,
                "filters": ["discretion"],
            }
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "clawgate": {"level": level},
            "gunicorn.error": {"level": level, "propagate": True, "handlers": []},
            "gunicorn.access": {"level": "WARNING", "propagate": True, "handlers": []},
        },
    }
