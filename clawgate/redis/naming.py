"""The names in keys: no key has a word that a client has chosen, since keys stand in Redis's own logs."""

from __future__ import annotations

import base64
import hashlib

HASH_BYTES = 24
PROCESS_DIGITS = 16


def session_hash(text: str) -> str:
    """Return the name of a session, or of another id that a client has chosen, in a key: 32 characters."""
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode(), digest_size=HASH_BYTES).digest()).decode()


def process_of(run_id: str) -> str:
    """Return the process that a run's id names; "" where it names none."""
    digits = run_id.removeprefix("run_")
    return digits[:PROCESS_DIGITS] if len(digits) == PROCESS_DIGITS + 32 and digits != run_id else ""
