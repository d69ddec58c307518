"""BotProcess: `clawgate bot wecom` or `clawgate bot dingtalk` as a process of its own, before a scripted messenger."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.command import CLAWGATE
from tests.support.gateway import Gateway, write_config
from tests.support.process import ChildProcess
from tests.support.tools import ROOT


class BotProcess(ChildProcess):
    """A running bot; a context manager that ends it.

    Shape: bots is the section of the configuration; the rest is the gateway's address and token.
    """

    def __init__(
        self,
        messenger: str,
        gateway: Gateway,
        bots: Mapping[str, Any],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
    ) -> None:
        server = {"port": gateway.port}
        if (token := gateway.config["server"].get("auth_token")) is not None:
            server["auth_token"] = token
        self._server = server
        self.config_file = write_config({"server": server, "bots": dict(bots)}, folder)
        command = [*CLAWGATE, "bot", messenger, "--config", str(self.config_file)]
        super().__init__(command, cwd=ROOT, env=env, name=f"bot {messenger}")

    def __enter__(self) -> BotProcess:
        return self

    def wait_connected(self) -> None:
        """Wait for the line of the first connection."""
        self.wait_for_line("^Bot connected to ", stdout_only=True)

    def configure(self, bots: Mapping[str, Any]) -> None:
        """Write another section into the configuration, and have the bot read it."""
        text = write_config({"server": self._server, "bots": dict(bots)}, self.config_file.parent).read_text("utf-8")
        self.config_file.write_text(text, encoding="utf-8")
        self.signal(signal.SIGHUP)

    def terminate(self) -> int:
        """Send SIGTERM, wait for the end, and return the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()
