"""Ids in the log: below debug no line holds one.

An id opens a session or ends a run. A keyed short hash stands for it, which joins the lines of one session, and which
nobody can look up or try guesses against.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from hashlib import blake2s
from typing import Any

NOT_KNOWN = "-"
"""What stands for a value that is not there; JSON leaves the member out."""
NAMED = "session=%(session)s run=%(run)s request=%(request)s"
"""The names that a line gives to the answer or the request that it tells of."""
WITHHELD = "…"
KEY_BYTES = 16
HASH_BYTES = 5
"""An operator can still compare so much by eye."""
_IDS = ("session", "run", "{x-session-id}o", "{x-run-id}o")
_ADDRESS = re.compile(r"(/sessions?/+)(.+?(?=/stream$|$))", re.DOTALL | re.IGNORECASE)
_MENTION = re.compile(r"(/sessions?/+|\b(?=(?:sess|run)_[0-9a-f]{32}\b))([\w-]+)", re.IGNORECASE)


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
