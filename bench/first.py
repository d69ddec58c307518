"""From nothing to the first answer: how long clawgate takes to start, and what memory it holds then."""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from bench.script import Script
from bench.targets import Bed, Target


def first_answer(bed: Bed, settings: dict[str, Any]) -> tuple[float, float]:
    """Start clawgate and ask it one thing.

    Units: seconds from its process's start to its first text; MB then, pages that its processes share counted once.
    """
    with bed.fresh():
        spawned_at = time.monotonic()
        target = bed.start("clawgate", 100, settings)
        _read_first_text(target)
        return time.monotonic() - spawned_at, target.usage().pss_kb / 1024


def _read_first_text(target: Target) -> None:
    connection = http.client.HTTPConnection(target.address.host, target.address.port, timeout=20)
    body = json.dumps({"messages": [{"role": "user", "content": Script(rate=500, tokens=1).prompt()}]})
    connection.request("POST", target.address.kind.path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    while (line := response.readline()) and b"@" not in line:
        pass
    connection.close()
