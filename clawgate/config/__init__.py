"""The configuration: the settings (settings.py), and the way from a file and the environment to them (load.py).

The rest of clawgate is handed the finished, frozen Config, or a section of it.
"""

from __future__ import annotations

from clawgate.config.authorities import load_authorities
from clawgate.config.bots import BotsConfig
from clawgate.config.cautions import cautions
from clawgate.config.declaration import Setting
from clawgate.config.load import load
from clawgate.config.settings import (
    Change,
    Config,
    LoggingConfig,
    ModelConfig,
    ServerConfig,
    SessionConfig,
    StreamConfig,
    change_between,
    gateway_settings,
    settings,
)

__all__ = [
    "BotsConfig",
    "Change",
    "Config",
    "LoggingConfig",
    "ModelConfig",
    "ServerConfig",
    "SessionConfig",
    "Setting",
    "StreamConfig",
    "cautions",
    "change_between",
    "gateway_settings",
    "load",
    "load_authorities",
    "settings",
]
