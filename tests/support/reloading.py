"""Another configuration for a running gateway: its file is changed, and SIGHUP has it read."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.support.gateway import Gateway


def rewrite(gateway: Gateway, **sections: dict[str, Any]) -> None:
    """Change some settings in the gateway's file."""
    config = json.loads(gateway.config_file.read_text(encoding="utf-8"))
    for name, values in sections.items():
        config.setdefault(name, {}).update(values)
    gateway.config_file.write_text(json.dumps(config), encoding="utf-8")


def reload(gateway: Gateway, line: str = r"clawgate: reloaded: ", **sections: dict[str, Any]) -> None:
    """Change the file, send SIGHUP, and wait for the gateway's line about it."""
    rewrite(gateway, **sections)
    gateway.signal(signal.SIGHUP)
    gateway.wait_for_line(line)
