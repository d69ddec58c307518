"""The configuration: what can be set (settings.py), and how it is read (load.py).

Everything else is handed the finished, frozen Config, or a section of it.
"""

from __future__ import annotations

from clawgate.config.load import load
from clawgate.config.settings import (
    Change,
    Config,
    LoggingConfig,
    ModelConfig,
    ServerConfig,
    SessionConfig,
    Setting,
    StreamConfig,
    changed,
    settings,
)

__all__ = [
    "Change",
    "Config",
    "LoggingConfig",
    "ModelConfig",
    "ServerConfig",
    "SessionConfig",
    "Setting",
    "StreamConfig",
    "changed",
    "load",
    "settings",
]
