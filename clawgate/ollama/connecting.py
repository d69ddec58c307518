"""The reason of a connection to Ollama that fails, by the exceptions themselves, and whether waiting may help.

Their texts carry addresses of objects, and the host's name, which may be any word: nothing is read from them.
"""

from __future__ import annotations

import errno
import http.client
import ssl
from collections.abc import Iterator

import requests
from urllib3.exceptions import ConnectTimeoutError, IncompleteRead, NameResolutionError

from clawgate.ollama.failures import CONNECT_TIMEOUT_S, OpenFailure
from clawgate.ollama.finding import Finding, Kind, Unreached, Unusable
from clawgate.ollama.tls import refused_handshake

MAX_DEPTH = 10
OF_ERRNO: dict[int | None, Kind] = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETUNREACH: "no_route",
    errno.EMFILE: "no_descriptor",
    errno.ENFILE: "no_descriptor",
}


class HandshakeTimeout(ConnectTimeoutError):
    """The connection was made, and the TLS handshake is not over in time."""


def not_http() -> OpenFailure:
    """Make the failure of a chat whose answer is no HTTP: another kind of server has that port."""
    return OpenFailure(Unusable(Finding("not_http")), is_retryable=False)


def not_reached(error: Exception | None) -> OpenFailure:
    """Make the failure of a chat whose connection failed by this error; None for one that was cut."""
    finding = reason_of(error) if error is not None else Finding("dropped")
    return OpenFailure(Unreached(finding), is_retryable=not finding.is_lasting)


def reason_of(error: Exception) -> Finding:
    """Tell why a connection failed."""
    causes = tuple(_causes_of(error))
    for cause in causes:
        found = _known(cause)
        if found is not None:
            return found
    if any(isinstance(cause, requests.ConnectTimeout | ConnectTimeoutError) for cause in causes):
        return Finding("not_accepted", f"{CONNECT_TIMEOUT_S:g}")
    if any(isinstance(cause, requests.Timeout | TimeoutError) for cause in causes):
        return Finding("silent")
    return Finding("dropped")


def is_cut_off(error: Exception) -> bool:
    """Tell whether a connection ended before the answer was whole, as it does where a server restarts.

    A reset may come at any moment: of a connection that is queued, while the request is sent, in a TLS handshake, in
    the head, in the body.
    """
    return any(
        (
            isinstance(cause, ConnectionError | IncompleteRead | http.client.IncompleteRead | ssl.SSLEOFError)
            and not isinstance(cause, ConnectionRefusedError)
        )
        or _is_half_a_line(cause)
        for cause in _causes_of(error)
    )


def _is_half_a_line(cause: BaseException) -> bool:
    return isinstance(cause, http.client.BadStatusLine) and str(cause.args[0]).startswith("HTTP/")


def _known(cause: BaseException) -> Finding | None:
    if isinstance(cause, ssl.SSLError):
        return refused_handshake(cause)
    if isinstance(cause, HandshakeTimeout):
        return Finding("no_handshake")
    if isinstance(cause, NameResolutionError):
        return Finding("unresolved")
    if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, http.client.RemoteDisconnected):
        return None if _is_half_a_line(cause) else Finding("not_http")
    kind = OF_ERRNO.get(cause.errno) if isinstance(cause, OSError) else None
    return Finding(kind) if kind is not None else None


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it wraps: requests and urllib3 keep them in four places."""
    waiting, seen = [error], 0
    while waiting and seen < MAX_DEPTH:
        cause = waiting.pop()
        seen += 1
        yield cause
        inner = (cause.__context__, cause.__cause__, getattr(cause, "reason", None), *cause.args)
        waiting.extend(each for each in inner if isinstance(each, BaseException))
