"""The failures between a client and a gateway, in words for people.

ClientError
├── Unreachable   nothing answers, the connection broke, or it is silent
├── Refused       the gateway's own error: its code, HTTP status and message
├── NotAGateway   something else answers there
└── NothingLeft   the gateway has no more of an answer
"""

from __future__ import annotations

import ssl

MAX_CAUSES = 50


class ClientError(Exception):
    """The root; the message is one sentence that names the cure where there is one."""

    code = "client"
    status = 0
    """The HTTP status that came with it; 0 where none did."""


class Unreachable(ClientError):
    """No gateway can be talked to; is_silent: there is a connection, and nothing comes."""

    code = "unreachable"

    def __init__(self, message: str, *, is_silent: bool = False) -> None:
        super().__init__(message)
        self.is_silent = is_silent


class Refused(ClientError):
    """The gateway's own error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotAGateway(ClientError):
    """The server there is no gateway, or is a proxy in front of one."""

    code = "not_a_gateway"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NothingLeft(ClientError):
    """The gateway keeps the answer no more, or has none."""

    code = "nothing_left"


def cause_of(error: BaseException) -> str:
    """Return the reason that is deepest in an error of requests, which wraps those of urllib3, the system and TLS."""
    found = ""
    known: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(known) < MAX_CAUSES:
        each = waiting.pop(0)
        if not isinstance(each, BaseException) or any(each is other for other in known):
            continue
        known.append(each)
        if isinstance(each, ssl.SSLCertVerificationError):
            return f"its certificate does not verify ({each.verify_message})"
        if isinstance(each, TimeoutError):
            found = "it does not answer in time"
        elif isinstance(each, OSError) and each.strerror:
            found = each.strerror[:1].lower() + each.strerror[1:]
        waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
    return found or "it broke off"
