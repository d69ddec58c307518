"""Ids in the log: below debug a short hash takes their place.

An id opens a session or ends a run. The hash joins the lines of one session; it is keyed, so nobody can look it up or
try guesses against it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from hashlib import blake2s
from typing import Any

NOT_KNOWN = "-"
"""The sign for a missing value; JSON leaves the member out."""
NAMED = "session=%(session)s run=%(run)s request=%(request)s"
"""The members that name an answer or a request in a line."""
WITHHELD = "…"
KEY_BYTES = 16
HASH_BYTES = 5
"""As much as an operator can compare by eye."""
_IDS = ("session", "run", "{x-session-id}o", "{x-run-id}o")
_ADDRESS = re.compile(r"(/sessions?/+)(.+?(?=/stream$|$))", re.DOTALL | re.IGNORECASE)
_MENTION = re.compile(r"(/sessions?/+|\b(?=(?:sess|run|bot)_[0-9a-f]{32,64}\b))([\w-]+)", re.IGNORECASE)


class Id:
    """The id of a session or a run in a record; a handler without `Pseudonyms` writes `…` for it."""

    def __init__(self, whole: str) -> None:
        self.whole = whole

    def __str__(self) -> str:
        return WITHHELD


class Pseudonyms(logging.Filter):
    """Replaces each id of a record with its hash: in members, paths, tracebacks, and gunicorn's own texts.

    Shape: key is random and as old as the process, so that the hashes survive a reload; is_whole leaves ids as they
    are.
    """

    def __init__(self, key: bytes, is_whole: bool) -> None:
        super().__init__()
        self._key = key
        self._is_whole = is_whole

    def filter(self, record: logging.LogRecord) -> bool:
        """Change a record that names a session or a run; keep every record."""
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
        path = members.get("U")  # None for a request that gunicorn cannot read
        if path is not None and not self._is_whole:
            members["U"] = self._renamed(path, _ADDRESS if _ADDRESS.search(path) else _MENTION)
        return named

    def _renamed(self, text: str, where: re.Pattern[str] = _MENTION) -> str:
        return where.sub(lambda found: found[1] + self._name_of(found[2]), text)

    def _name_of(self, whole: str) -> str:
        if self._is_whole:
            return whole
        return blake2s(whole.encode(errors="replace"), key=self._key, digest_size=HASH_BYTES).hexdigest()
