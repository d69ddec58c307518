"""The gateway's HTTP API as functions, for `clawgate chat`, bots and tests.

    for event in Gateway("http://127.0.0.1:18789").ask({"message": "Hello"}):

It imports nothing else of clawgate. events.py has what an answer is told in, failures.py what goes wrong.
"""

from __future__ import annotations

from clawgate.client.answer import Answer, Patience
from clawgate.client.api import Gateway
from clawgate.client.failures import ClientError, NotAGateway, NothingLeft, Refused, Unreachable
from clawgate.client.views import Interruption, SessionView, Status, Upstream

__all__ = [
    "Answer",
    "ClientError",
    "Gateway",
    "Interruption",
    "NotAGateway",
    "NothingLeft",
    "Patience",
    "Refused",
    "SessionView",
    "Status",
    "Unreachable",
    "Upstream",
]
