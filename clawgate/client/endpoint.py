"""The address of a gateway, and the way there: one HTTP request, with its token and the proxies of the environment.

Nothing is kept between requests, so that any thread may send one. No redirect is followed, because a gateway sends
none: it leads to somebody's sign-in. The token goes out as `X-Clawgate-Token`; `Authorization` may belong to a proxy in
front, whose name and password stand in the URL.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import msgspec
import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth

from clawgate.client.failures import NotAGateway, Refused, Unreachable, cause_of

CONNECT_S = 5.0
MAX_BODY_BYTES = 64 << 20
"""An answer that is one object may be as long: a session with its pictures."""
MAX_ERROR_BYTES = 64 << 10
PIECE_BYTES = 1 << 16
STREAM = "text/event-stream"
BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""The errors of a connection: those of requests while it connects, those of urllib3 while a body is read."""
SILENT = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError)
"""Those of a server that was asked, and does not answer in time."""
_NOBODY = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    requests.exceptions.SSLError,
)


class Endpoint:
    """The address of a gateway, under a path or not, and its token.

    Errors: ValueError for an address or a token that cannot be one; the message says which, and what was expected.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = _parts(url)
        if token is not None and not re.fullmatch(r"[!-~]+", token):
            raise ValueError("token: expected visible ASCII characters")
        host = parts.netloc.rpartition("@")[2]
        self.url: str = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        self._token = token
        self._auth = _sign_in(parts.username, parts.password)
        self._proxies = proxies_for(parts.hostname or "")

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        read_s: float,
        accept: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[requests.Response]:
        """Send a request and give its response, whose body is not read yet; it is closed at the end of the block.

        Shape: body is bytes, or an iterable of them that has a length.
        Units: read_s is the longest silence.
        Errors: Unreachable; Refused and NotAGateway for every status but 200 and 204, and for another type than accept.
        """
        fields = {"Accept": accept, "Accept-Encoding": "identity", "Cache-Control": "no-store", **(headers or {})}
        if body is not None:
            fields["Content-Type"] = "application/json"
        if self._token is not None:
            fields["X-Clawgate-Token"] = self._token
        with requests.Session() as session, self._breaking():
            session.auth = self._auth  # else a ~/.netrc would be asked
            with session.request(
                method,
                self.url + path,
                data=body,
                headers=fields,
                proxies=self._proxies,
                timeout=(CONNECT_S, read_s),
                allow_redirects=False,
                stream=True,
            ) as response:
                self._check(response, accept)
                yield response

    @contextmanager
    def _breaking(self) -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            is_there = not any(isinstance(each, _NOBODY) for each in (error, *_reasons(error)))
            what = "the connection to the gateway was lost" if is_there else f"no gateway answers at {self.url}"
            if isinstance(error, requests.exceptions.ProxyError):
                what = f"the proxy that the environment names does not lead to {self.url}"
            raise Unreachable(f"{what}: {cause_of(error)}", is_silent=isinstance(error, SILENT)) from error

    def _check(self, response: requests.Response, accept: str) -> None:
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if response.status_code == 204 or (response.status_code == 200 and kind == accept):
            return
        if response.status_code >= 400:
            refused = _refusal(response.status_code, read(response, MAX_ERROR_BYTES, is_cut=True))
            if refused is not None:
                raise refused
        what = f"{response.status_code} {response.reason or ''}".strip()
        is_redirect = 300 <= response.status_code < 400
        found = (
            f"leads elsewhere ({what}): a sign-in?" if is_redirect else f"is no gateway ({what}, {kind or 'no type'})"
        )
        raise NotAGateway(f"what answers at {self.url} {found}", response.status_code)


def read(response: requests.Response, most: int = MAX_BODY_BYTES, *, is_cut: bool = False) -> bytes:
    """Read a body to its end; is_cut: no further than most.

    Errors: NotAGateway for one that is longer; those of `BROKEN`.
    """
    body = bytearray()
    for piece in pieces(response):
        body += piece
        if len(body) > most:
            if is_cut:
                break
            raise NotAGateway(f"an answer of more than {most} bytes is no gateway's", response.status_code)
    return bytes(body[:most])


def pieces(response: requests.Response) -> Iterator[bytes]:
    """Yield what has come of a body, as it comes.

    Errors: those of `BROKEN`.
    """
    while piece := response.raw.read1(PIECE_BYTES, decode_content=True):
        yield piece


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine by its name alone: no proxy leads there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxies_for(host: str) -> dict[str, str]:
    """Return what requests adds to the proxies of the environment: to this machine itself none leads."""
    return {"no_proxy": host} if is_loopback(host) else {}


def _parts(url: str) -> SplitResult:
    expected = f'url: expected an address like "http://127.0.0.1:18789", got "{url}"'
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:  # a port that is none, a bracket that is not closed
        raise ValueError(expected) from None
    if not is_usable or " " in url or parts.query or parts.fragment:
        raise ValueError(expected)
    return parts


class NoSignIn(AuthBase):
    """No name and no password: without it requests would ask a ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def _sign_in(name: str | None, password: str | None) -> AuthBase:
    return HTTPBasicAuth(unquote(name), unquote(password or "")) if name else NoSignIn()


class _Words(msgspec.Struct, frozen=True):
    code: str
    message: str


class _Failed(msgspec.Struct, frozen=True):
    error: _Words


def _refusal(status: int, body: bytes) -> Refused | None:
    try:
        given = msgspec.json.decode(body, type=_Failed).error
    except (msgspec.MsgspecError, RecursionError):
        return None
    return Refused(status, given.code, given.message)


def _reasons(error: BaseException) -> Iterator[object]:
    for each in error.args:
        yield each
        yield getattr(each, "reason", None)
