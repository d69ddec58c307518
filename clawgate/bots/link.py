"""One WebSocket to a messenger: opened, and for frames of JSON both ways. The only user of websockets."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.exceptions import InvalidProxy, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from clawgate.bots.failures import Disconnected
from clawgate.client.endpoint import is_loopback
from clawgate.trust import trust_the_machine

logger = logging.getLogger(__name__)

Frame = Mapping[str, Any]
MAX_FRAME_BYTES = 4 << 20
CANNOT = (OSError, WebSocketException, ImportError)
"""The errors of connecting and sending; ImportError where a SOCKS proxy of the environment needs a package."""


class Times(NamedTuple):
    """The times of a connection, in seconds.

    silence_s: without a frame for so long it counts as dead.
    tick_s: so often the wire is asked whether it has something to send.
    open_s: the longest time to connect; address_s: for one address of the messenger's, of which some may be dead, as
    IPv6 is in many a network; opening_s: to learn where, and to connect there. write_s: for a write to make way;
    ping_s: from one ping to the next; close_s: to say goodbye.
    steady_s: a connection that lived so long was a good one: the back-off begins anew. asked_s: the same where the
    messenger asks for a new one; DingTalk may do so each 30 s, to spread its load.
    first_pause_s, longest_pause_s: between two attempts; each pause is twice the one before, and up to half of it
    less by chance.
    """

    silence_s: float = 90.0
    tick_s: float = 1.0
    open_s: float = 15.0
    address_s: float = 3.0
    opening_s: float = 60.0
    write_s: float = 10.0
    ping_s: float = 60.0
    close_s: float = 1.0
    steady_s: float = 60.0
    asked_s: float = 10.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 60.0


class Link:
    """A connection that is open. Any thread may send.

    stopped: the bot is to leave; nothing is waited for any more.
    Errors: Disconnected.
    """

    def __init__(self, connection: ClientConnection, stopped: threading.Event) -> None:
        self._connection = connection
        self._stopped = stopped

    def send(self, frame: Frame) -> None:
        """Send a frame as JSON in UTF-8, not escaped; half a surrogate pair becomes a question mark."""
        text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        try:
            self._connection.send(text.encode("utf-8", "replace").decode("utf-8"))
        except CANNOT as error:
            raise Disconnected(f"the connection was lost: {cause_of(error)}") from error

    def receive(self, timeout_s: float) -> Frame | None:
        """Return the next frame; None where none comes in time, {} for one that is no JSON object."""
        if self._stopped.is_set():
            raise Disconnected("the bot leaves")
        try:
            given = json.loads(self._connection.recv(timeout=timeout_s))
        except TimeoutError:
            return None
        except CANNOT as error:
            raise Disconnected(f"the connection was lost: {cause_of(error)}") from error
        except (ValueError, RecursionError):
            logger.warning("a frame that is no JSON was dropped")
            return {}
        return given if isinstance(given, dict) else {}


def connected(url: str, times: Times) -> ClientConnection:
    """Connect.

    The library's pings keep the way through firewalls open, as those of DingTalk's SDK do. No answer to them is waited
    for: a messenger has heartbeats of its own, and none says whether it answers these.
    A write that makes no way would hold the library's lock for as long as TCP tries, a quarter of an hour, and with it
    whoever wants to close the connection. At debug the library would log frames, and so secrets and what people write.
    It follows redirects, and the first frame may be a secret: another host does not get it.
    """
    library = logging.getLogger(f"{__name__}.websockets")
    library.setLevel(logging.INFO)
    try:
        connection = connect(
            url,
            ssl=_tls() if url.startswith("wss:") else None,
            proxy=None if is_loopback(urlsplit(url).hostname or "") else True,
            logger=library,
            open_timeout=times.open_s,
            timeout=times.address_s,
            close_timeout=times.close_s,
            ping_interval=times.ping_s,
            ping_timeout=None,
            max_size=MAX_FRAME_BYTES,
            compression=None,
        ).__enter__()  # what connect returns differs between releases, but not what a context has
    except (*CANNOT, RuntimeError, ValueError, TypeError) as error:
        # RuntimeError: the system gives the library no thread; ValueError, TypeError: a host or port that can be none
        raise Disconnected(f"no connection to {_place(url)}: {cause_of(error)}") from error
    reached = connection.request.headers["Host"] if connection.request is not None else ""
    if _host_of(f"{urlsplit(url).scheme}://{reached}") != _host_of(url):
        connection.close()
        raise Disconnected(f"{_place(url)} leads elsewhere: a proxy's sign-in?")
    write_s = struct.pack("@ll", int(times.write_s), int(times.write_s % 1 * 1e6))
    try:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, write_s)
    except OSError:
        pass  # it is over already, as whoever uses it next will hear
    return connection


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust_the_machine(context)
    return context


def _host_of(url: str) -> tuple[str, int]:
    """Return the host and the port that a URL leads to."""
    parts = urlsplit(url)
    return (parts.hostname or "").encode("idna").decode(), parts.port or (443 if parts.scheme == "wss" else 80)


def _place(url: str) -> str:
    """Return an address without its query, which may be a ticket."""
    return url.partition("?")[0]


def cause_of(error: BaseException) -> str:
    if isinstance(error, InvalidURI | InvalidProxy):
        return error.msg  # the whole message has the address, and so the ticket, or the proxy's password
    return " ".join(str(error).split()) or type(error).__name__
