"""Checks of settings that must agree with each other; each one by itself is right by then (checks.py).

load.py calls them when every value is known, with the place at which each was given.
"""

from __future__ import annotations

from collections.abc import Mapping

from clawgate.config.settings import Config
from clawgate.errors import ConfigError

BACKEND = "session.backend"
WORKERS = "server.workers"
REPLY = "bots.dingtalk_reply"
EXAMPLE = "redis://127.0.0.1:6379/0"


def check_agreement(config: Config, places: Mapping[str, str]) -> None:
    """Refuse settings that contradict each other.

    Shape: places has the file and key, or the variable, of each setting that was given, by its dotted name.
    Errors: ConfigError; its message begins with the place of the setting that was asked for, and names the cure.
    """
    if config.session.backend == "redis":
        if config.session.redis_url is None:
            raise ConfigError(f"{places[BACKEND]}: expected session.redis_url beside redis, like {EXAMPLE}")
    elif config.server.workers > 1:
        raise ConfigError(
            f"{places[WORKERS]}: expected 1 with session.backend: memory, got {config.server.workers}; set "
            "session.backend: redis, where all processes find the sessions"
        )
    if config.bots.dingtalk_reply == "card" and config.bots.dingtalk_card_template_id is None:
        raise ConfigError(f"{places[REPLY]}: expected bots.dingtalk_card_template_id beside card")
