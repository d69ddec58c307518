"""What was said: sessions, their messages, and the store that keeps them in bounds.

The relay's desk is the only caller that writes; web/ reads.
"""

from __future__ import annotations

from clawgate.sessions.memory import MemoryStore
from clawgate.sessions.session import Message, Session, SessionStore, digest_of, prompt_of, trim, turns_of

__all__ = ["MemoryStore", "Message", "Session", "SessionStore", "digest_of", "prompt_of", "trim", "turns_of"]
