"""Where log lines go and what they look like: one configuration for clawgate and gunicorn alike, on stderr.

A line that tells of one thing is a title and `name=value` pairs, and in JSON each pair is a member of its own. No
message text and no token is ever logged, and below no level but debug an id that opens a session or ends a run: a keyed
short hash stands for it, which joins the lines of one session, and which nobody can look up or try guesses against.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from datetime import datetime, timezone
from hashlib import blake2s
from typing import Any

import msgspec

from clawgate.config import LoggingConfig

QUOTING = ("Invalid request from ip=", "Ignored premature client disconnection.")
"""How gunicorn's reports of what it cannot read begin; they quote it."""
_QUOTATION = re.compile(r"""[:,]? ?(\w+\()?b?['"].*""", re.DOTALL)


NOT_KNOWN = "-"
"""What stands for a value that is not there; JSON leaves the member out."""
NAMED = "session=%(session)s run=%(run)s request=%(request)s"
"""The names that a line gives to the answer or the request that it tells of."""
ACCESS_LINE = (
    'request: client=%({clawgate.client}e)s method=%(m)s path="%(U)s" status=%(s)s bytes=%(B)s duration_ms=%(M)s '
    "session=%({x-session-id}o)s run=%({x-run-id}o)s request=%({x-request-id}o)s"
)
"""gunicorn's access line: {…}e is of the WSGI environment, {…}o a header of the response."""
ROUTINE = ("/static/", "/healthz", "/readyz", "/api/status", "/render")
"""What pages and monitors ask all day: where that goes well, it is in the access log only at debug."""
WITHHELD = "…"
KEY_BYTES = 16
HASH_BYTES = 5
"""An operator can still compare so much by eye."""
_IDS = ("session", "run", "{x-session-id}o", "{x-run-id}o")
_ADDRESS = re.compile(r"(/sessions?/+)(.+?(?=/stream$|$))", re.DOTALL | re.IGNORECASE)
_MENTION = re.compile(r"(/sessions?/+|\b(?=(?:sess|run)_[0-9a-f]{32}\b))([\w-]+)", re.IGNORECASE)
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


class Id:
    """The id of a session or a run in a record: a handler without `Pseudonyms` writes that there is one, no more."""

    def __init__(self, whole: str) -> None:
        self.whole = whole

    def __str__(self) -> str:
        return WITHHELD


class Pseudonyms(logging.Filter):
    """Puts a short hash for each id, wherever a record has it: a member, a path, a traceback, a text of gunicorn's.

    Shape: key is random and as old as the process, so that a reload goes on with the same hashes; is_whole writes ids
    as they are.
    """

    def __init__(self, key: bytes, is_whole: bool) -> None:
        super().__init__()
        self._key = key
        self._is_whole = is_whole

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record where it names a session or a run; keep it."""
        named: list[str] = []
        if isinstance(record.args, MutableMapping):
            named = self._rename(record.args)
        elif not self._is_whole:
            message = record.getMessage()
            if (changed := self._renamed(message)) != message:
                record.msg, record.args = changed, None
        if record.exc_info and not self._is_whole:
            text = logging.Formatter().formatException(record.exc_info)
            for each in named:
                text = text.replace(repr(each), repr(self._name_of(each)))
            record.exc_text = self._renamed(text)
        return True

    def _rename(self, members: MutableMapping[str, Any]) -> list[str]:
        named = []
        for name in _IDS:
            value = members.get(name)
            if value is not None and value != NOT_KNOWN:
                named.append(value.whole if isinstance(value, Id) else value)
                members[name] = self._name_of(named[-1])
        path = members.get("U")  # None for what is no proper request
        if path is not None and not self._is_whole:
            members["U"] = self._renamed(path, _ADDRESS if _ADDRESS.search(path) else _MENTION)
        return named

    def _renamed(self, text: str, where: re.Pattern[str] = _MENTION) -> str:
        return where.sub(lambda found: found[1] + self._name_of(found[2]), text)

    def _name_of(self, whole: str) -> str:
        if self._is_whole:
            return whole
        return blake2s(whole.encode(errors="replace"), key=self._key, digest_size=HASH_BYTES).hexdigest()


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
            "discretion": {"()": Redact},
            "interest": {"()": SkipRoutine},
            "pseudonyms": {"()": Pseudonyms, "key": key, "is_whole": level == "DEBUG"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": logging_config.format,
                "filters": ["discretion", "pseudonyms"],
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
                "filters": [] if level == "DEBUG" else ["interest"],
            },
        },
    }
