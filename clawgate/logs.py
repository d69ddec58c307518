"""Where log lines go and what they look like: one configuration for clawgate and gunicorn alike, on stderr.

No message text and no token is ever logged.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import msgspec

from clawgate.config import LoggingConfig


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
            "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
            "json": {"()": JsonFormatter},
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": logging_config.format}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "clawgate": {"level": level},
            "gunicorn.error": {"level": level, "propagate": True, "handlers": []},
            "gunicorn.access": {"level": "WARNING", "propagate": True, "handlers": []},
        },
    }
